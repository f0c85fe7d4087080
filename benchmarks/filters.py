"""The derivative of 48 filters at the solution, on crops of images: memory, residual, and against
central differences.
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ergodual as ed
from benchmarks.images import crops
from benchmarks.measure import one_core, report
from ergodual.solving import Start
from ergodual.solving.at_solution import FixedPoint
from ergodual.solving.linear_solvers import Minres
from ergodual.solving.linearised import Linearised
from ergodual.solving.newton_step import newton_step
from ergodual.solving.scales import scales_of, steps_of

FILTERS, SIZE, CROPS, CROP, NOISE = 48, 7, 8, 64, 25 / 255
WEIGHT, TOLERANCE, DIRECTIONS, STEP = 0.005, 1e-10, 16, 1e-8
LIMIT, PIGGYBACK = 8_000, 1e-6
NOTES = [
    f"min ½‖x − b‖² + Σ_k {WEIGHT} ‖K_k x‖₁ with {FILTERS} random filters of {SIZE} × {SIZE} and "
    f"mean 0, {CROPS} crops of {CROP} × {CROP} of images/train400 with noise of σ = 25/255, "
    f"float64, solved to {TOLERANCE:g} within {LIMIT} iterations; gradients of "
    "½‖x̂ − x‖² in all filters and weights by Implicit, whose solver is MINRES at this size.",
    f"cosine, error: of {DIRECTIONS} slopes along random directions in the filters and weights "
    "together against central differences, whose solutions are Newton steps from the solution, "
    "which others have polished, with certificates of their own (the largest is shown); crops "
    "whose active set has settled (the report's settled), and those of them whose "
    "derivative exists (regular); where it does not, Implicit warns.",
    f"Piggyback: to a residual of {PIGGYBACK:g}, against Implicit; its estimate is that of the "
    "distance to its limit.",
    "MB: the largest resident memory of the process, Python and torch included, up to the "
    "gradient.",
]


def main(out: Path) -> None:
    """One row."""
    one_core()
    x, observed = crops(CROPS, CROP, NOISE)
    problem = problem_of()
    layer = ed.Solved(problem, tol=TOLERANCE, max_iterations=LIMIT)
    begun = time.perf_counter()
    x_hat = layer(observed)
    solving = time.perf_counter() - begun
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
        losses(x_hat, x).sum().backward()
    implicit = layer.adjoint
    assert isinstance(implicit, ed.Implicit)
    assert implicit.report is not None
    assert layer.solution is not None
    found = layer.solution
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    seconds = time.perf_counter() - begun - solving
    settled = implicit.report.settled
    regular = implicit.report.regular[settled]
    residual = float(implicit.report.residual.max())
    print("implicit", implicit.report, memory, seconds, file=sys.stderr, flush=True)
    b, truth = observed[settled], x[settled]
    start = Start(*(t[settled] for t in (found.r, found.y, found.weight)))
    start = polished(problem, start, b)
    gradients = [alone(layer, start, b, truth, crop) for crop in range(len(b))]
    theirs, certificate = slopes(problem, start, b, truth)
    ours = torch.stack([along(list(problem.parameters()), each) for each in gradients], 1)
    other = by_piggyback(problem, layer, gradients, start, b, truth)
    row = {
        "filters": f"{FILTERS} of {SIZE} x {SIZE}",
        "crops": CROPS,
        "settled": int(settled.sum()),
        "regular": int(regular.sum()),
        "iterations": int(found.iterations.max()),
        "error": float(found.error.max()),
        "solving s": solving,
        "gradient s": seconds,
        "MB": memory,
        "residual": residual,
        **compared("settled", ours.sum(1), theirs.sum(1)),
        **compared("regular", ours[:, regular].sum(1), theirs[:, regular].sum(1)),
        "error of differences": certificate,
        **other,
    }
    report("filters", "Filters on images at the solution", [row], out, NOTES)


def compared(which: str, ours: Tensor, theirs: Tensor) -> dict[str, float]:
    """How near slopes are to those of differences."""
    cosine = torch.nn.functional.cosine_similarity(ours, theirs, dim=0)
    return {
        f"cosine, {which}": float(cosine),
        f"error, {which}": float((ours - theirs).norm() / theirs.norm()),
    }


def problem_of(filters: int = FILTERS) -> ed.InverseProblem:
    """With random filters."""
    generator = torch.Generator().manual_seed(1)
    kernel = torch.randn(filters, 1, SIZE, SIZE, generator=generator, dtype=torch.float64) / SIZE
    kernel -= kernel.mean((2, 3), keepdim=True)
    weights = nn.Parameter(torch.full((filters, 1, 1), WEIGHT, dtype=torch.float64))
    return ed.InverseProblem(data=ed.SquaredL2(), F=ed.L1(weights), K=ed.Conv(kernel))


def alone(layer: ed.Solved, start: Start, b: Tensor, x: Tensor, crop: int) -> tuple[Tensor, ...]:
    """Implicit's gradients of one crop's loss."""
    one = slice(crop, crop + 1)
    layer.start = Start(*(t[one] for t in (start.r, start.y, start.weight)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
        loss = losses(layer(b[one]), x[one]).sum()
        return torch.autograd.grad(loss, list(layer.problem.parameters()))


def by_piggyback(
    problem: ed.InverseProblem,
    layer: ed.Solved,
    gradients: list[tuple[Tensor, ...]],
    start: Start,
    b: Tensor,
    x: Tensor,
) -> dict[str, float]:
    """The same gradient by Piggyback."""
    problem.zero_grad()
    layer.adjoint = piggyback = ed.Piggyback(PIGGYBACK)
    layer.start = start
    value = losses(layer(b), x).sum()
    begun = time.perf_counter()
    value.backward()
    seconds = time.perf_counter() - begun
    exact = torch.cat([torch.stack(each).sum(0).flatten() for each in zip(*gradients, strict=True)])
    found = torch.cat([t.grad.flatten() for t in problem.parameters() if t.grad is not None])
    assert piggyback.report is not None
    return {
        "Piggyback s": seconds,
        "its iterations": int(piggyback.report.iterations.max()),
        "its difference": float((found - exact).norm() / exact.norm()),
        "its estimate": float(piggyback.report.estimate.max()),
    }


def losses(x_hat: Tensor, x: Tensor) -> Tensor:
    """½‖x̂ − x‖² of each crop."""
    return (x_hat - x).square().flatten(1).sum(1) / 2


def directions(tensors: list[nn.Parameter]) -> Iterator[list[Tensor]]:
    """Random small moves of all of them together, the same ones each time."""
    generator = torch.Generator().manual_seed(2)
    for _ in range(DIRECTIONS):
        yield [
            t.detach().norm() * STEP * v / v.norm()
            for t in tensors
            for v in [torch.randn(t.shape, generator=generator, dtype=t.dtype)]
        ]


def along(tensors: list[nn.Parameter], gradients: Sequence[Tensor]) -> Tensor:
    """The slope in each direction, from gradients in the tensors."""
    gradient = torch.cat([g.flatten() for g in gradients])
    moves = [torch.cat([m.flatten() for m in each]) for each in directions(tensors)]
    return torch.stack(moves) @ gradient


def slopes(problem: ed.InverseProblem, start: Start, b: Tensor, x: Tensor) -> tuple[Tensor, float]:
    """Differences in each direction, ``(directions, crops)``, and the largest error of a
    certificate.
    """
    found, largest = [], 0.0
    tensors = list(problem.parameters())
    for moves in directions(tensors):
        ends = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for t, move in zip(tensors, moves, strict=True):
                    t.add_(move, alpha=sign)
                value, error = resolved(problem, start, b, x)
                for t, move in zip(tensors, moves, strict=True):
                    t.sub_(move, alpha=sign)
            ends.append(value)
            largest = max(largest, float(error.max()))
        found.append((ends[0] - ends[1]) / 2)
        print("slopes", found[-1].tolist(), file=sys.stderr, flush=True)
    return torch.stack(found), largest


def resolved(
    problem: ed.InverseProblem, start: Start, b: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """The losses at a solution beside another one, and its certificate."""
    there = stepped(problem, start, b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ed.NotConvergedWarning)
        judged: Any = ed.solve(problem, b, 1e-9, max_iterations=0, start=there)
    return losses(judged.x, x), judged.error


def polished(problem: ed.InverseProblem, start: Start, b: Tensor) -> Start:
    """Three Newton steps away: after one, losses may still move by more than differences do."""
    for _ in range(3):
        start = stepped(problem, start, b)
    return start


@torch.no_grad()
def stepped(problem: ed.InverseProblem, start: Start, b: Tensor) -> Start:
    """A Newton step away."""
    one = problem.instance(b).detached()
    norm, method = one.K.norm_bound(one.domain), ed.Restarted()
    sigma, tau = steps_of(one, norm, scales_of(one, method.precondition), start.weight)
    point = FixedPoint(one, start.r, start.y, sigma, tau, 1.0)
    at = Linearised.beside(point, 0.0)  # y may be inside of weights that have grown
    landed, _ = newton_step(point, at, Minres(1e-5).prepare(at))
    return Start(landed.r, landed.y, start.weight)
