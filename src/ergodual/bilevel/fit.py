"""The training loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ergodual.bilevel import identity as identities
from ergodual.bilevel.data import Data, InMemory, Pair
from ergodual.bilevel.history import Epoch, History
from ergodual.bilevel.layers import Layers, device_of
from ergodual.bilevel.loader import Loaded
from ergodual.bilevel.loss import HalfSquared, Loss
from ergodual.bilevel.optimizers import Optimizer, stepper_of
from ergodual.bilevel.schedules import Schedule, learning_rate
from ergodual.bilevel.training import Training
from ergodual.bilevel.workers import Workers
from ergodual.errors import ErgodualError
from ergodual.tensors import described

Tolerances = tuple[float, float] | Callable[[int], float]

BATCH = 32


def fit(
    model: nn.Module,
    data: Tensor | Data | DataLoader[Any],
    x_true: Tensor | None = None,
    *,
    dev: Pair | Data | DataLoader[Any] | None = None,
    epochs: int = 20,
    batch_size: int | None = None,
    loss: Loss | None = None,
    optimizer: Optimizer = "sgd",
    lr: float | None = None,
    schedule: Schedule | Callable[[int], float] = "sqrt",
    warmup: int = 0,
    lr_scale: float = 1.0,
    clip: float | None = None,
    keep: Literal["best", "last"] | None = None,
    warm_start: bool = False,
    tol: Tolerances | None = None,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    identity: dict[str, Any] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[float], None] | None = None,
    workers: Workers | None = None,
) -> History:
    """Learn a model's parameters from pairs of observations and ground truths.

    Weights, radii and given steps that a step of the optimizer would take out of their range stay
    at its border (:func:`~ergodual.bilevel.project_`).

    Parameters
    ----------
    model
        What is learned: all parameters that require a gradient of a module that maps observations
        to estimates, a batch at a time: ``Unrolled``, ``Solved``, or anything with them inside.
    data
        Observations, ``(samples, *sample)``, with ``x_true``; or, instead of both, a ``DataLoader``
        of pairs, which makes the batches itself, or a :class:`~ergodual.bilevel.Data`.
    x_true
        Ground truths, as many as there are observations.
    dev
        Pairs that are only measured: two tensors, or as ``data``.
    epochs
        How often all samples are seen.
    batch_size
        Samples a mini-batch, over all processes; the gradient is that of its mean loss. 32 if None;
        that of a ``DataLoader`` is its own.
    loss
        Of x̂ and x†: a number for each sample, ``(batch,)``, or one for the batch, as torch's
        losses; ``HalfSquared()`` if None.
    optimizer
        ``"sgd"``, ``"adam"``, or what makes an optimizer of parameters: ``torch.optim.AdamW``, or
        ``functools.partial(torch.optim.LBFGS, max_iter=5)``.
    lr
        The learning rate; if None, 0.05 for the two names, and else the optimizer's own.
    schedule
        Its course; see :func:`~ergodual.bilevel.learning_rate`. The groups of an optimizer keep the
        ratios of their rates.
    warmup
        Mini-batches of the first epoch over which it rises to its value.
    lr_scale
        The learning rate of everything but operators (step sizes, weights), relative to theirs.
    clip
        What the norm of a mini-batch's gradient in all that is learned is cut to; not at all if
        None.
    keep
        Which parameters the model has in the end: those of the epoch with the lowest loss on
        ``dev``, or the last ones; if None, the best where there is ``dev``.
    warm_start
        Whether every lower level of a ``Solved`` starts from the y and r where it ended in the
        epoch before, which are kept for all samples. For data in memory and one process.
    tol
        To what ``Solved`` solves in each epoch: two numbers, the first epoch's and the last one's,
        with a constant ratio between; or a function of the epoch, from 1 on. Their own tolerance if
        None.
    seed
        With the epoch's number, decides the order of the samples, and what else is random.
    checkpoint
        A file that is rewritten after each epoch, by the leading process.
    checkpoint_every
        Also after so many mini-batches of an epoch; never in between if None.
    resume
        Whether to go on from ``checkpoint`` where it exists; the result is bit for bit that of an
        uninterrupted run, and to rounding with another number of processes. There may be more
        epochs than the interrupted run was to have.
    identity
        What else must agree for a checkpoint to belong to this training: plain values by name.
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
        If an argument is out of its range, data or loss are not what they should be, or the
        checkpoint does not belong to this training.

    Examples
    --------
    A weight of total variation, from 64 signals with one edge each:

    >>> from ergodual.bilevel import fit
    >>> _ = torch.manual_seed(0)
    >>> x_true = (torch.arange(16) > torch.randint(4, 12, (64, 1))).double()
    >>> x_tilde = x_true + 0.1 * torch.randn(64, 16, dtype=torch.float64)
    >>> F = ed.L1(torch.nn.Parameter(torch.tensor(0.0, dtype=torch.float64)))
    >>> problem = ed.Problem(F=F, G=ed.SquaredL2(), K=ed.Gradient())
    >>> model = ed.Unrolled(problem, depth=20, output=ed.Last())
    >>> history = fit(model, x_tilde, x_true, epochs=5)
    >>> history.epochs[0].loss > 2 * history.epochs[-1].loss
    True
    """
    workers = Workers() if workers is None else workers
    source = _source("data", data, x_true, model)
    if isinstance(dev, tuple | list) and len(dev) == 2:
        held_out: Data | None = _source("dev", dev[0], dev[1], model)
    else:
        held_out = None if dev is None else _source("dev", dev, None, model)
    loaded = isinstance(source, Loaded)
    _check(epochs, batch_size, lr, warmup, lr_scale, clip, checkpoint_every)
    _check_choices(keep, checkpoint, resume, loaded, batch_size, workers)
    _check_warm(warm_start, source, held_out, model, workers)
    size = BATCH if batch_size is None else batch_size
    stepper, lr = stepper_of(model, optimizer, lr, lr_scale)
    loss = HalfSquared() if loss is None else loss
    training = Training(
        model,
        stepper,
        source,
        held_out,
        loss,
        seed,
        size,
        warmup,
        workers,
        keeps_best=(keep or ("last" if dev is None else "best")) == "best",
        warm=warm_start,
        clip=clip,
    )
    named: dict[str, Any] = {"seed": seed, "batch_size": None if loaded else size, "lr": lr}
    named |= {"optimizer": identities.of_call(optimizer), "loss": identities.of_call(loss)}
    named |= {"schedule": identities.of_schedule(schedule, lr, epochs)}
    named |= {"warmup": warmup, "lr_scale": lr_scale}
    named |= {"clip": clip} if clip is not None else {}
    named |= {"keep": training.keeps_best, "warm_start": warm_start}
    named |= {"data": identities.of_data(source), "dev": identities.of_data(held_out)}
    path = None if checkpoint is None else Path(checkpoint)
    whole = {**named, **identities.of_model(model), **(identity or {})} if path else {}

    def save() -> None:
        if path is not None:
            training.save(path, whole)

    if workers.told(resume and path is not None and path.exists()) and path is not None:
        training.load(path, whole)
    mode = model.training
    try:
        while len(training.history.epochs) <= epochs:
            done = len(training.history.epochs)
            at = _tolerance(tol, max(1, done), epochs)
            if done == 0:
                entry = training.begin(at)
            else:
                rate = learning_rate(schedule, lr, done - 1, epochs)
                entry = training.epoch(rate, at, on_step, checkpoint_every, save)
            # first what others see of the epoch, then the checkpoint: a run that ends between them
            # does the epoch, and it, again
            if on_epoch is not None:
                on_epoch(entry)
            save()
    finally:
        model.train(mode)
    if training.best is not None:
        model.load_state_dict(training.best)
    return training.history


def _source(name: str, data: Any, x_true: Tensor | None, model: nn.Module) -> Data:
    """What is given as data, or as dev, as :class:`Data`."""
    if isinstance(data, DataLoader):
        return Loaded(data, device_of(model))
    if hasattr(data, "batches") and hasattr(data, "chunks"):
        found: Data = data
        return found
    if isinstance(data, Dataset):
        raise ErgodualError(
            f"The {name} are a {type(data).__name__}; wrap it, as in torch.utils.data.DataLoader("
            "dataset, batch_size=32, shuffle=True)."
        )
    if not isinstance(data, Tensor) or not isinstance(x_true, Tensor):
        raise ErgodualError(
            f"The {name} are {described(data)} and "
            f"{'no ground truths' if x_true is None else described(x_true)}; give two tensors, "
            "observations and ground truths, or a DataLoader of such pairs."
        )
    if len(data) != len(x_true) or len(data) == 0:
        raise ErgodualError(
            f"The observations have shape {tuple(data.shape)} and the ground truths "
            f"{tuple(x_true.shape)}; give as many of both, at least one."
        )
    return InMemory(data, x_true)


def _tolerance(tol: Tolerances | None, epoch: int, epochs: int) -> float | None:
    if tol is None:
        return None
    if callable(tol):
        found = float(tol(epoch))
    else:
        first, last = tol
        found = first * (last / first) ** ((epoch - 1) / max(1, epochs - 1))
    if not 0 < found < 1:
        raise ErgodualError(
            f"The tolerance of epoch {epoch} is {found}; it must be between 0 and 1."
        )
    return found


def _check(
    epochs: int,
    batch_size: int | None,
    lr: float | None,
    warmup: int,
    lr_scale: float,
    clip: float | None,
    checkpoint_every: int | None,
) -> None:
    for name, value in (
        ("number of epochs", epochs),
        ("batch size", batch_size),
        ("number of mini-batches between checkpoints", checkpoint_every),
    ):
        if value is not None and value < 1:
            raise ErgodualError(f"The {name} is {value}; it must be at least 1.")
    rates = {"learning rate": lr, "scale of the learning rate": lr_scale, "gradient's bound": clip}
    for name, number in rates.items():
        if number is not None and not 0 < number < 1e30:
            raise ErgodualError(f"The {name} is {number}; it must be positive and below 1e30.")
    if warmup < 0:
        raise ErgodualError(f"The warm-up takes {warmup} mini-batches; it must not be negative.")


def _check_choices(
    keep: str | None,
    checkpoint: Path | str | None,
    resume: bool,
    loaded: bool,
    batch_size: int | None,
    workers: Workers,
) -> None:
    if keep not in ("best", "last", None):
        raise ErgodualError(f"keep is {keep!r}; it must be 'best' or 'last'.")
    if resume and checkpoint is None:
        raise ErgodualError("There is no checkpoint to go on from; give checkpoint= with resume.")
    if loaded and batch_size is not None:
        raise ErgodualError(
            f"The batch size is {batch_size}, and the data are a DataLoader, which has its own; "
            "leave batch_size out."
        )
    if loaded and workers.share.size > 1:
        raise ErgodualError(
            "Several processes share tensors or a Data, and each would see all of a DataLoader; "
            "give one of the former."
        )


def _check_warm(
    warm: bool, data: Data, dev: Data | None, model: nn.Module, workers: Workers
) -> None:
    if not warm:
        return
    if not Layers(model).solved_ones:
        raise ErgodualError(
            "Only lower levels that are solved can start warm, and the model has no Solved; leave "
            "warm_start out."
        )
    if workers.share.size > 1 or not all(isinstance(d, InMemory | None) for d in (data, dev)):
        raise ErgodualError(
            "Warm starts need data in memory and one process; give tensors, or leave warm_start "
            "out."
        )
