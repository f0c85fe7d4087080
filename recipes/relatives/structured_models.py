"""[17] on grey images: five layers with filters that all share, of each one's own, or of each way's
own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.images import NoisyCrops, add_noise, denoise, psnr, read_folder
from ergodual.images.loss import InteriorError
from ergodual.images.networks import Centred, cosines
from recipes.images.training import Adam

SIGMA, LAYERS, FILTERS, SIZE = 25 / 255, 5, 32, 7
CROP, BATCH, BATCHES, EPOCHS = 40, 4, 80, 20
"""Pixels of a crop, crops a mini-batch, mini-batches an epoch."""
RATES, HELD_OUT = (1e-2, 3e-2), 20
"""Of learning, for filters and all else; one image in so many is for validation."""
NOTES = [
    f"{LAYERS} layers y⁺ = prox_F*(y + σWx̄), x⁺ = prox_G(x − τVy⁺) of {FILTERS} filters of {SIZE} "
    f"× {SIZE}, F a weighted ℓ1 norm, G a square; σ = 25/255. Thresholds, σ, τ and θ of each layer "
    "are learned. tied: one W of all layers, and Wᵀ back; untied: a W of each layer, and Wᵀ back; "
    "V free: a W and a V of each layer.",
    f"Adam, {BATCHES * EPOCHS} mini-batches of {BATCH} crops of {CROP} × {CROP} of images/train400 "
    f"but for one image in {HELD_OUT}. These are validation, on which crops and learning rates "
    "were chosen, for V free. A short training, after which the networks still improve.",
    "seconds: of learning, one core, beside other work. validation, set12: mean PSNR in dB. BM3D's "
    "mean over Set12 is 29.97 dB in Zhang, Zuo, Chen, Meng, Zhang, IEEE TIP 2017, Table III; it is "
    "not run here.",
]
SEEDS = (0, 1, 2)


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each kind of network."""
    images = read_folder(data / "images" / "train400")
    some = [image for i, image in enumerate(images) if i % HELD_OUT]
    test = read_folder(data / "images" / "set12")
    for kind in ("tied", "untied", "V free"):
        model = network(kind)
        seconds = learn(model, some, BATCHES, EPOCHS, seed)
        yield {
            "network": kind,
            "parameters": sum(p.numel() for p in model.parameters()),
            "validation": measured(model, images[::HELD_OUT]),
            "set12": measured(model, test),
            "seconds": seconds,
        }


def learn(model: nn.Module, images: list[Tensor], batches: int, epochs: int, seed: int) -> float:
    """From noisy crops, so many mini-batches an epoch; the seconds that it took."""
    begun = time.process_time()
    fit(
        model,
        NoisyCrops(images, CROP, SIGMA, batches, BATCH),
        epochs=epochs,
        batch_size=BATCH,
        loss=InteriorError(),
        optimizer=Adam(model, *RATES),
        schedule="cosine",
        warmup=20,
        clip=1.0,
        seed=seed,
    )
    return time.process_time() - begun


def network(kind: str) -> nn.Module:
    """The layers, in units of the noise, all from the cosine transform on."""

    def layer(k: int) -> ed.Problem:
        W: ed.Operator = conv(k)
        if kind == "V free":
            W = ed.Unmatched(W, conv(k))
        weight = nn.Parameter(torch.full((FILTERS, 1, 1), 0.25))
        return ed.Problem(ed.L1(weight), ed.SquaredL2(), W)

    layers = [layer(0)] * LAYERS if kind == "tied" else [layer(k) for k in range(LAYERS)]
    theta = nn.Parameter(torch.full((LAYERS,), 0.9))
    steps = ed.StepSizes.learned(per_iteration=True, theta=theta, relative=True)
    return Centred(ed.Unrolled(layers, steps=steps, output=ed.Last()))


def conv(seed: int) -> ed.Conv:
    """Cosines with noise."""
    return ed.Conv(cosines(FILTERS, SIZE, seed), padding="none")


def measured(model: nn.Module, images: list[Tensor]) -> float:
    """The mean PSNR, of noise of each image's own."""
    pairs = [(image, add_noise(image, SIGMA, i)) for i, image in enumerate(images)]
    return sum(psnr(denoise(model, y, SIGMA), x) for x, y in pairs) / len(pairs)
