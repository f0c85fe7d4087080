"""How a model of whole recordings is learned: pieces of them, weighed by their recordings' errors.

The loss is the mean over recordings of the logarithm of their squared error, as their SNR in dB
counts it: a piece's error has the weight of one over that of its recording, which is followed.
Where wanted so many times the spectral distance of the pieces, in dB too, is added to it.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ergodual.bilevel import Epoch, History, project_
from ergodual.bilevel.checkpoint import Checkpoint, Progress
from ergodual.bilevel.layers import Layers
from ergodual.bilevel.workers import Workers
from ergodual.errors import ErgodualError, NotFiniteError
from ergodual.products import all_in_use, rounded_products
from ergodual.speech.crops import Cropping, Crops
from ergodual.speech.half_steps import in_half_steps
from ergodual.speech.network import Network
from ergodual.speech.quantizers import Levels, MidRise, mid_rise
from ergodual.speech.spectral import SpectralDistance
from ergodual.speech.windows import WindowStream

LENGTH = 5120
"""Samples a piece."""
RIM = 240
"""Samples at both ends of a piece that do not count, as less is known around them."""
WARM_UP = 0.05
"""Share of the mini-batches over which the learning rate rises."""
BETAS = (0.9, 0.99)
"""Of Adam."""
LARGEST_NORM = 1.0
"""Of a gradient; a longer one is made so long."""
MEMORY = 0.8
"""Of a recording's error, so much of the old one stays."""
MEASURED = 1_000_000
"""Samples of the recordings that are only measured: every second, third, … of them is left."""
FINE = 4
"""Bits above which bfloat16 would round the levels."""
DISTANCE = SpectralDistance()
DECIBEL = math.log(10) / 10
"""Of a power, as its natural logarithm."""


class Recipe(NamedTuple):
    """What is decided about a training.

    Attributes
    ----------
    epochs
        In each, as many samples are drawn as the recordings have.
    batch
        Pieces a mini-batch, over all processes.
    lr
        The largest learning rate.
    seed
        Decides what is drawn.
    rounded
        Whether products are made in bfloat16 while learning.
    spectral
        So many dB of the squared error is a dB of the spectral distance worth; 0 for the squared
        error alone.
    """

    epochs: int
    batch: int
    lr: float
    seed: int
    rounded: bool
    spectral: float = 0.0


