"""The state of a run, and an epoch of it: the upper level (2), solved by stochastic gradient
descent through the lower level.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ergodual.bilevel.checkpoint import Checkpoint, Progress
from ergodual.bilevel.data import Data, InMemory, key_of
from ergodual.bilevel.history import Epoch, History
from ergodual.bilevel.layers import Layers, device_of, observed_of
from ergodual.bilevel.loss import Loss, mean_loss_over, summed
from ergodual.bilevel.valid import project_
from ergodual.bilevel.warm import Memory
from ergodual.bilevel.workers import Workers
from ergodual.errors import NotFiniteError
from ergodual.products import all_in_use


class Training:
    """A model that is being learned, how it is learned, and how far it has got.

    Parameters
    ----------
    model, stepper
        What is learned, and the optimizer that moves it; each of its groups has a ``scale``, by
        which the rate is multiplied.
    data, dev
        What is learned from, and what is only measured.
    loss
        The loss of each sample, or of a batch.
    seed, batch_size
        What decides the mini-batches.
    warmup
        Mini-batches of the first epoch over which the learning rate rises to its value.
    workers
        Who takes part.
    keeps_best
        Whether the best parameters are kept.
    warm
        Whether lower levels start where they ended in the last epoch.
    clip
        What the norm of the whole gradient is cut to; None for not at all.
    """

    def __init__(
        self,
        model: nn.Module,
        stepper: torch.optim.Optimizer,
        data: Data,
        dev: Data | None,
        loss: Loss,
        seed: int,
        batch_size: int,
        warmup: int,
        workers: Workers,
        keeps_best: bool,
        warm: bool,
        clip: float | None,
    ) -> None:
        self.model, self.stepper, self.data, self.dev, self.loss = model, stepper, data, dev, loss
        self.seed, self.batch_size, self.warmup, self.workers = seed, batch_size, warmup, workers
        self.history, self.progress = History(), Progress()
        self.keeps_best, self.clip = keeps_best, clip
        self.best: dict[str, Any] | None = None
        self.layers = Layers(model)
        self._learned = [p for p in model.parameters() if p.requires_grad]
        self._observed = observed_of(model)
        count = len(self.layers.solved_ones)
        self.warm = [Memory(len(data)) for _ in range(count)] if warm else None
        self.warm_dev = (
            [Memory(len(dev)) for _ in range(count)] if warm and dev is not None else None
        )

    def load(self, path: Path, identity: dict[str, Any]) -> None:
        """Go on from a checkpoint, which the leading process alone needs to have."""
        saved = Checkpoint.shared(path, identity, self.workers)
        self.model.load_state_dict(saved.model)
        self.stepper.load_state_dict(saved.optimizer)
        self.history, self.progress, self.best = saved.history, saved.progress, saved.best
        for memory, state in zip(self._memories(), saved.memories or [], strict=True):
            memory.load(state)

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write a checkpoint."""
        if self.workers.leads:
            Checkpoint(
                identity,
                self.model.state_dict(),
                self.stepper.state_dict(),
                self.history,
                self.progress,
                self.best,
                [memory.state() for memory in self._memories()],
                all_in_use(),
            ).save(path)

    def begin(self, tol: float | None) -> Epoch:
        """Epoch 0, before learning."""
        with self.layers.at(tol):
            return self.measure(None)

    def measure(self, rate: float | None) -> Epoch:
        """Close the epoch: its entry goes to the history."""
        begun = time.perf_counter()
        done = self.progress
        self.model.eval()
        with self.layers.watched():
            train = self._mean_loss(self.data, self.warm)
            held_out = None if self.dev is None else self._mean_loss(self.dev, self.warm_dev)
        if not math.isfinite(train):
            raise NotFiniteError("The loss over all training samples is not finite.")
        sigma, tau, weights = self.layers.numbers()
        entry = Epoch(
            epoch=len(self.history.epochs),
            train_loss=train,
            dev_loss=held_out,
            gradient_norm=done.norms / done.step if done.step else None,
            norm=self.layers.norm(),
            sigma=sigma,
            tau=tau,
            weights=weights,
            lr=rate,
            seconds=done.seconds + time.perf_counter() - begun,
            iterations=done.iterations / done.solved if done.solved else None,
        )
        self.history.epochs.append(entry)
        self.progress = Progress()
        if self.keeps_best and self.history.best is entry:
            self.best = copy.deepcopy(self.model.state_dict())
        return entry

    def epoch(
        self,
        rate: float,
        tol: float | None,
        on_step: Callable[[float], None] | None,
        every: int | None,
        save: Callable[[], None],
    ) -> Epoch:
        """The rest of the present epoch.

        Parameters
        ----------
        rate
            The learning rate.
        tol
            What lower levels are solved to; None for their own tolerance.
        on_step
            Called with the loss of each mini-batch.
        every, save
            After so many mini-batches, counted from the start of the epoch, ``save`` is called.

        Raises
        ------
        NotFiniteError
            If the loss or its gradient is not finite; the model is then that of the beginning.
        """
        good, number = copy.deepcopy(self.model.state_dict()), len(self.history.epochs)
        try:
            with self.layers.at(tol):
                with self._randomness(number), self.layers.watched():
                    self._learn(number, rate, on_step, every, save)
                return self.measure(rate)
        except NotFiniteError as error:
            self.model.load_state_dict(good)
            raise NotFiniteError(
                f"The training left the finite numbers in epoch {number} at the learning rate "
                f"{rate:g}: {error} The model is that of the last good epoch; lower the learning "
                "rate."
            ) from error

    def _learn(
        self,
        number: int,
        rate: float,
        on_step: Callable[[float], None] | None,
        every: int | None,
        save: Callable[[], None],
    ) -> None:
        """All mini-batches of an epoch that are left."""
        before, begun, layers = self.progress, time.perf_counter(), self.layers
        norms, layers.iterations, layers.solved = before.norms, before.iterations, before.solved
        self.model.train()
        order = self.batch_size, self.seed, number, before.step
        batches = self.data.batches(*order, self.workers.share)
        rows = self.data.rows(*order) if isinstance(self.data, InMemory) else ()
        for step, (x_tilde, x_true) in enumerate(batches, start=before.step + 1):
            rise = min(1.0, step / (self.warmup + 1)) if number == 1 else 1.0
            for group in self.stepper.param_groups:
                group["lr"] = rate * rise * group["scale"]
            which = rows[step - 1 - before.step] if self.warm else None
            with layers.starting(self.warm, which):
                value, norm = self._step(x_tilde, x_true, step)
            norms += norm
            self.progress = Progress(
                step,
                norms,
                before.seconds + time.perf_counter() - begun,
                layers.iterations,
                layers.solved,
                _states(device_of(self.model)) if every is not None else (),
            )
            if on_step is not None:
                on_step(value)
            if every is not None and step % every == 0:
                save()

    def _step(self, x_tilde: Tensor, x_true: Tensor, step: int) -> tuple[float, float]:
        """One step of the optimizer: the loss before it, and the norm of its gradient."""
        whole = len(x_tilde)
        if self.workers.share.size > 1:
            whole = min(self.batch_size, len(self.data) - (step - 1) * self.batch_size)
        first: list[float] = []

        def closure() -> Any:
            """Some optimizers, as LBFGS, ask for the loss several times a step."""
            self.stepper.zero_grad()
            value = summed(self.loss, self.model(x_tilde), x_true) / whole
            value.backward()
            value = value.detach()
            self.workers.total([value, *(p.grad for p in self._learned if p.grad is not None)])
            if not first:
                norm = float(torch.nn.utils.get_total_norm(self._observed()))
                if not (math.isfinite(value.item()) and math.isfinite(norm)):
                    raise NotFiniteError("The loss or its gradient is not finite.")
                first.extend((value.item(), norm))
            if self.clip is not None:
                torch.nn.utils.clip_grad_norm_(self._learned, self.clip)
            return value

        self.stepper.step(closure)
        project_(self.model)
        return first[0], first[1]

    def _mean_loss(self, data: Data, memories: list[Memory] | None) -> float:
        if memories is None or not isinstance(data, InMemory):
            return mean_loss_over(self.model, data, self.loss, self.workers)
        pieces = iter(data.pieces())

        def model(x_tilde: Tensor) -> Tensor:
            with self.layers.starting(memories, next(pieces)):
                x_hat: Tensor = self.model(x_tilde)
                return x_hat

        return mean_loss_over(model, data, self.loss, self.workers)

    def _memories(self) -> list[Memory]:
        return [*(self.warm or []), *(self.warm_dev or [])]

    @contextlib.contextmanager
    def _randomness(self, number: int) -> Iterator[None]:
        """While torch's generators are as this epoch has them, whatever others draw."""
        device = device_of(self.model)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            if self.progress.random:
                torch.set_rng_state(self.progress.random[0])
                if devices:
                    torch.cuda.set_rng_state(self.progress.random[1], device)
            else:
                torch.manual_seed(key_of(self.seed, number))
            yield


def _states(device: torch.device) -> tuple[Tensor, ...]:
    """Of torch's generators on the CPU and on this device."""
    on_device = (torch.cuda.get_rng_state(device),) if device.type == "cuda" else ()
    return (torch.get_rng_state(), *on_device)
