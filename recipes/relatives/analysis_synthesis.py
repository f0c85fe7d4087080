"""[10] on grey images: filters of an analysis model and atoms of a synthesis model, learned through
the solution.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.images import NoisyCrops, add_noise, denoise, psnr, read_folder
from ergodual.images.loss import InteriorError
from ergodual.images.networks import Exp, cosines

SIGMA, HELD_OUT = 25 / 255, 20
CROP, STEPS, RIM = 40, 20, 4
"""Pixels of a crop, mini-batches an epoch, and the rim that is not counted."""
NOTES = [
    "Analysis and synthesis as on the page, σ = 25/255, float32, from the cosine transform on; "
    "filters have sum zero, atoms are for images less their means. Solved to a relative gap of "
    "3e-4 (analysis) or 1e-2 (synthesis), Implicit with Minres(1e-3, 60) or (1e-2, 40).",
    f"Adam, 100 mini-batches of 8 (synthesis: of 4) crops of {CROP} × {CROP} of images/train400 "
    f"but for one image in {HELD_OUT}, on which crops, rates and accuracies were chosen.",
    "set12: mean PSNR in dB. seconds: of learning, one core, beside other work. certified: the "
    "largest relative gap on set12.",
]
SEEDS = (0, 1, 2)


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each model."""
    warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
    images = read_folder(data / "images" / "train400")
    images = [image for i, image in enumerate(images) if i % HELD_OUT]
    test = read_folder(data / "images" / "set12")
    for name, make, batch, rates in MODELS:
        model = make()
        seconds = learn(model, images, batch, rates, seed)
        set12, gap = measured(model, model.layer, test)
        yield {
            "model": name,
            "parameters": sum(p.numel() for p in model.parameters()),
            "set12": set12,
            "seconds": seconds,
            "certified": gap,
        }


class ZeroSum(nn.Module):
    """Filters whose sums stay zero."""

    def forward(self, kernel: Tensor) -> Tensor:
        return kernel - kernel.mean((-2, -1), keepdim=True)


class Analysis(nn.Module):
    """Min_x ½‖x − y‖² + Σ_j λ_j ‖k_j ∗ x‖₁, from the cosine transform on."""

    def __init__(self, filters: int, size: int, weight: float) -> None:
        super().__init__()
        K = ed.Conv(cosines(filters, size, seed=0, noise=0.0), padding="none")
        parametrize.register_parametrization(K, "kernel", ZeroSum())
        F = l1(torch.full((filters,), weight))
        self.layer = ed.Solved(ed.Problem(F, ed.SquaredL2(), K), 3e-4, implicit(1e-3, 60))

    def forward(self, y: Tensor) -> Tensor:
        found: Tensor = self.layer(y)
        return found


class Synthesis(nn.Module):
    """Σ_j d_j ∗ z_j with z of min_z ½‖Σ_j d_j ∗ z_j − y‖² + Σ_j λ_j ‖z_j‖₁, of images less their
    means.
    """

    def __init__(self) -> None:
        super().__init__()
        atoms = torch.cat([torch.full((1, 1, 5, 5), 1 / 25), cosines(24, 5, 0, 0.0)])
        self.A = ed.Conv(atoms, padding="same").T
        self.G = l1(torch.cat([torch.tensor([0.3]), torch.full((24,), 0.8)]))
        problem = ed.InverseProblem(A=self.A, data=ed.SquaredL2(), G=self.G)
        self.layer = ed.Solved(problem, 1e-2, implicit(1e-2, 40))

    def forward(self, y: Tensor) -> Tensor:
        mean = y.mean((1, 2, 3), keepdim=True)
        return self.A(self.layer(y - mean)) + mean


MODELS = (
    ("analysis, 24 filters of 5 × 5", partial(Analysis, 24, 5, 0.27), 8, (2e-3, 2e-2)),
    ("analysis, 48 filters of 7 × 7", partial(Analysis, 48, 7, 0.2), 8, (1e-3, 3e-2)),
    ("synthesis, 25 atoms of 5 × 5", Synthesis, 4, (2e-3, 3e-2)),
)
"""By name what makes it, crops a mini-batch, and rates of filters and of their weights' logarithms.
"""


def implicit(tol: float, iterations: int) -> ed.Implicit:
    """With products alone."""
    return ed.Implicit(solver=ed.Minres(tol, iterations))


def l1(weights: Tensor) -> ed.L1:
    F = ed.L1(nn.Parameter(weights[:, None, None]))
    parametrize.register_parametrization(F, "weight", Exp())
    return F


def learn(
    model: nn.Module, images: list[Tensor], batch: int, rates: tuple[float, float], seed: int
) -> float:
    """From noisy crops; the seconds that it took."""
    begun = time.process_time()
    fit(
        model,
        NoisyCrops(images, CROP, SIGMA, STEPS, batch, measured=1),
        epochs=5,
        batch_size=batch,
        loss=InteriorError(RIM),
        optimizer="adam",
        lr=rates[0],
        lr_scale=rates[1] / rates[0],
        schedule="cosine",
        warmup=10,
        clip=1.0,
        seed=seed,
    )
    return time.process_time() - begun


def measured(model: nn.Module, layer: ed.Solved, images: list[Tensor]) -> tuple[float, float]:
    """The mean PSNR, of noise of each image's own, and the largest relative gap of the layer."""
    found, gaps = [], []
    for i, image in enumerate(images):
        found.append(psnr(denoise(model, add_noise(image, SIGMA, i), SIGMA), image))
        assert layer.solution is not None
        gaps.append(float(layer.solution.error.max()))
    return sum(found) / len(found), max(gaps)
