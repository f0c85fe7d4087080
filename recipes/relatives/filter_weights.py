"""[12] on photographs: weights of cosine filters, learned through the solution, beside total
variation.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.images import add_noise, denoise, psnr, read_folder
from ergodual.images.loss import InteriorError
from ergodual.images.networks import Exp, cosines

SIGMA, CROPS, SIZE, RIM = 25 / 255, 20, 64, 4
ITERATIONS, EVALUATIONS = 10, 12
NOTES = [
    "min ½‖x − y‖² + Σ_j λ_j φ(k_j ∗ x), k_j the cosine transform of 3 × 3 or 5 × 5 without its "
    "mean, φ = |·| (ℓ1) or ½(·)² (ℓ2); or λ times total variation. σ = 25/255, float32.",
    f"log λ by LBFGS, {ITERATIONS} iterations and {EVALUATIONS} gradients at most, from {CROPS} "
    f"crops of {SIZE} × {SIZE} of images/train400, mean squared error without a rim of {RIM} "
    "pixels; solved to a relative gap of 1e-4, Implicit with Minres(1e-2, 100). Kunisch and Pock "
    "take a semismooth Newton method.",
    "crops: PSNR of their mean error, in dB. set12: mean PSNR of its images, solved to 1e-3. "
    "seconds: of learning, on one core. certified: the largest relative gap on set12. TV by a "
    "grid: 17 weights, each 1.05 times the one before.",
]
SEEDS = (0, 1, 2)


def run(data: Path, _seed: int) -> Iterator[dict[str, object]]:
    """A row for each regulariser; a seed has crops and noise of its own."""
    warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
    x = crops(data / "images" / "train400")
    y = x + torch.randn_like(x)
    test = read_folder(data / "images" / "set12")
    pairs = [(image, add_noise(image, SIGMA, i)) for i, image in enumerate(test)]
    for name, problem in problems().items():
        begun = time.process_time()
        search(problem, y, x) if name == "TV by a grid" else learn(problem, y, x)
        seconds = time.process_time() - begun
        layer, gaps, found = ed.Solved(problem, tol=1e-3), [0.0], []
        with torch.no_grad():
            crop_loss = float(InteriorError(RIM)(ed.Solved(problem, tol=1e-4)(y), x).mean())
        for image, noisy in pairs:
            found.append(psnr(denoise(layer, noisy, SIGMA), image))
            assert layer.solution is not None
            gaps.append(float(layer.solution.error.max()))
        yield {
            "regulariser": name,
            "weights": sum(p.numel() for p in problem.F.parameters()),
            "crops": float(-10 * torch.tensor(SIGMA**2 * crop_loss).log10()),
            "set12": sum(found) / len(found),
            "seconds": seconds,
            "certified": max(gaps),
        }


def problems() -> dict[str, ed.Problem]:
    """By name, with the weights that learning starts from, in units of the noise."""
    gradient = ed.Gradient(axes=(-2, -1))
    made = {
        "TV by a grid": (ed.L21(nn.Parameter(torch.tensor(0.5)), dim=1), gradient),
        "TV": (ed.L21(nn.Parameter(torch.tensor(0.5)), dim=1), gradient),
    }
    found = {name: ed.Problem(F, ed.SquaredL2(), K) for name, (F, K) in made.items()}
    for size in (3, 5):
        count = size**2 - 1
        K = ed.Conv(cosines(count, size, seed=0, noise=0.0), padding="none").requires_grad_(False)
        for name, function, start in (("ℓ2", ed.SquaredL2, 1.0), ("ℓ1", ed.L1, 1.5 / size)):
            F = function(nn.Parameter(torch.full((count, 1, 1), start)))
            found[f"{name}, DCT {size} × {size}"] = ed.Problem(F, ed.SquaredL2(), K)
    for name, problem in found.items():
        if name != "TV by a grid":
            parametrize.register_parametrization(problem.F, "weight", Exp())
    return found


def learn(problem: ed.Problem, y: Tensor, x: Tensor) -> None:
    """The weights of F."""
    layer = ed.Solved(problem, 1e-4, ed.Implicit(solver=ed.Minres(1e-2, 100)))
    optimizer = partial(
        torch.optim.LBFGS,
        lr=1.0,
        max_iter=ITERATIONS,
        max_eval=EVALUATIONS,
        tolerance_change=1e-5,
        line_search_fn="strong_wolfe",
    )
    fit(
        layer,
        y,
        x,
        epochs=1,
        batch_size=len(y),
        optimizer=optimizer,
        schedule="constant",
        loss=InteriorError(RIM),
    )


def search(problem: ed.Problem, y: Tensor, x: Tensor) -> None:
    """The best weight of a grid."""
    layer, losses, F = ed.Solved(problem, 1e-4), {}, cast(Any, problem.F)
    for k in range(17):
        weight = 0.5 * 1.05**k
        with torch.no_grad():
            F.weight.fill_(weight)
            losses[weight] = float(InteriorError(RIM)(layer(y), x).mean())
    with torch.no_grad():
        F.weight.fill_(min(losses, key=lambda weight: losses[weight]))


def crops(folder: Path) -> Tensor:
    """At random places of random images, in units of the noise."""
    images, found = read_folder(folder), []
    for i in torch.randperm(len(images))[:CROPS].tolist():
        top, left = (int(torch.randint(n - SIZE + 1, ())) for n in images[i].shape[1:])
        found.append(images[i][:, top : top + SIZE, left : left + SIZE])
    return torch.stack(found) / SIGMA
