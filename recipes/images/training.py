"""What is trained, from what, with which rates and how long; each training can be gone on with."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ergodual.bilevel import Epoch, fit
from ergodual.bilevel.workers import joined
from ergodual.files import write_atomically
from ergodual.images import NoisyCrops, read_folder
from ergodual.images.loss import InteriorError
from ergodual.images.networks import (
    Centred,
    an_operator_per_iteration,
    near_solution,
    one_operator,
    with_maps,
)
from ergodual.images.unet import DnCNN, UNet
from ergodual.operators import Operator
from ergodual.primal_dual import Unrolled
from ergodual.problem import Problem
from ergodual.solving import Solved

SIGMA = 25 / 255
RANGE = (10 / 255, 55 / 255)
"""The noise that a model is for, or all that one model is for."""
CROP, BATCH, BATCHES = 88, 3, 100
"""Pixels of a crop, crops a mini-batch, mini-batches an epoch."""
WARMUP, CLIP = 50, 1.0
STARTED = f"{os.getpid()}-{time.time_ns()}"
WORLD = int(os.environ.get("WORLD_SIZE", "1"))
"""This start of a training, and how many processes take part."""
HELD_OUT = 20
"""One image in so many is for validation."""


@dataclass
class Adam:
    """Adam whose rates are those of what a parameter is part of."""

    model: nn.Module
    operators: float
    others: float
    networks: float = 1e-3

    def __call__(self, params: Any) -> torch.optim.Optimizer:
        """For all parameters of the model."""
        parts: dict[float, list[nn.Parameter]] = {}
        for part in self.model.modules():
            rate = (
                self.operators
                if isinstance(part, Operator)
                else self.networks
                if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)
                else self.others
            )
            parts.setdefault(rate, []).extend(part.parameters(recurse=False))
        groups = [{"params": some, "lr": rate} for rate, some in parts.items() if some]
        return torch.optim.Adam(groups, betas=(0.9, 0.99), foreach=False)


Made = dict[str, nn.Module]


@dataclass(frozen=True)
class Recipe:
    """One training.

    Attributes
    ----------
    make
        Makes the model from those that it starts from.
    epochs
        Of ``BATCHES`` mini-batches.
    operators, others, networks
        Learning rates.
    starts
        The trainings that it starts from.
    sigma
        Of the noise, or its least and largest.
    """

    make: Callable[[Made], nn.Module]
    epochs: int
    operators: float = 2e-3
    others: float = 5e-3
    networks: float = 1e-3
    starts: tuple[str, ...] = ()
    sigma: float | tuple[float, float] = SIGMA


def problem_of(model: nn.Module) -> Problem:
    """Of a model that has one."""
    assert isinstance(model, Centred | Unrolled)
    layer = model.layer if isinstance(model, Centred) else model
    assert isinstance(layer, Unrolled | Solved)
    assert isinstance(layer.problem, Problem)
    return layer.problem


def _near_solution() -> nn.Module:
    return Centred(near_solution(problem_of(one_operator(potential="huber"))))


def _joined(made: Made) -> nn.Module:
    iterations, body = made["iterations"], made["body"]
    assert isinstance(iterations, Centred)
    assert isinstance(iterations.layer, Unrolled)
    assert isinstance(body, UNet)
    return Centred(with_maps(iterations.layer, body))


RECIPES = {
    "convex": Recipe(lambda made: _near_solution(), 40, 2e-3, 3e-3),
    "convex-all": Recipe(lambda made: _near_solution(), 40, 2e-3, 3e-3, sigma=RANGE),
    "iterations": Recipe(lambda made: Centred(an_operator_per_iteration()), 80),
    "body": Recipe(lambda made: UNet(), 60),
    "maps": Recipe(_joined, 80, 1e-3, 2.5e-3, 1e-3, ("iterations", "body")),
    "maps-all": Recipe(lambda made: made["maps"], 15, 5e-4, 1e-3, 5e-4, ("maps",), RANGE),
    "dncnn-small": Recipe(lambda made: DnCNN(16, 12), 60),
    "dncnn": Recipe(lambda made: DnCNN(32, 13), 60),
    "unet": Recipe(lambda made: UNet(), 200),
}


def train(name: str, folder: Path, out: Path) -> None:
    """A training to its end, on the images of a folder; what is there is gone on with."""
    recipe, own = RECIPES[name], out / name
    own.mkdir(parents=True, exist_ok=True)
    made = {start: trained(start, out) for start in recipe.starts}
    model = recipe.make(made)
    images = read_folder(folder)
    kept = images[::HELD_OUT]
    learned = [image for i, image in enumerate(images) if i % HELD_OUT]
    data = NoisyCrops(learned, CROP, recipe.sigma, BATCHES, BATCH)
    held_out = NoisyCrops(kept, 128, recipe.sigma, measured=len(kept))
    with joined(torch.device("cpu")) as workers:
        history = fit(
            model,
            data,
            dev=held_out,
            epochs=recipe.epochs,
            batch_size=BATCH,
            loss=InteriorError(),
            optimizer=Adam(model, recipe.operators, recipe.others, recipe.networks),
            schedule="cosine",
            warmup=WARMUP,
            clip=CLIP,
            checkpoint=own / "checkpoint",
            resume=True,
            on_epoch=partial(_said, name, own) if workers.leads else None,
            workers=workers,
        )
    if not workers.leads:
        return
    torch.save(model.state_dict(), own / "model.pt")
    told = {
        "seconds": seconds(own),
        "seconds by the clock": sum(epoch.seconds for epoch in history.epochs),
        "parameters": sum(p.numel() for p in model.parameters()),
        "validation mean squared error": [epoch.dev_loss for epoch in history.epochs],
        "starts": {start: json.loads((out / start / "told.json").read_text()) for start in made},
    }
    write_atomically(own / "told.json", json.dumps(told, indent=1) + "\n")


def trained(name: str, out: Path) -> nn.Module:
    """A model that was trained."""
    recipe = RECIPES[name]
    model = recipe.make({start: trained(start, out) for start in recipe.starts})
    model.load_state_dict(torch.load(out / name / "model.pt"))
    return model


def seconds(own: Path) -> float:
    """Of the processor, over all starts of a training."""
    rows = (own / "seconds.txt").read_text().split("\n")[:-1]
    ends = dict(row.rsplit(" ", 1) for row in rows)
    return sum(map(float, ends.values()))


def _said(name: str, own: Path, epoch: Epoch) -> None:
    """What a process has used so far; of each process the last line counts."""
    assert epoch.dev_loss is not None
    gained = -10 * math.log10(epoch.dev_loss)
    print(f"{name} {epoch.epoch} {gained:.3f} dB gained {epoch.seconds:.1f} s", flush=True)
    with (own / "seconds.txt").open("a") as file:
        file.write(f"{STARTED} {time.process_time() * WORLD:.1f}\n")
