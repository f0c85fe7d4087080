"""Regularisation weights learned on images by three gradients against a grid, and warm starts."""

from __future__ import annotations

import functools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

import ergodual as ed
from benchmarks.images import crops
from benchmarks.measure import one_core, report
from ergodual.bilevel import History, fit

IMAGES, CROP, NOISE, TOLERANCE, DEPTH = 20, 64, 25 / 255, 1e-5, 400
GRADIENTS = ("Implicit", "Neumann", "Reverse")
FACTORS = [1.1**k for k in range(-6, 7)]
WARM_EPOCHS, WARM_TOLERANCES = 6, (1e-4, 1e-6)
NOTES = [
    f"½‖x − b‖² + the regulariser, {IMAGES} crops of {CROP} × {CROP} of images/train400, σ = "
    f"25/255, mean squared error, float64; weights in a softplus, 40 iterations of LBFGS at "
    "most, whole batch.",
    "total variation: one weight, against a grid whose points are 1.1 apart. filters: 8 weights of "
    "the 3 × 3 DCT without its mean; the grid goes through each weight, and all together, by the "
    "same factors around what Implicit has learned.",
    "from the grid: by what factor a learned weight is off the best point along its grid (of "
    "filters, the largest); gain of the grid: by how much its best loss is lower, relative.",
    "Implicit (MINRES to 1e-3, 300 iterations at most) and Neumann(200) at solutions to "
    f"{TOLERANCE:g}; Reverse through {DEPTH} iterations.",
    "warm starts: the DCT filters' operator and weights learned by Neumann(100), Adam, batches of "
    "5, to the tolerance named; iterations of the lower level a sample and epoch, cold and warm.",
]


def main(out: Path) -> None:
    """The two problems by the three gradients, and the warm starts."""
    one_core()
    warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
    x, b = crops(IMAGES, CROP, NOISE)
    rows = [
        row
        for name, make in (("total variation", total_variation), ("filters", filters))
        for row in against_grid(name, make, x, b)
    ]
    rows += [warm_starts(tolerance, x, b) for tolerance in WARM_TOLERANCES]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    report(
        "bilevel",
        "Weights learned on images",
        [{key: row.get(key) for key in columns} for row in rows],
        out,
        NOTES,
    )


def total_variation() -> ed.InverseProblem:
    """With one weight, far from the best."""
    F = ed.L21(nn.Parameter(torch.tensor(0.02, dtype=torch.float64)), dim=1)
    return ed.InverseProblem(data=ed.SquaredL2(), F=F, K=ed.Gradient(axes=(-2, -1)))


def filters() -> ed.InverseProblem:
    """With eight."""
    C = ed.Dense.dct(3, torch.float64).matrix.detach()
    kernel = torch.einsum("ij,kl->ikjl", C, C).reshape(9, 1, 3, 3)[1:]
    F = ed.L1(nn.Parameter(torch.full((8, 1, 1), 0.01, dtype=torch.float64)))
    K = ed.Conv(kernel)
    K.requires_grad_(False)
    return ed.InverseProblem(data=ed.SquaredL2(), F=F, K=K)


def against_grid(
    name: str, make: Callable[[], ed.InverseProblem], x: Tensor, b: Tensor
) -> list[dict[str, Any]]:
    """A row for each gradient, beside the best points of a grid around what the first one finds."""
    found = {gradient: learned(make, gradient, x, b) for gradient in GRADIENTS}
    base = found[GRADIENTS[0]].weights
    best, lowest = grid(make(), base, x, b)
    rows = []
    for gradient, (weights, before, loss, seconds) in found.items():
        off = (weights / best).log().abs().max().exp()
        rows.append(
            {
                "problem": name,
                "gradient": gradient,
                "weights": " ".join(f"{w:.4f}" for w in weights.flatten().tolist()),
                "psnr before": psnr(before),
                "psnr": psnr(loss),
                "from the grid": float(off),
                "gain of the grid": max(0.0, 1 - lowest / loss),
                "seconds": seconds,
            }
        )
    return rows


class Learned(NamedTuple):
    """Weights, the losses before and after, and how long it took."""

    weights: Tensor
    before: float
    loss: float
    seconds: float


