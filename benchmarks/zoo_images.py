"""The field's problems of images and matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

import ergodual as ed
from benchmarks.zoo_parts import (
    Case,
    dense,
    generator,
    gradient,
    half_squared,
    lengths,
    noisy,
    normal,
    picture,
)


def tv() -> dict[str, Any]:
    return {"F": ed.L21(0.1, dim=1), "K": ed.Gradient()}


def rof(n: int) -> Case:
    b = noisy(n)
    return Case(
        ed.Problem(G=ed.SquaredL2(), **tv()),
        b,
        lambda cp, x: (
            [half_squared(cp, x - b.flatten().numpy()), 0.1 * cp.sum(lengths(cp, x, n))],
            [],
        ),
    )


def tv_l1(n: int) -> Case:
    b = picture(n)
    b[:, ::3, ::4] = 1.0
    problem = ed.InverseProblem(data=ed.L1(), F=ed.L21(0.8, dim=1), K=ed.Gradient())
    return Case(
        problem,
        b,
        lambda cp, x: (
            [cp.norm1(x - b.flatten().numpy()), 0.8 * cp.sum(lengths(cp, x, n))],
            [],
        ),
    )


def huber_tv(n: int) -> Case:
    b, width = noisy(n), 0.05
    return Case(
        ed.Problem(ed.Huber(0.1, width, dim=1), ed.SquaredL2(), ed.Gradient()),
        b,
        lambda cp, x: (
            [
                half_squared(cp, x - b.flatten().numpy()),
                0.1 / (2 * width) * cp.sum(cp.huber(lengths(cp, x, n), width)),
            ],
            [],
        ),
    )


def tgv(n: int) -> Case:
    n = n // 2  # three unknowns a pixel
    b, shapes = noisy(n), [torch.Size((n, n)), torch.Size((2, n, n))]
    K = ed.Blocks([[ed.Gradient(), -1 * ed.Identity()], [None, ed.SymmetricGradient()]], shapes)
    problem = ed.InverseProblem(
        A=ed.Blocks([[ed.Identity(), None]], shapes),
        data=ed.SquaredL2(),
        F=ed.SeparableSum(ed.L21(0.1, dim=1), ed.L21(0.2, dim=1)),
        K=K,
    )

    def there(cp: Any, x: Any) -> tuple[list[Any], list[Any]]:
        (D1, D2), w1, w2 = gradient(n), cp.Variable(n * n), cp.Variable(n * n)
        mixed = (D1 @ w2 + D2 @ w1) / np.sqrt(2)
        first = cp.norm2(cp.vstack([D1 @ x - w1, D2 @ x - w2]), axis=0)
        second = cp.norm2(cp.vstack([D1 @ w1, D2 @ w2, mixed]), axis=0)
        return [
            half_squared(cp, x - b.flatten().numpy()),
            0.1 * cp.sum(first),
            0.2 * cp.sum(second),
        ], []

    return Case(problem, b.flatten(1), there, lambda x: x[: n * n])


def through(n: int, A: ed.Operator, weight: float, *, positive: bool, share: float) -> Case:
    """½‖Ax − b‖² + weight · TV(x), x ≥ 0 if ``positive``, at so much noise."""
    with torch.no_grad():
        clean = A(picture(n))
        b = clean + share * normal(*clean.shape)
    matrix = dense(A, (n, n))
    problem = ed.InverseProblem(
        A=A,
        data=ed.SquaredL2(),
        F=ed.L21(weight, dim=1),
        K=ed.Gradient(),
        G=ed.NonNegative() if positive else None,
    )
    return Case(
        problem,
        b,
        lambda cp, x: (
            [
                half_squared(cp, matrix @ x - b.flatten().numpy()),
                weight * cp.sum(lengths(cp, x, n)),
            ],
            [x >= 0] if positive else [],
        ),
    )


def kernel() -> Tensor:
    i = torch.arange(5, dtype=torch.float64) - 2
    k = torch.exp(-(i[:, None].square() + i.square()) / 2)
    return k / k.sum()


def deblurring(n: int) -> Case:
    return through(n, ed.Blur(kernel()), 0.01, positive=True, share=0.02)


def inpainting(n: int) -> Case:
    mask = (torch.rand(n, n, generator=generator()) < 0.5).double()
    return through(n, ed.Diagonal(mask), 0.05, positive=False, share=0.05)


def tomography(n: int) -> Case:
    A = ed.Tomography(n, 8, dtype=torch.float64)
    return through(n, A, 0.3, positive=True, share=0.1)


def measured(n: int) -> ed.Fourier:
    """Low frequencies and a third of the others."""
    f = torch.fft.fftfreq(n, dtype=torch.float64)
    low = f[:, None].abs() + f.abs() < 0.2
    return ed.Fourier((low | (torch.rand(n, n, generator=generator()) < 0.33)).double(), real=True)


def fourier_tv(n: int) -> Case:
    return through(n, measured(n), 0.02, positive=False, share=0.02)


def fourier_wavelets(n: int) -> Case:
    A, K = measured(n), ed.Wavelet("db2", levels=2)
    with torch.no_grad():
        b = A(picture(n))
        b = b + 0.02 * normal(*b.shape)
    matrix, basis = dense(A, (n, n)), dense(K, (n, n))
    return Case(
        ed.InverseProblem(A=A, data=ed.SquaredL2(), F=ed.L1(0.01), K=K),
        b,
        lambda cp, x: (
            [half_squared(cp, matrix @ x - b.flatten().numpy()), 0.01 * cp.norm1(basis @ x)],
            [],
        ),
    )


def poisson(n: int) -> Case:
    A = ed.Blur(kernel())
    with torch.no_grad():
        counts = torch.poisson(20 * A(picture(n)) + 1, generator=generator())
    matrix, c = dense(A, (n, n)), counts.flatten().numpy()
    some = c > 0
    problem = ed.InverseProblem(
        A=A, data=ed.KullbackLeibler(), F=ed.L21(0.3, dim=1), K=ed.Gradient(), G=ed.NonNegative()
    )
    return Case(
        problem,
        counts,
        lambda cp, x: (
            [
                cp.sum(cp.kl_div(c[some], matrix[some] @ x)),
                cp.sum(matrix[~some] @ x),
                0.3 * cp.sum(lengths(cp, x, n)),
            ],
            [x >= 0],
        ),
    )


def completion(n: int) -> Case:
    n = n // 2
    truth = normal(n, 2) @ normal(2, n)
    mask = (torch.rand(n, n, generator=generator()) < 0.6).double()
    b = (mask * truth)[None]
    seen = mask.flatten().numpy()
    return Case(
        ed.InverseProblem(A=ed.Diagonal(mask), data=ed.SquaredL2(), G=ed.Nuclear(0.5)),
        b,
        lambda cp, x: (
            [
                half_squared(cp, cp.multiply(seen, x) - b.flatten().numpy()),
                0.5 * cp.normNuc(cp.reshape(x, (n, n), order="C")),
            ],
            [],
        ),
    )


def cosines(n: int) -> Case:
    """Half of the pixels, and few cosines: the data term by its prox."""
    mask = (torch.rand(n, n, generator=generator()) < 0.5).double()
    b = mask * noisy(n)
    basis, seen = dense(ed.Dct(2), (n, n)), mask.flatten().numpy()
    return Case(
        ed.Problem(ed.L1(0.1), ed.Quadratic(ed.Diagonal(mask), b), ed.Dct(2)),
        torch.zeros(1, n, n, dtype=torch.float64),
        lambda cp, x: (
            [
                half_squared(cp, cp.multiply(seen, x) - b.flatten().numpy()),
                0.1 * cp.norm1(basis @ x),
            ],
            [],
        ),
    )


def neighbours(n: int) -> Case:
    b, K = noisy(n), ed.Differences([(0, 1), (1, 0), (1, 1), (1, -1)])
    D = sp.csr_matrix(dense(K, (n, n)))
    return Case(
        ed.Problem(ed.L1(0.05), ed.SquaredL2(), K),
        b,
        lambda cp, x: (
            [half_squared(cp, x - b.flatten().numpy()), 0.05 * cp.norm1(D @ x)],
            [],
        ),
    )


def potential(n: int) -> Case:
    """φ(x) = v_1 x + Σ_j c_j ½ huber(max(x − t_j, 0), h_j), up to a constant."""
    b = noisy(n)
    knots = torch.tensor([-0.4, -0.1, -0.02, 0.02, 0.1, 0.4], dtype=torch.float64)
    curvature = torch.tensor([0.02, 0.1, 1.5, 0.1, 0.02], dtype=torch.float64)
    t, h, c = knots[:-1].tolist(), knots.diff().tolist(), curvature.tolist()
    first = -0.5 * float((curvature * knots.diff()).sum())

    def bent(cp: Any, x: Any) -> Any:
        pieces = zip(t, h, c, strict=True)
        sums = [0.5 * q * cp.sum(cp.huber(cp.pos(x - at), w)) for at, w, q in pieces]
        return first * cp.sum(x) + sum(sums)

    def there(cp: Any, x: Any) -> tuple[list[Any], list[Any]]:
        level = float(bent(cp, cp.Constant(np.zeros(1))).value) * 2 * n * n
        return [
            half_squared(cp, x - b.flatten().numpy()),
            *(bent(cp, D @ x) for D in gradient(n)),
            cp.Constant(-level),
        ], []

    return Case(ed.Problem(ed.Spline(knots, curvature), ed.SquaredL2(), ed.Gradient()), b, there)


IMAGES: dict[str, Callable[[int], Case]] = {
    "TV-ℓ2": rof,
    "TV-ℓ1": tv_l1,
    "Huber-TV": huber_tv,
    "TGV²": tgv,
    "inpainting with TV": inpainting,
    "deblurring with TV, x ≥ 0": deblurring,
    "sparse-view CT with TV, x ≥ 0": tomography,
    "undersampled Fourier with wavelets": fourier_wavelets,
    "undersampled Fourier with TV": fourier_tv,
    "Poisson deconvolution with TV": poisson,
    "nuclear-norm completion": completion,
    "half the pixels, few cosines": cosines,
    "eight neighbours": neighbours,
    "a learned potential of differences": potential,
}
