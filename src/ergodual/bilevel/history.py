"""What is recorded about a training: one entry an epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """The state after an epoch; epoch 0 is the state before learning.

    Attributes
    ----------
    epoch
        Its number.
    train_loss
        The mean loss over all training frames, after the epoch.
    dev_loss
        The same over the frames kept for validation, or None without any.
    gradient_norm
        The mean over the epoch's mini-batches of the Frobenius norm of the mini-batch's mean
        gradient in K (in everything that is learned where K is not); None for epoch 0.
    norm
        The spectral norm of K, the largest where there are several; None without any.
    sigma, tau
        The step sizes of each iteration; empty where the lower level is solved.
    weights
        The averaging weights; likewise.
    lr
        The learning rate of the epoch; None for epoch 0.
    seconds
        How long learning and measuring took.
    iterations
        The mean number of iterations for a sample whose lower level was solved, in the learning
        part of the epoch; None where none is.
    """

    epoch: int
    train_loss: float
    dev_loss: float | None
    gradient_norm: float | None
    norm: float | None
    sigma: list[float] = field(repr=False)  # long ones, where epochs are printed
    tau: list[float] = field(repr=False)
    weights: list[float] = field(repr=False)
    lr: float | None
    seconds: float
    iterations: float | None = None

    @property
    def loss(self) -> float:
        """What epochs are compared by: the loss on the validation frames, or on the training
        frames without any.
        """
        return self.train_loss if self.dev_loss is None else self.dev_loss


@dataclass
class History:
    """All epochs so far, epoch 0 first."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def best(self) -> Epoch:
        """The first epoch with the lowest loss on the validation frames, or on the training frames
        without any.
        """
        return min(self.epochs, key=lambda epoch: epoch.loss)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Plain dictionaries, one an epoch."""
        return [asdict(epoch) for epoch in self.epochs]

    @staticmethod
    def from_dicts(rows: list[dict[str, Any]]) -> History:
        """The inverse of :meth:`as_dicts`."""
        return History([Epoch(**row) for row in rows])
