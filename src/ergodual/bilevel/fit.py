"""The training loop: the upper level (2), solved by stochastic gradient descent through the lower level."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ergodual.bilevel.checkpoint import Checkpoint
from ergodual.bilevel.history import Epoch, History
from ergodual.bilevel.loss import HalfSquared, Loss, mean_loss
from ergodual.bilevel.schedules import learning_rate
from ergodual.errors import ErgodualError, NotFiniteError
from ergodual.primal_dual import Unrolled

Optimizer = Literal["sgd", "adam"]
Pairs = tuple[Tensor, Tensor]


def fit(
    model: Unrolled,
    x_tilde: Tensor,
    x_true: Tensor,
    *,
    epochs: int = 20,
    batch_size: int = 32,
    optimizer: Optimizer = "sgd",
    lr: float = 0.05,
    schedule: str | Callable[[int], float] = "sqrt",
    loss: Loss | None = None,
    seed: int = 0,
    dev: Pairs | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    identity: dict[str, Any] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[float], None] | None = None,
) -> History:
    """Learn the model's parameters from pairs of observations and ground truths.

    Parameters
    ----------
    model
        What is learned: all its parameters that require a gradient.
    x_tilde, x_true
        Observations and ground truths, ``(frames, n)``.
    epochs
        How often all frames are seen.
    batch_size
        Frames a mini-batch; the gradient is that of the mini-batch's mean loss.
    optimizer
        ``"sgd"`` or ``"adam"``.
    lr, schedule
        The learning rate and its course; see :func:`~ergodual.bilevel.learning_rate`.
    loss
        The loss of each frame; ``HalfSquared()`` if None.
    seed
        With the epoch's number, decides the order of the frames.
    dev
        Observations and ground truths that are only measured.
    checkpoint
        A file that is rewritten after each epoch.
    resume
        Whether to go on from ``checkpoint`` where it exists; the result is bit for bit that of an uninterrupted run.
    identity
        What else must agree for a checkpoint to belong to this training.
    on_epoch, on_step
        Called after each epoch (and before the first), and with the loss of each mini-batch.

    Returns
    -------
    One entry an epoch, and one, epoch 0, from before the first.

    Raises
    ------
    NotFiniteError
        If a loss or a gradient is not finite; the model then has the parameters of the last good epoch.
    ErgodualError
        If an argument is out of its range or the checkpoint does not belong to this training.
    """
    _check(x_tilde, x_true, epochs, batch_size, optimizer, lr)
    loss = HalfSquared() if loss is None else loss
    learned = [p for p in model.parameters() if p.requires_grad]
    if not learned:
        raise ErgodualError("The model has no parameter that requires a gradient; there is nothing to learn.")
    tensors = [t for t in model.problem.K.tensors() if t.requires_grad] or learned
    stepper = _OPTIMIZERS[optimizer](learned, lr=lr, foreach=False)
    identity = {"seed": seed, "batch_size": batch_size, "optimizer": optimizer, "epochs": epochs, **(identity or {})}

    history = History()
    if resume and checkpoint is not None and checkpoint.exists():
        saved = Checkpoint.load(checkpoint)
        saved.require_identity(identity, checkpoint)
        model.load_state_dict(saved.model)
        stepper.load_state_dict(saved.optimizer)
        model.steps.refresh(model.problem.K)
        history = saved.history

    def measure(epoch: int, gradient_norm: float | None, rate: float | None, begun: float) -> Epoch:
        # from here on nothing depends on how K came to be what it is, so that a resumed run equals an uninterrupted one
        model.steps.refresh(model.problem.K)
        train = mean_loss(model, x_tilde, x_true, loss)
        held_out = None if dev is None else mean_loss(model, *dev, loss)
        if not math.isfinite(train):
            raise NotFiniteError("The loss over all training frames is not finite.")
        with torch.no_grad():
            sigma, tau, _ = model.steps(model.problem.K, model.depth)
            return Epoch(
                epoch=epoch,
                train_loss=train,
                dev_loss=held_out,
                gradient_norm=gradient_norm,
                norm=float(model.problem.K.norm()),
                sigma=sigma.tolist(),
                tau=tau.tolist(),
                weights=model.output(model.depth).tolist(),
                lr=rate,
                seconds=time.perf_counter() - begun,
            )

    def finish(entry: Epoch) -> None:
        history.epochs.append(entry)
        if checkpoint is not None:
            Checkpoint(identity, model.state_dict(), stepper.state_dict(), history).save(checkpoint)
        if on_epoch is not None:
            on_epoch(entry)

    if not history.epochs:
        finish(measure(0, None, None, time.perf_counter()))
    for epoch in range(len(history.epochs), epochs + 1):
        begun, rate = time.perf_counter(), learning_rate(schedule, lr, epoch - 1, epochs)
        for group in stepper.param_groups:
            group["lr"] = rate
        good = copy.deepcopy(model.state_dict())
        try:
            norms = 0.0
            batches = torch.split(_order(len(x_tilde), seed, epoch), batch_size)
            for batch in batches:
                stepper.zero_grad()
                value = loss(model(x_tilde[batch]), x_true[batch]).mean()
                value.backward()  # type: ignore[no-untyped-call]
                norm, number = float(torch.nn.utils.get_total_norm([t.grad for t in tensors if t.grad is not None])), value.item()
                if not (math.isfinite(number) and math.isfinite(norm)):
                    raise NotFiniteError("The loss or its gradient is not finite.")
                norms += norm
                stepper.step()
                if on_step is not None:
                    on_step(number)
            entry = measure(epoch, norms / len(batches), rate, begun)
        except NotFiniteError as error:
            model.load_state_dict(good)
            raise NotFiniteError(
                f"The training left the finite numbers in epoch {epoch} at the learning rate {rate:g}: {error} "
                "The model is that of the last good epoch; lower the learning rate."
            ) from error
        finish(entry)
    return history


_OPTIMIZERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def _order(frames: int, seed: int, epoch: int) -> Tensor:
    """The order of an epoch's frames: a function of the seed and the epoch alone."""
    return torch.randperm(frames, generator=torch.Generator().manual_seed(1_000_003 * seed + epoch))


def _check(x_tilde: Tensor, x_true: Tensor, epochs: int, batch_size: int, optimizer: str, lr: float) -> None:
    if x_tilde.shape != x_true.shape or len(x_tilde) == 0:
        raise ErgodualError(
            f"The observations have shape {tuple(x_tilde.shape)} and the ground truths {tuple(x_true.shape)}; "
            "both must be (frames, n), alike, with at least one frame."
        )
    if optimizer not in _OPTIMIZERS:
        raise ErgodualError(f"The optimizer is {optimizer!r}; it must be one of {', '.join(_OPTIMIZERS)}.")
    for name, value in (("number of epochs", epochs), ("batch size", batch_size)):
        if value < 1:
            raise ErgodualError(f"The {name} is {value}; it must be at least 1.")
    if not 0 < lr < 1e30:
        raise ErgodualError(f"The learning rate is {lr}; it must be positive and below 1e30.")
