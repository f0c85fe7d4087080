"""The field's problems, each solved to a certificate and compared with a cone solver's solution."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

import ergodual as ed
from benchmarks.measure import one_core, report

NOTES = [
    "Small instances, float64, one core, tolerance 1e-6; each solved by CVXPY too (Clarabel, "
    "tolerance 1e-9), whose objective is evaluated at both solutions by CVXPY itself.",
    "off: how much higher ours is, relative to the objective. gap: what `solve` certifies, "
    "relative to the same; the residual where there is none. violated: the largest violation of "
    "a constraint at our x, in the units of the constraint.",
]


class Case(NamedTuple):
    """A problem here and there.

    Attributes
    ----------
    problem, observation
        Ours.
    there
        Of CVXPY and a variable that is x, flat: the terms of the objective, and the constraints.
    estimate
        x, flat, of our solution.
    """

    problem: ed.Problem | ed.InverseProblem
    observation: Tensor
    there: Callable[[Any, Any], tuple[list[Any], list[Any]]]
    estimate: Callable[[Tensor], Tensor] = torch.Tensor.flatten


def main(out: Path) -> None:
    """A row for each problem."""
    one_core()
    warnings.simplefilter("ignore")
    rows = [{"problem": name, **compared(make(24))} for name, make in ZOO.items()]
    report("zoo", "The field's problems", rows, out, NOTES)


def compared(case: Case, tol: float = 1e-6) -> dict[str, Any]:
    """Ours beside CVXPY's."""
    import cvxpy as cp

    begun = time.perf_counter()
    found = ed.solve(case.problem, case.observation, tol)
    ended = time.perf_counter()
    x = cp.Variable(len(case.estimate(found.x[0])))
    terms, constraints = case.there(cp, x)
    objective = cp.Minimize(sum(terms))
    posed = cp.Problem(objective, constraints)
    tight = {f"tol_{kind}": 1e-9 for kind in ("gap_abs", "gap_rel", "feas")}
    posed.solve(solver=cp.CLARABEL, **tight)
    best = float(objective.value)
    seconds = time.perf_counter() - ended
    x.value = case.estimate(found.x[0]).numpy()
    free = [v for v in posed.variables() if v.id != x.id]
    if free:  # what the terms minimise over themselves
        cp.Problem(objective, [*constraints, x == x.value]).solve(solver=cp.CLARABEL, **tight)
        x.value = case.estimate(found.x[0]).numpy()
    gap = float(found.gap[0])
    return {
        "iterations": int(found.iterations[0]),
        "seconds": ended - begun,
        "CVXPY s": seconds,
        "objective": best,
        "off": (float(objective.value) - best) / abs(best),
        "gap": gap / abs(best) if np.isfinite(gap) else float(found.error[0]),
        "violated": max((float(np.max(c.violation())) for c in constraints), default=0.0),
        "converged": bool(found.converged.all()),
    }


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(), dtype=torch.float64)


def picture(n: int) -> Tensor:
    """A square and a disc on a slope, ``(1, n, n)``, from 0 to 1."""
    i = torch.arange(n, dtype=torch.float64) / n
    image = 0.3 * i.expand(n, n).clone()
    image[n // 5 : n // 2, n // 4 : n // 2] += 0.5
    image[(i[:, None] - 0.65) ** 2 + (i - 0.6) ** 2 < 0.05] += 0.4
    return image[None]


def noisy(n: int) -> Tensor:
    return picture(n) + 0.1 * normal(1, n, n)


def gradient(n: int) -> tuple[Any, Any]:
    """Differences of a flat n × n image along both axes, 0 at the ends."""
    D = sp.lil_matrix(sp.eye(n, k=1) - sp.eye(n))
    D[-1] = 0
    one = sp.eye(n)
    return sp.csr_matrix(sp.kron(D, one)), sp.csr_matrix(sp.kron(one, D))


def lengths(cp: Any, x: Any, n: int) -> Any:
    """Of the gradient, at each pixel."""
    return cp.norm2(cp.vstack([D @ x for D in gradient(n)]), axis=0)


def dense(K: ed.Operator, domain: tuple[int, ...]) -> np.ndarray:
    """The matrix of an operator that has tests of its own."""
    eye = torch.eye(int(np.prod(domain)), dtype=torch.float64)
    with torch.no_grad():
        return K(eye.view(-1, *domain)).flatten(1).T.numpy()


def half_squared(cp: Any, x: Any) -> Any:
    return 0.5 * cp.sum_squares(x)


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


def basis_pursuit(n: int) -> Case:
    A, b, K = regression(n)
    radius = 0.1 * (2 * n) ** 0.5
    return Case(
        ed.InverseProblem(A=K, data=ed.L2Ball(radius), G=ed.L1()),
        b,
        lambda cp, x: ([cp.norm1(x)], [cp.norm2(A @ x - b[0].numpy()) <= radius]),
    )


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


def chebyshev(n: int) -> Case:
    A = sp.random(2 * n, n, density=0.3, random_state=0, format="csr")
    b = torch.from_numpy(A @ np.ones(n))[None] + 0.1 * normal(1, 2 * n)
    radius = 0.8 * n
    return Case(
        ed.InverseProblem(A=ed.from_scipy(A), data=ed.LInf(), G=ed.L1Ball(radius)),
        b,
        lambda cp, x: ([cp.norm_inf(A @ x - b[0].numpy())], [cp.norm1(x) <= radius]),
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


ZOO: dict[str, Callable[[int], Case]] = {
    "TV-ℓ2": rof,
    "TV-ℓ1": tv_l1,
    "Huber-TV": huber_tv,
    "TGV²": tgv,
    "lasso": lasso,
    "square-root lasso": root_lasso,
    "elastic net": elastic_net,
    "group lasso": group_lasso,
    "basis pursuit denoising": basis_pursuit,
    "inpainting with TV": inpainting,
    "deblurring with TV, x ≥ 0": deblurring,
    "sparse-view CT with TV, x ≥ 0": tomography,
    "undersampled Fourier with wavelets": fourier_wavelets,
    "undersampled Fourier with TV": fourier_tv,
    "Poisson deconvolution with TV": poisson,
    "nuclear-norm completion": completion,
    "1-D fused lasso": fused_lasso,
    "matrix game": matrix_game,
    "linear program": linear_program,
    "half the pixels, few cosines": cosines,
    "few coefficients of windows": frames,
    "eight neighbours": neighbours,
    "largest residual, ‖x‖₁ ≤ ε": chebyshev,
    "a learned potential of differences": potential,
    "the paper's": dequantization,
}
