"""After the paper: unfolded networks whose steps are those of the accelerated algorithm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

import ergodual as ed
from ergodual.images import read_folder
from ergodual.images.networks import Centred, cosines
from recipes.relatives.structured_models import BATCH, CROP, HELD_OUT, learn, measured

DEPTHS, FILTERS, SIZE = (5, 10, 20), 16, 5
BATCHES, EPOCHS = 40, 10
NOTES = [
    f"{FILTERS} filters of {SIZE} × {SIZE} and thresholds of each layer, F a weighted ℓ1 norm, G a "
    "square; σ = 25/255. plain: σ = τ = 0.99/‖K‖, θ = 1; accelerated: the steps and θ that G's "
    "strong convexity allows (StepSizes.accelerated), none learned; learned: all steps, from the "
    "plain ones on. The last iterate.",
    f"Adam, {BATCHES * EPOCHS} mini-batches of {BATCH} crops of {CROP} × {CROP} of images/train400 "
    f"but for one image in {HELD_OUT}, which are validation.",
    "seconds: of learning, one core, beside other work. validation, set12: mean PSNR in dB.",
]
SEEDS = (0, 1, 2)


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each depth and kind of steps."""
    images = read_folder(data / "images" / "train400")
    some = [image for i, image in enumerate(images) if i % HELD_OUT]
    test = read_folder(data / "images" / "set12")
    for depth in DEPTHS:
        for steps in ("plain", "accelerated", "learned"):
            model = network(steps, depth)
            seconds = learn(model, some, BATCHES, EPOCHS, seed)
            yield {
                "steps": steps,
                "layers": depth,
                "validation": measured(model, images[::HELD_OUT]),
                "set12": measured(model, test),
                "seconds": seconds,
            }


def network(steps: str, depth: int) -> nn.Module:
    """In units of the noise, from the cosine transform on."""
    rules = {
        "plain": ed.StepSizes.balanced(),
        "accelerated": ed.StepSizes.accelerated(1.0),
        "learned": ed.StepSizes.learned(
            per_iteration=True, theta=nn.Parameter(torch.ones(depth)), relative=True
        ),
    }

    def layer(k: int) -> ed.Problem:
        weight = nn.Parameter(torch.full((FILTERS, 1, 1), 0.25))
        K = ed.Conv(cosines(FILTERS, SIZE, k), padding="none")
        return ed.Problem(ed.L1(weight), ed.SquaredL2(), K)

    layers = [layer(k) for k in range(depth)]
    return Centred(ed.Unrolled(layers, steps=rules[steps], output=ed.Last()))
