"""Hypergradients of lassos: against differences, and beside a differentiable cone solver."""

from __future__ import annotations

import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ergodual as ed
from benchmarks.measure import one_core, report

ROWS, COLUMNS, BATCH, NONZERO, NOISE, SHARE = 200, 500, 32, 20, 0.05, 0.1
TIGHT, STEP = 1e-12, 1e-6
NOTES = [
    f"½‖Ax − b‖² + λ‖x‖₁, A random of {ROWS} × {COLUMNS}, a batch of {BATCH}, {NONZERO} nonzero "
    f"coefficients, λ = {SHARE} λ_max of each sample; the gradient of ‖x̂ − x‖² in each λ. float64, "
    "one core, each row in a process of its own.",
    f"error: against central differences of solutions to {TIGHT:g}. MB: what the largest resident "
    "memory grew by.",
    "cvxpylayers: the same problem as a layer of its own, with its default solver; its error is "
    "against the same differences.",
]


def main(out: Path) -> None:
    """A row for each way."""
    rows = []
    for name in WAYS:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as alone:
            rows.append({"gradient": name, **alone.submit(measured, name).result()})
    report("lasso", "Hypergradients of lassos", rows, out, NOTES)


def measured(name: str) -> dict[str, Any]:
    """Seconds, memory and the error."""
    one_core()
    warnings.simplefilter("ignore")
    A, b, x = data()
    largest = (b @ A).abs().amax(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    layer = WAYS[name](A)
    weights = (SHARE * largest).requires_grad_()
    begun = time.perf_counter()
    x_hat = layer(weights, b)
    solved = time.perf_counter()
    (found,) = torch.autograd.grad((x_hat - x).square().sum(), weights)
    ended = time.perf_counter()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    ends = []
    for sign in (1.0, -1.0):
        at = weights.detach() + sign * STEP * largest
        ends.append((ed.solve(problem(A, at), b, TIGHT).x - x).square().sum(1))
    slopes = (ends[0] - ends[1]) / (2 * STEP * largest)
    return {
        "solving s": solved - begun,
        "gradient s": ended - solved,
        "MB": grown,
        "error": float((found - slopes).norm() / slopes.norm()),
    }


def data() -> tuple[Tensor, Tensor, Tensor]:
    """A, b and the truth."""
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(ROWS, COLUMNS, generator=generator, dtype=torch.float64) / ROWS**0.5
    x = torch.zeros(BATCH, COLUMNS, dtype=torch.float64)
    for row in x:
        where = torch.randperm(COLUMNS, generator=generator)[:NONZERO]
        row[where] = torch.randn(NONZERO, generator=generator, dtype=torch.float64)
    noise = torch.randn(BATCH, ROWS, generator=generator, dtype=torch.float64)
    return A, x @ A.T + NOISE * noise, x


def problem(A: Tensor, weights: Tensor) -> ed.InverseProblem:
    """With a weight for each sample."""
    K = ed.Dense(A)
    K.requires_grad_(False)
    return ed.InverseProblem(A=K, data=ed.SquaredL2(), G=ed.L1(weights[:, None]))


Layer = Callable[[Tensor, Tensor], Tensor]


def ours(adjoint: Callable[[], Any]) -> Callable[[Tensor], Layer]:
    """A layer with this gradient."""
    return lambda A: lambda weights, b: ed.Solved(problem(A, weights), TIGHT, adjoint())(b)


def cone(A: Tensor) -> Layer:
    """The same by cvxpylayers."""
    import cvxpy as cp
    from cvxpylayers.torch import CvxpyLayer

    x, b, weight = cp.Variable(COLUMNS), cp.Parameter(ROWS), cp.Parameter(nonneg=True)
    objective = cp.sum_squares(A.numpy() @ x - b) / 2 + weight * cp.norm1(x)
    layer = CvxpyLayer(cp.Problem(cp.Minimize(objective)), parameters=[b, weight], variables=[x])
    return lambda weights, observed: layer(observed, weights)[0]


WAYS: dict[str, Callable[[Tensor], Layer]] = {
    "Implicit, direct": ours(lambda: ed.Implicit(solver=ed.Direct())),
    "Implicit, MINRES": ours(lambda: ed.Implicit(solver=ed.Minres())),
    "Neumann(500)": ours(lambda: ed.Neumann(500)),
    "cvxpylayers": cone,
}
