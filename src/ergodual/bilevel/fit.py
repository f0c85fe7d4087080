"""The training loop, for pairs in memory and for any other data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ergodual.bilevel.data import Data, InMemory, Pair
from ergodual.bilevel.history import Epoch, History
from ergodual.bilevel.loss import HalfSquared, Loss
from ergodual.bilevel.schedules import learning_rate
from ergodual.bilevel.training import Training, operators_of
from ergodual.bilevel.workers import Workers
from ergodual.errors import ErgodualError
from ergodual.primal_dual import Unrolled
from ergodual.solving import Solved

Optimizer = Literal["sgd", "adam"]


def fit(
    model: Unrolled | Solved,
    x_tilde: Tensor,
    x_true: Tensor,
    *,
    dev: Pair | None = None,
    **options: Any,
) -> History:
    """Learn the model's parameters from pairs of observations and ground truths.

    Parameters
    ----------
    model
        What is learned: all its parameters that require a gradient.
    x_tilde, x_true
        Observations and ground truths, ``(samples, *sample)``; that of b need not be that of x.
    dev
        Observations and ground truths that are only measured.
    options
        Those of :func:`fit_data`: ``epochs=20``, ``batch_size=32``, ``optimizer="sgd"``,
        ``lr=0.05``, ``schedule="sqrt"``, ``loss``, ``seed``, ``checkpoint``, ``resume``,
        ``on_epoch``, ``on_step``, ….

    Returns
    -------
    One entry an epoch, and one, epoch 0, from before the first.

    Raises
    ------
    NotFiniteError
        If a loss or a gradient is not finite; the model then has the parameters of the last good
        epoch.
    ErgodualError
        If an argument is out of its range or the checkpoint does not belong to this training.
    """
    if len(x_tilde) != len(x_true) or len(x_tilde) == 0:
        raise ErgodualError(
            f"The observations have shape {tuple(x_tilde.shape)} and the ground truths "
            f"{tuple(x_true.shape)}; give as many of both, at least one."
        )
    return fit_data(
        model, InMemory(x_tilde, x_true), dev=None if dev is None else InMemory(*dev), **options
    )


def fit_data(
    model: Unrolled | Solved,
    data: Data,
    *,
    epochs: int = 20,
    batch_size: int = 32,
    optimizer: Optimizer = "sgd",
    lr: float = 0.05,
    schedule: str | Callable[[int], float] = "sqrt",
    warmup: int = 0,
    lr_scale: float = 1.0,
    loss: Loss | None = None,
    seed: int = 0,
    dev: Data | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    identity: dict[str, Any] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[float], None] | None = None,
    workers: Workers | None = None,
) -> History:
    """Learn the model's parameters from data that need not be in memory, with as many processes as
    there are.

    Parameters
    ----------
    model
        What is learned: all its parameters that require a gradient.
    data
        What it is learned from.
    epochs
        How often all samples are seen.
    batch_size
        Samples a mini-batch, over all processes; the gradient is that of its mean loss.
    optimizer
        ``"sgd"`` or ``"adam"``.
    lr, schedule
        The learning rate and its course; see :func:`~ergodual.bilevel.learning_rate`.
    warmup
        Mini-batches of the first epoch over which it rises to its value.
    lr_scale
        The learning rate of everything but the operator (step sizes, averaging weights), relative
        to that of the operator.
    loss
        The loss of each frame; ``HalfSquared()`` if None.
    seed
        With the epoch's number, decides the order of the samples.
    dev
        Data that are only measured.
    checkpoint
        A file that is rewritten after each epoch, by the leading process.
    checkpoint_every
        Also after so many mini-batches of an epoch; never in between if None.
    resume
        Whether to go on from ``checkpoint`` where it exists; the result is bit for bit that of an
        uninterrupted run, and to rounding with another number of processes.
    identity
        What else must agree for a checkpoint to belong to this training.
    on_epoch, on_step
        Called after each epoch (and before the first), before its checkpoint is written, and with
        the loss of each mini-batch.
    workers
        The processes that take part; this one alone if None.

    Returns
    -------
    One entry an epoch, and one, epoch 0, from before the first.

    Raises
    ------
    NotFiniteError
        If a loss or a gradient is not finite; the model then has the parameters of the last good
        epoch.
    ErgodualError
        If an argument is out of its range or the checkpoint does not belong to this training.
    """
    _check(epochs, batch_size, optimizer, lr, warmup, lr_scale)
    workers = Workers() if workers is None else workers
    learned = [p for p in model.parameters() if p.requires_grad]
    if not learned:
        raise ErgodualError(
            "The model has no parameter that requires a gradient; there is nothing to learn."
        )
    in_operators = [t for K in operators_of(model) for t in K.parameters()]
    operator = [p for p in learned if any(p is t for t in in_operators)]
    others = [p for p in learned if not any(p is t for t in operator)]
    groups = [
        {"params": some, "scale": scale}
        for some, scale in ((operator, 1.0), (others, lr_scale))
        if some
    ]
    stepper = _OPTIMIZERS[optimizer](groups, lr=lr, foreach=False)
    training = Training(
        model,
        stepper,
        data,
        dev,
        HalfSquared() if loss is None else loss,
        seed,
        batch_size,
        warmup,
        workers,
    )
    named: dict[str, Any] = {
        "seed": seed,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "epochs": epochs,
    }
    named |= {"warmup": warmup, "lr_scale": lr_scale, "checkpoint_every": checkpoint_every}
    identity = {**named, **(identity or {})}

    def save() -> None:
        if checkpoint is not None:
            training.save(checkpoint, identity)

    if (
        workers.told(resume and checkpoint is not None and checkpoint.exists())
        and checkpoint is not None
    ):
        training.load(checkpoint, identity)
    while len(training.history.epochs) <= epochs:
        done = len(training.history.epochs)
        if done == 0:
            entry = training.measure(None)
        else:
            entry = training.epoch(
                learning_rate(schedule, lr, done - 1, epochs), on_step, checkpoint_every, save
            )
        # first what others see of the epoch, then the checkpoint: a run that ends between them does
        # the epoch, and it, again
        if on_epoch is not None:
            on_epoch(entry)
        save()
    return training.history


_OPTIMIZERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def _check(
    epochs: int, batch_size: int, optimizer: str, lr: float, warmup: int, lr_scale: float
) -> None:
    if optimizer not in _OPTIMIZERS:
        raise ErgodualError(
            f"The optimizer is {optimizer!r}; it must be one of {', '.join(_OPTIMIZERS)}."
        )
    for name, value in (("number of epochs", epochs), ("batch size", batch_size)):
        if value < 1:
            raise ErgodualError(f"The {name} is {value}; it must be at least 1.")
    for name, number in (("learning rate", lr), ("scale of the learning rate", lr_scale)):
        if not 0 < number < 1e30:
            raise ErgodualError(f"The {name} is {number}; it must be positive and below 1e30.")
    if warmup < 0:
        raise ErgodualError(f"The warm-up takes {warmup} mini-batches; it must not be negative.")
