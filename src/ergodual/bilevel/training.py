"""The state of a run, and an epoch of it: the upper level (2), solved by stochastic gradient
descent through the lower level.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Size, nn

from ergodual.bilevel.checkpoint import Checkpoint, Progress
from ergodual.bilevel.data import Data, Share
from ergodual.bilevel.history import Epoch, History
from ergodual.bilevel.loss import Loss, losses, mean_loss_over
from ergodual.bilevel.workers import Workers
from ergodual.errors import NotFiniteError
from ergodual.operators import Operator
from ergodual.primal_dual import Unrolled
from ergodual.problem import LowerLevel
from ergodual.solving import Solved


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
        The loss of each frame.
    seed, batch_size
        What decides the mini-batches.
    warmup
        Mini-batches of the first epoch over which the learning rate rises to its value.
    workers
        Who takes part.
    """

    def __init__(
        self,
        model: Unrolled | Solved,
        stepper: torch.optim.Optimizer,
        data: Data,
        dev: Data | None,
        loss: Loss,
        seed: int,
        batch_size: int,
        warmup: int,
        workers: Workers,
    ) -> None:
        self.model, self.stepper, self.data, self.dev, self.loss = model, stepper, data, dev, loss
        self.seed, self.batch_size, self.warmup, self.workers = seed, batch_size, warmup, workers
        self.history, self.progress = History(), Progress()
        self._learned = [p for p in model.parameters() if p.requires_grad]
        in_operators = [t for K in operators_of(model) for t in K.tensors()]
        self._observed = [t for t in in_operators if t.requires_grad] or self._learned

    def load(self, path: Path, identity: dict[str, Any]) -> None:
        """Go on from a checkpoint, which the leading process alone needs to have."""
        saved = Checkpoint.load(path) if self.workers.leads else None
        if saved is not None:
            saved.require_identity(identity, path)
        saved = self.workers.told(saved)
        self.model.load_state_dict(saved.model)
        self.stepper.load_state_dict(saved.optimizer)
        self.history, self.progress = saved.history, saved.progress

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write a checkpoint."""
        if self.workers.leads:
            Checkpoint(
                identity,
                self.model.state_dict(),
                self.stepper.state_dict(),
                self.history,
                self.progress,
            ).save(path)

    def measure(self, rate: float | None) -> Epoch:
        """Close the epoch: its entry goes to the history."""
        begun = time.perf_counter()
        model, done = self.model, self.progress
        train = mean_loss_over(model, self.data, self.loss, self.workers)
        held_out = (
            None if self.dev is None else mean_loss_over(model, self.dev, self.loss, self.workers)
        )
        if not math.isfinite(train):
            raise NotFiniteError("The loss over all training frames is not finite.")
        domain = self._domain()
        sigma, tau, weights = model.numbers(domain)
        entry = Epoch(
            epoch=len(self.history.epochs),
            train_loss=train,
            dev_loss=held_out,
            gradient_norm=done.norms / done.step if done.step else None,
            norm=max(_norm(K, domain) for K in operators_of(model)),
            sigma=sigma,
            tau=tau,
            weights=weights,
            lr=rate,
            seconds=done.seconds + time.perf_counter() - begun,
        )
        self.history.epochs.append(entry)
        self.progress = Progress()
        return entry

    def epoch(
        self,
        rate: float,
        on_step: Callable[[float], None] | None,
        every: int | None,
        save: Callable[[], None],
    ) -> Epoch:
        """The rest of the present epoch.

        Parameters
        ----------
        rate
            The learning rate.
        on_step
            Called with the loss of each mini-batch.
        every, save
            After so many mini-batches, counted from the start of the epoch, ``save`` is called.

        Raises
        ------
        NotFiniteError
            If the loss or its gradient is not finite; the model is then that of the beginning.
        """
        good, number, before = (
            copy.deepcopy(self.model.state_dict()),
            len(self.history.epochs),
            self.progress,
        )
        begun, norms = time.perf_counter(), before.norms
        batches = self.data.batches(
            self.batch_size, self.seed, number, before.step, self.workers.share
        )
        try:
            for step, (x_tilde, x_true) in enumerate(batches, start=before.step + 1):
                whole = min(self.batch_size, len(self.data) - (step - 1) * self.batch_size)
                rise = min(1.0, step / (self.warmup + 1)) if number == 1 else 1.0
                for group in self.stepper.param_groups:
                    group["lr"] = rate * rise * group["scale"]
                self.stepper.zero_grad()
                value = losses(self.loss, self.model(x_tilde), x_true).sum() / whole
                value.backward()  # type: ignore[no-untyped-call]
                value = value.detach()
                self.workers.total([value, *(p.grad for p in self._learned if p.grad is not None)])
                norm = float(
                    torch.nn.utils.get_total_norm(
                        [t.grad for t in self._observed if t.grad is not None]
                    )
                )
                if not (math.isfinite(value.item()) and math.isfinite(norm)):
                    raise NotFiniteError("The loss or its gradient is not finite.")
                norms += norm
                self.stepper.step()
                self.progress = Progress(step, norms, before.seconds + time.perf_counter() - begun)
                if on_step is not None:
                    on_step(value.item())
                if every is not None and step % every == 0:
                    save()
            return self.measure(rate)
        except NotFiniteError as error:
            self.model.load_state_dict(good)
            raise NotFiniteError(
                f"The training left the finite numbers in epoch {number} at the learning rate "
                f"{rate:g}: {error} The model is that of the last good epoch; lower the learning "
                "rate."
            ) from error

    def _domain(self) -> Size | None:
        """The shape of a sample of x."""
        # of all data, since every process asks for norms, with samples of its own or none
        pair = next(iter(self.data.chunks(Share())), None)
        return None if pair is None else pair[1].shape[1:]


def operators_of(model: nn.Module) -> list[Operator]:
    """Those of all lower-level problems in a model, each once."""
    found = [part.operator() for part in model.modules() if isinstance(part, LowerLevel)]
    return list({id(K): K for K in found}.values())


def _norm(K: Operator, domain: Size | None) -> float:
    # exact where that is one decomposition of a matrix
    return float(K.norm(domain).detach()) if K.joins_products else K.norm_bound(domain)
