"""The field's regressions, programs and signals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

import ergodual as ed
from benchmarks.zoo_parts import Case, dense, half_squared, normal


def regression(n: int) -> tuple[np.ndarray, Tensor, ed.Dense]:
    A = normal(2 * n, 3 * n) / n**0.5
    b = A[:, :5].sum(1)[None] + 0.1 * normal(1, 2 * n)
    return A.numpy(), b, ed.Dense(A)


def lasso(n: int) -> Case:
    A, b, K = regression(n)
    return Case(
        ed.InverseProblem(A=K, data=ed.SquaredL2(), G=ed.L1(0.3)),
        b,
        lambda cp, x: ([half_squared(cp, A @ x - b[0].numpy()), 0.3 * cp.norm1(x)], []),
    )


def root_lasso(n: int) -> Case:
    A, b, K = regression(n)
    return Case(
        ed.InverseProblem(A=K, data=ed.L2(), G=ed.L1(0.2)),
        b,
        lambda cp, x: ([cp.norm2(A @ x - b[0].numpy()), 0.2 * cp.norm1(x)], []),
    )


def elastic_net(n: int) -> Case:
    A, b, K = regression(n)
    return Case(
        ed.InverseProblem(A=K, data=ed.SquaredL2(), G=ed.ElasticNet(0.3, 0.2)),
        b,
        lambda cp, x: (
            [half_squared(cp, A @ x - b[0].numpy()), 0.3 * cp.norm1(x), 0.2 * half_squared(cp, x)],
            [],
        ),
    )


def group_lasso(n: int) -> Case:
    A, b, K = regression(n)
    return Case(
        ed.InverseProblem(A=K, data=ed.SquaredL2(), G=ed.L21(0.5, size=3)),
        b,
        lambda cp, x: (
            [
                half_squared(cp, A @ x - b[0].numpy()),
                0.5 * cp.sum(cp.norm2(cp.reshape(x, (3, n), order="C"), axis=0)),
            ],
            [],
        ),
    )


def sparse_groups(n: int) -> Case:
    A, b, K = regression(n)
    at = torch.arange(3 * n)
    groups = [(at.sqrt()).long(), (at + 3) // 5]  # of 1, 3, 5 … entries, and others across them
    weights = [0.3 * g.bincount().double().sqrt() for g in groups]
    parts = zip(groups, weights, strict=True)
    return Case(
        ed.InverseProblem(
            A=K,
            data=ed.SquaredL2(),
            F=ed.SeparableSum(*(ed.GroupSum(ed.L2(), g, w) for g, w in parts)),
            K=ed.Stack(ed.Identity(), ed.Identity()),
            G=ed.L1(0.1),
        ),
        b,
        lambda cp, x: (
            [
                half_squared(cp, A @ x - b[0].numpy()),
                0.1 * cp.norm1(x),
                *(
                    float(weight) * cp.norm2(x[(g == i).nonzero()[:, 0].numpy()])
                    for g, w in zip(groups, weights, strict=True)
                    for i, weight in enumerate(w)
                ),
            ],
            [],
        ),
    )


def basis_pursuit(n: int) -> Case:
    A, b, K = regression(n)
    radius = 0.1 * (2 * n) ** 0.5
    return Case(
        ed.InverseProblem(A=K, data=ed.L2Ball(radius), G=ed.L1()),
        b,
        lambda cp, x: ([cp.norm1(x)], [cp.norm2(A @ x - b[0].numpy()) <= radius]),
    )


def fused_lasso(n: int) -> Case:
    n = 5 * n
    b = torch.zeros(1, n, dtype=torch.float64)
    b[:, n // 4 : n // 3], b[:, n // 2 : n // 2 + 9] = 2.0, -1.0
    b = b + 0.3 * normal(1, n)
    return Case(
        ed.Problem(
            ed.SeparableSum(ed.L1(0.1), ed.L1(0.8)),
            ed.SquaredL2(),
            ed.Stack(ed.Identity(), ed.Gradient()),
        ),
        b,
        lambda cp, x: (
            [half_squared(cp, x - b[0].numpy()), 0.1 * cp.norm1(x), 0.8 * cp.norm1(cp.diff(x))],
            [],
        ),
    )


def matrix_game(n: int) -> Case:
    A = 1 + normal(n, n)  # lest the value be nearly 0
    return Case(
        ed.InverseProblem(A=ed.Dense(A), data=ed.Conjugate(ed.Simplex()), G=ed.Simplex()),
        torch.zeros(1, n, dtype=torch.float64),
        lambda cp, x: ([cp.max(A.numpy() @ x)], [x >= 0, cp.sum(x) == 1]),
    )


def linear_program(n: int) -> Case:
    A, c = normal(n // 2, n).abs(), normal(n).abs() + 0.1
    b = A.sum(1)
    return Case(
        ed.Problem(
            ed.Translated(ed.Box(radius=0.0), b), ed.Tilted(ed.NonNegative(), c), ed.Dense(A)
        ),
        torch.zeros(1, n, dtype=torch.float64),
        lambda cp, x: ([c.numpy() @ x], [A.numpy() @ x == b.numpy(), x >= 0]),
    )


def frames(n: int) -> Case:
    """A chirp of which few coefficients of windows are kept."""
    n = 6 * n
    i = torch.arange(n, dtype=torch.float64)
    b = torch.sin(i.square() / (2 * n))[None] + 0.3 * normal(1, n)
    K = ed.Stft(12, hop=6)
    basis = dense(K, (n,)).reshape(2, -1, n)
    return Case(
        ed.Problem(ed.L21(0.3, dim=1), ed.SquaredL2(), K),
        b,
        lambda cp, x: (
            [
                half_squared(cp, x - b[0].numpy()),
                0.3 * cp.sum(cp.norm2(cp.vstack([part @ x for part in basis]), axis=0)),
            ],
            [],
        ),
    )


def chebyshev(n: int) -> Case:
    A = sp.random(2 * n, n, density=0.3, random_state=0, format="csr")
    b = torch.from_numpy(A @ np.ones(n))[None] + 0.1 * normal(1, 2 * n)
    radius = 0.8 * n
    return Case(
        ed.InverseProblem(A=ed.from_scipy(A), data=ed.LInf(), G=ed.L1Ball(radius)),
        b,
        lambda cp, x: ([cp.norm_inf(A @ x - b[0].numpy())], [cp.norm1(x) <= radius]),
    )


def dequantization(n: int) -> Case:
    n = 4 * n
    b = (8 * torch.sin(torch.arange(n, dtype=torch.float64) / 5)[None]).round() / 8
    C = ed.Dense.dct(n, dtype=torch.float64)
    matrix = C.matrix.detach().numpy()
    return Case(
        ed.Problem(ed.L1(), ed.Box(radius=1 / 16), C),
        b,
        lambda cp, x: ([cp.norm1(matrix @ x)], [cp.abs(x - b[0].numpy()) <= 1 / 16]),
    )


VECTORS: dict[str, Callable[[int], Case]] = {
    "lasso": lasso,
    "square-root lasso": root_lasso,
    "elastic net": elastic_net,
    "group lasso": group_lasso,
    "sparse group lasso, groups that overlap": sparse_groups,
    "basis pursuit denoising": basis_pursuit,
    "1-D fused lasso": fused_lasso,
    "matrix game": matrix_game,
    "linear program": linear_program,
    "few coefficients of windows": frames,
    "largest residual, ‖x‖₁ ≤ ε": chebyshev,
    "the paper's": dequantization,
}