class Learning:
    """A network that is being learned, and how far it has got.

    Parameters
    ----------
    network
        What is learned: of recordings in half steps it makes points in their cells.
    cropping
        Draws what it is learned from.
    dev
        Recordings that a :class:`Network` is only measured on; each over its own peak.
    recipe
        How.
    workers
        The processes that take part.
    """

    def __init__(
        self,
        network: nn.Module,
        cropping: Cropping,
        dev: Sequence[Tensor],
        recipe: Recipe,
        workers: Workers,
    ) -> None:
        self.network, self.cropping = network, cropping
        self.dev = dev[:: -(-sum(map(len, dev)) // MEASURED) or 1]
        self.recipe, self.workers = recipe, workers
        self.layers = Layers(network)
        quantizer = cropping.quantizer
        # in half steps, where these are not all alike
        self.levels = (
            None if isinstance(quantizer, MidRise) else quantizer.scaled(1 / cropping.half)
        )
        self.stepper = torch.optim.Adam(network.parameters(), recipe.lr, BETAS, fused=True)
        samples = sum(map(len, cropping.recordings))
        self.batches = max(1, samples // (recipe.batch * cropping.length))
        self.history, self.progress = History(), Progress()
        # the error of each recording as far as it is known, and the sum of this epoch's
        self.errors = torch.full((len(cropping.recordings),), math.nan)
        self.total = torch.zeros(1)

    def run(
        self,
        checkpoint: Path,
        identity: dict[str, Any],
        every: int,
        on_epoch: Callable[[Epoch], None],
        on_step: Callable[[float], None],
    ) -> History:
        """All epochs that are left.

        Parameters
        ----------
        checkpoint
            What is gone on from where it exists, and rewritten after every epoch.
        identity
            What must agree for it to belong to this training.
        every
            It is rewritten after so many mini-batches of an epoch, too.
        on_epoch, on_step
            Called after each epoch, and with the loss of each mini-batch.

        Raises
        ------
        NotFiniteError
            If the loss or its gradient is not finite.
        """

        def save() -> None:
            self._save(checkpoint, identity)

        if self.workers.told(checkpoint.exists()):
            self._load(checkpoint, identity)
        if not self.history.epochs:
            crops = self.cropping.of(self.recipe.batch, self.recipe.seed, 0)
            with torch.no_grad():
                self.total += float(self._losses(*self._errors(crops)).sum())
            on_epoch(self._close(len(crops.files), None))
            save()
        while len(self.history.epochs) <= self.recipe.epochs:
            begun, before = time.perf_counter(), self.progress.seconds
            for batch in range(self.progress.step, self.batches):
                on_step(self._step(batch))
                seconds = before + time.perf_counter() - begun
                self.progress = self.progress._replace(seconds=seconds)
                if (batch + 1) % every == 0:
                    save()
            on_epoch(self._close(self.batches * self.recipe.batch, self._rate(self.batches - 1)))
            save()
        return self.history

    def _step(self, batch: int) -> float:
        number = (len(self.history.epochs) - 1) * self.batches + batch
        crops = self.cropping.of(self.recipe.batch, self.recipe.seed, number + 1)
        for group in self.stepper.param_groups:
            group["lr"] = self._rate(batch)
        self.stepper.zero_grad()
        mine = self.workers.share.of(torch.arange(len(crops.files)))
        squared, distances = torch.zeros(2, len(crops.files)).unbind()
        diverged = NotFiniteError(
            f"The training left the finite numbers in mini-batch {number + 1} at the learning rate "
            f"{self._rate(batch):g}; lower it and start again."
        )
        with self._precision():
            try:
                own, far = self._errors(Crops(*(t[mine] for t in crops)))
            except ErgodualError as error:  # parameters that no problem has
                raise diverged from error
            squared[mine], distances[mine] = own.detach(), far.detach()
            self.workers.total([squared, distances])
            weights = self._weights(crops.files, squared)
            loss = own @ weights[mine]
            if self.recipe.spectral:
                # the gradient of the squared errors is that of their logarithms times their mean
                loss = loss + self.errors.nanmean() * self.recipe.spectral * DECIBEL * far.sum()
            (loss / len(squared)).backward()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        self.workers.total(gradients)
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_NORM))
        if not (math.isfinite(norm) and bool(squared.isfinite().all())):
            raise diverged
        self.stepper.step()
        project_(self.network)
        decibels = float(self._losses(squared, distances).sum())
        self.total += decibels
        self.progress = self.progress._replace(step=batch + 1, norms=self.progress.norms + norm)
        return decibels / len(squared)

    def _errors(self, crops: Crops) -> tuple[Tensor, Tensor]:
        """The mean squared error of each piece without its rim, and its spectral distance, 0 where
        that does not count.
        """
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.rounded):
            x_hat = self._estimates(crops.x_tilde)
        x_hat, x_true = x_hat[:, RIM:-RIM], crops.x_true[:, RIM:-RIM]
        squared: Tensor = (x_hat - x_true).square().mean(1)
        return squared, self._distances(x_hat, x_true)

    def _estimates(self, x_tilde: Tensor) -> Tensor:
        if self.levels is None:
            found: Tensor = self.network(x_tilde)
            return found
        return in_half_steps(self.network, *self.levels.intervals(x_tilde)).to(x_tilde.dtype)

    def _distances(self, x_hat: Tensor, x_true: Tensor) -> Tensor:
        return DISTANCE(x_hat, x_true) if self.recipe.spectral else x_true.new_zeros(len(x_true))

    def _losses(self, squared: Tensor, distances: Tensor) -> Tensor:
        """Of each piece, in dB."""
        return _decibels(squared) + self.recipe.spectral * distances

    def _weights(self, files: Tensor, squared: Tensor) -> Tensor:
        """One over the recordings' errors, relative to their mean; what was found now counts."""
        known = self.errors.nanmean() if bool((~self.errors.isnan()).any()) else squared.mean()
        for file, value in zip(files, squared, strict=True):
            old = self.errors[file]
            self.errors[file] = MEMORY * (known if old.isnan() else old) + (1 - MEMORY) * value
        weights: Tensor = self.errors.nanmean() / self.errors[files]
        return weights

    def _rate(self, batch: int) -> float:
        """Rises for a while, then falls as half a cosine."""
        epoch = max(0, len(self.history.epochs) - 1)
        part = (epoch * self.batches + batch) / (self.recipe.epochs * self.batches)
        return self.recipe.lr * min(1, part / WARM_UP) * 0.5 * (1 + math.cos(math.pi * part))

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        if not self.recipe.rounded:
            yield
            return
        quantizer = self.cropping.quantizer
        fine = not isinstance(quantizer, MidRise) or quantizer.bits > FINE
        with rounded_products(split=fine):
            yield

    def _close(self, pieces: int, rate: float | None) -> Epoch:
        begun, done = time.perf_counter(), self.progress
        with torch.no_grad(), self.layers.watched():
            losses = [float(self._loss_of_whole(x)) for x in self.dev]
        sigma, tau, weights = self.layers.numbers()
        entry = Epoch(
            epoch=len(self.history.epochs),
            train_loss=float(self.total) / pieces,
            dev_loss=statistics.fmean(losses) if losses else None,
            gradient_norm=done.norms / done.step if done.step else None,
            norm=self.layers.norm(),
            sigma=sigma,
            tau=tau,
            weights=weights,
            lr=rate,
            seconds=done.seconds + time.perf_counter() - begun,
        )
        self.history.epochs.append(entry)
        self.progress, self.total = Progress(), torch.zeros(1)
        return entry

    def _loss_of_whole(self, x: Tensor) -> Tensor:
        """Of a whole recording, in dB."""
        half = self.cropping.half
        x_hat, x_true = restored(self.network, x, self.cropping.quantizer) / half, x.double() / half
        squared = (x_hat - x_true).square().mean()
        return self._losses(squared, self._distances(x_hat[None], x_true[None])[0])

    def _save(self, path: Path, identity: dict[str, Any]) -> None:
        if self.workers.leads:
            Checkpoint(
                identity,
                self.network.state_dict(),
                self.stepper.state_dict(),
                self.history,
                self.progress,
                None,
                [[self.errors, self.total]],
                all_in_use(),
            ).save(path)

    def _load(self, path: Path, identity: dict[str, Any]) -> None:
        saved = Checkpoint.shared(path, identity, self.workers)
        self.network.load_state_dict(saved.model)
        self.stepper.load_state_dict(saved.optimizer)
        self.history, self.progress = saved.history, saved.progress
        ((self.errors, self.total),) = saved.memories or [[self.errors, self.total]]


def restored(network: nn.Module, x: Tensor, quantizer: MidRise | Levels) -> Tensor:
    """What becomes of a whole recording that is quantized, in float64."""
    assert isinstance(network, Network)
    cells = mid_rise(quantizer.bits) if isinstance(quantizer, MidRise) else quantizer
    stream = WindowStream(network, cells)
    stored = quantizer.quantize(x).double().numpy()
    return torch.from_numpy(np.concatenate([stream.push(stored), stream.finish()]))


def _decibels(squared: Tensor) -> Tensor:
    found: Tensor = 10 * squared.clamp(min=1e-12).log10()
    return found
