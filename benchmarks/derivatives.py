"""How far each rule's gradient of filters at a solution is from differences, and its seconds."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import torch
from torch.nn.functional import cosine_similarity

import ergodual as ed
from benchmarks.filters import (
    DIRECTIONS,
    LIMIT,
    SIZE,
    TOLERANCE,
    along,
    losses,
    polished,
    problem_of,
    slopes,
)
from benchmarks.images import crops
from benchmarks.measure import one_core, report
from ergodual.solving import Start

FILTERS, CROP, NOISE, ITERATIONS = 24, 64, 25 / 255, 64
RULES: dict[str, ed.Piggyback | ed.Implicit | ed.Neumann | None] = {
    "Implicit(Minres())": ed.Implicit(),
    "Piggyback(1e-6)": ed.Piggyback(1e-6),
    "Piggyback(1e-4)": ed.Piggyback(1e-4),
    f"Neumann({ITERATIONS})": ed.Neumann(ITERATIONS),
    f"Neumann({8 * ITERATIONS})": ed.Neumann(8 * ITERATIONS),
    f"Reverse through {ITERATIONS}": None,
}
NOTES = [
    f"{FILTERS} filters of {SIZE} x {SIZE}, ℓ1, one crop of {CROP} x {CROP} of images/train400 "
    f"with noise of σ = 25/255, float64, solved to a relative gap of {TOLERANCE:g}.",
    f"cosine, error: of {DIRECTIONS} slopes of ½‖x̂ − x‖² along random directions in the filters "
    "and weights together, against central differences of solutions found by Newton steps.",
    "s: of the backward pass, on one core; of Reverse, which has no solution, of both passes.",
]


def main(out: Path) -> None:
    """A row for each rule."""
    one_core()
    warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
    x, observed = crops(1, CROP, NOISE)
    problem = problem_of(FILTERS)
    layer = ed.Solved(problem, tol=TOLERANCE, max_iterations=LIMIT)
    layer(observed)
    found = layer.solution
    assert found is not None
    start = polished(problem, Start(found.r, found.y, found.weight), observed)
    exact = slopes(problem, start, observed, x)[0][:, 0]
    tensors = list(problem.parameters())
    rows = []
    for name, adjoint in RULES.items():
        begun = time.perf_counter()
        if adjoint is None:
            x_hat = ed.Unrolled(problem, ITERATIONS, output=ed.Last())(observed)
        else:
            layer.adjoint = adjoint
            x_hat = layer(observed, start=found)
            begun = time.perf_counter()
        gradients = torch.autograd.grad(losses(x_hat, x).sum(), tensors)
        seconds, ours = time.perf_counter() - begun, along(tensors, gradients)
        rows.append(
            {
                "rule": name,
                "cosine": float(cosine_similarity(ours, exact, dim=0)),
                "error": float((ours - exact).norm() / exact.norm()),
                "s": seconds,
            }
        )
    report("derivatives", "Gradients of filters at a solution", rows, out, NOTES)