def learned(make: Callable[[], ed.InverseProblem], gradient: str, x: Tensor, b: Tensor) -> Learned:
    """What one gradient leads to."""
    problem = make()
    F: Any = problem.F  # with weights
    nn.utils.parametrize.register_parametrization(F, "weight", Positive())
    adjoint = (
        ed.Implicit(solver=ed.Minres(1e-3, 300)) if gradient == "Implicit" else ed.Neumann(200)
    )
    model: nn.Module = ed.Solved(problem, TOLERANCE, adjoint)
    if gradient == "Reverse":
        steps = ed.StepSizes.balanced()
        model = ed.Unrolled(problem, DEPTH, steps, ed.Last(), ed.Checkpointed())
    begun = time.perf_counter()
    history = fit(
        model,
        b,
        x,
        epochs=1,
        batch_size=len(b),
        optimizer=functools.partial(
            torch.optim.LBFGS, lr=1, max_iter=40, line_search_fn="strong_wolfe"
        ),
        schedule="constant",
        loss=nn.MSELoss(),
    )
    seconds = time.perf_counter() - begun
    weights = F.weight.detach().clone()
    losses = [epoch.train_loss for epoch in history.epochs]
    print(f"{gradient}: {weights.flatten().tolist()}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return Learned(weights, losses[0], losses[-1], seconds)


class Positive(nn.Module):
    """Softplus, in units of a hundredth."""

    def forward(self, t: Tensor) -> Tensor:
        return 0.01 * nn.functional.softplus(t)

    def right_inverse(self, w: Tensor) -> Tensor:
        return (w / 0.01).expm1().log()


def grid(problem: ed.InverseProblem, weights: Tensor, x: Tensor, b: Tensor) -> tuple[Tensor, float]:
    """The best point for each weight on the grids around these ones, and the lowest loss; every
    solve starts from the solution beside it.
    """
    model, F = ed.Solved(problem, TOLERANCE), cast(Any, problem.F)
    together = torch.ones_like(weights)
    directions = [together]
    if weights.numel() > 1:
        directions += list(torch.eye(weights.numel(), dtype=x.dtype).view(-1, *weights.shape))
    best, lowest = weights.clone(), float("inf")
    for direction in directions:
        losses = {}
        for step in FACTORS:
            with torch.no_grad():
                F.weight.copy_(weights * step**direction)
                losses[step] = float((model(b) - x).square().mean())
            model.start = model.solution
        least = min(losses, key=lambda step: losses[step])
        lowest = min(lowest, losses[least])
        if direction is not together or len(directions) == 1:
            best *= least**direction
        print(f"grid: {least:.3f}", file=sys.stderr, flush=True)
    return best, lowest


def psnr(loss: float) -> float:
    """Of images between 0 and 1."""
    return float(-10 * np.log10(loss))


def warm_starts(tolerance: float, x: Tensor, b: Tensor) -> dict[str, Any]:
    """Iterations by epoch, cold and warm."""

    def learn(warm: bool) -> History:
        problem = filters()
        problem.K.requires_grad_()
        model = ed.Solved(problem, tolerance, ed.Neumann(100))
        return fit(
            model,
            b,
            x,
            epochs=WARM_EPOCHS,
            batch_size=5,
            optimizer="adam",
            lr=3e-4,
            loss=nn.MSELoss(),
            warm_start=warm,
        )

    cold, warm = learn(False), learn(True)
    fifth = [history.epochs[5].iterations or 0.0 for history in (warm, cold)]
    return {
        "problem": "warm starts",
        "accuracy": f"{tolerance:g}",
        "gradient": "Neumann",
        "psnr before": psnr(cold.epochs[0].train_loss),
        "psnr": psnr(warm.epochs[-1].train_loss),
        "cold": [epoch.iterations for epoch in cold.epochs[1:]],
        "warm": [epoch.iterations for epoch in warm.epochs[1:]],
        "warm/cold in epoch 5": fifth[0] / fifth[1],
        "loss, warm/cold": warm.epochs[-1].train_loss / cold.epochs[-1].train_loss,
    }
