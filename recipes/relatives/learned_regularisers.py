"""After the paper: convex regularisers of growing freedom, learned through the solution and taken
to another inverse problem.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import ergodual as ed
from ergodual.images import read_folder
from ergodual.images.loss import InteriorError
from ergodual.images.networks import Exp, cosines
from ergodual.problem import LowerLevel
from recipes.relatives.analysis_synthesis import (
    HELD_OUT,
    RIM,
    SIGMA,
    ZeroSum,
    implicit,
    learn,
)

DEPTH, BATCH, SIDE = 32, 4, 128
"""Iterations of what is unrolled, crops a mini-batch, pixels of a middle that is measured on."""
NOISE, BLUR = 0.01, 1.6
"""Of the images that are to be sharpened."""
KNOTS = torch.tensor([0.05, 0.1, 0.25, 0.6])
NOTES = [
    "min ½‖x − y‖² + R(x), σ = 25/255, float32. R: a weight of total variation; weights of the 24 "
    "cosine filters of 5 × 5; these filters as well, with λ|·|, Huber functions or even convex "
    "potentials of four pieces (Spline). Learned through the solution, to a gap of 1e-3, Implicit "
    f"with Minres(1e-2, 30); or through {DEPTH} iterations (Reverse), or by OneStep.",
    f"Adam, 100 mini-batches of {BATCH} crops of 40 × 40 of images/train400 but for one image in "
    f"{HELD_OUT}, the same for all.",
    f"denoised, deblurred: mean PSNR in dB of the middles, {SIDE} × {SIDE}, of Set12's images; "
    f"deblurred: circular Gaussian blur of {BLUR} pixels, noise of {NOISE}, R as it was learned "
    "times (0.01/σ)². certified: the largest relative gap. seconds: of learning, one core, beside "
    "other work.",
]
SEEDS = (0, 1, 2)


class Mirrored(nn.Module):
    """Curvatures on both sides of 0, learned by the logarithms of the right side's."""

    def forward(self, logarithm: Tensor) -> Tensor:
        half = logarithm.exp()
        return torch.cat([half.flip(-1), half], -1)

    def right_inverse(self, value: Tensor) -> Tensor:
        """Of the right side."""
        return value[..., value.shape[-1] // 2 :].log()


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each regulariser, and for other ways to learn one of them."""
    warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
    images = read_folder(data / "images" / "train400")
    images = [image for i, image in enumerate(images) if i % HELD_OUT]
    test = middles(read_folder(data / "images" / "set12"))
    for name, make, way, rates in WAYS:
        problem = make()
        seconds = learn(way(problem), images, BATCH, rates, seed)
        count = sum(p.numel() for p in problem.parameters() if p.requires_grad)
        problem.requires_grad_(False)
        denoised, gap = restored(problem, test + noise(test), test, 1e-3)
        sharp, other = deblurred(problem, test)
        yield {
            "regulariser": name,
            "parameters": count,
            "denoised": denoised,
            "deblurred": sharp,
            "seconds": seconds,
            "certified": max(gap, other),
        }


def tv() -> ed.Problem:
    """One weight."""
    F = ed.L21(nn.Parameter(torch.tensor(0.7)), dim=1)
    parametrize.register_parametrization(F, "weight", Exp())
    return ed.Problem(F, ed.SquaredL2(), ed.Gradient(axes=(-2, -1)))


def of_filters(potential: str, learned: bool = True) -> ed.Problem:
    """24 filters of 5 × 5, from the cosine transform on."""
    K = ed.Conv(cosines(24, 5, seed=0, noise=0.0), padding="none").requires_grad_(learned)
    if learned:
        parametrize.register_parametrization(K, "kernel", ZeroSum())
    weight = nn.Parameter(torch.full((24, 1, 1), 0.27))
    F: ed.Function
    if potential == "spline":
        half = torch.tensor([5.4, 0.1, 0.05, 0.02]).expand(24, -1)
        knots = torch.cat([-KNOTS.flip(0), torch.zeros(1), KNOTS])
        F = ed.Spline(knots, nn.Parameter(torch.cat([half.flip(1), half], 1)))
        parametrize.register_parametrization(F, "curvature", Mirrored())
        return ed.Problem(F, ed.SquaredL2(), K)
    if potential == "huber":
        F = ed.Huber(weight, nn.Parameter(torch.full((24, 1, 1), 0.05)))
        parametrize.register_parametrization(F, "width", Exp())
    else:
        F = ed.L1(weight)
    parametrize.register_parametrization(F, "weight", Exp())
    return ed.Problem(F, ed.SquaredL2(), K)


def solved(problem: ed.Problem) -> ed.Solved:
    """Learned through the solution."""
    return ed.Solved(problem, 1e-3, implicit(1e-2, 30))


def one_step(problem: ed.Problem) -> ed.Solved:
    """As if the solution had come from one iteration."""
    return ed.Solved(problem, 1e-3, ed.OneStep())


def unrolled(problem: ed.Problem) -> ed.Unrolled:
    """Through so many iterations, by Reverse."""
    return ed.Unrolled(problem, DEPTH, ed.StepSizes.balanced(), ed.Last())


HUBER, RATES = partial(of_filters, "huber"), (2e-3, 2e-2)
WAYS = (
    ("total variation", tv, solved, (2e-2, 2e-2)),
    ("weights, ℓ1", partial(of_filters, "l1", False), solved, (2e-2, 2e-2)),
    ("filters, ℓ1", partial(of_filters, "l1"), solved, RATES),
    ("filters, Huber", HUBER, solved, RATES),
    ("filters, potentials", partial(of_filters, "spline"), solved, RATES),
    ("filters, Huber, unrolled", HUBER, unrolled, RATES),
    ("filters, Huber, one step", HUBER, one_step, RATES),
)
"""By name a regulariser, how it is learned, and the rates."""


def middles(images: list[Tensor]) -> Tensor:
    """In units of the noise that is learned from."""
    found = []
    for image in images:
        top, left = ((n - SIDE) // 2 for n in image.shape[1:])
        found.append(image[:, top : top + SIDE, left : left + SIDE] / SIGMA)
    return torch.stack(found)


def noise(x: Tensor) -> Tensor:
    """Of standard deviation 1, always the same."""
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def deblurred(problem: ed.Problem, x: Tensor) -> tuple[float, float]:
    """As :func:`restored`, from blurred images with less noise."""
    taps = torch.arange(-4.0, 5.0).square().div(-2 * BLUR**2).exp()
    A = ed.Blur(torch.outer(taps, taps) / taps.sum() ** 2)
    ratio = NOISE / SIGMA
    data = ed.SquaredL2(1 / ratio**2)
    sharper = ed.InverseProblem(A=A, data=data, F=problem.F, K=problem.K)
    return restored(sharper, A(x) + ratio * noise(x), x, 1e-2)


def restored(problem: LowerLevel, seen: Tensor, x: Tensor, tol: float) -> tuple[float, float]:
    """The mean PSNR and the largest relative gap."""
    found = ed.solve(problem, seen, tol=tol)
    errors = SIGMA**2 * InteriorError(RIM)(found.x, x)
    return float(-10 * errors.log10().mean()), float(found.error.max())
