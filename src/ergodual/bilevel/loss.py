"""The upper level's loss, L in equation (2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ergodual.bilevel.data import Data, InMemory
from ergodual.bilevel.workers import Workers
from ergodual.errors import ErgodualError
from ergodual.tensors import described, total

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes x̂ and x†, ``(batch, *sample)``, and gives each sample's loss, ``(batch,)``, or one number
for the batch, as torch's losses do.
"""


class HalfSquared:
    """½ Σ w_i (x̂_i − x†_i)² of each frame (Brauer, Lorenz 2019, where w = 1).

    Parameters
    ----------
    window
        w, ``(n,)``: what frames are multiplied by before they are added up where they overlap; 1 if
        None.

    Examples
    --------
    >>> from ergodual.bilevel import HalfSquared
    >>> HalfSquared()(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
    tensor([2.5000])
    """

    def __init__(self, window: Tensor | None = None) -> None:
        self.window = window

    def __call__(self, x_hat: Tensor, x_true: Tensor) -> Tensor:
        if x_hat.shape != x_true.shape:
            raise ErgodualError(
                f"The estimates have shape {tuple(x_hat.shape)} and the ground truths "
                f"{tuple(x_true.shape)}; make them alike."
            )
        squares = (x_hat - x_true).square()
        return total(squares if self.window is None else squares * self.window) / 2


def summed(loss: Loss, x_hat: Tensor, x_true: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The sum of the losses of some samples, in a type of its own; of no samples, 0.

    One number for a batch counts as the mean of its samples, or as their sum where the loss says so
    (``reduction="sum"``).

    Raises
    ------
    ErgodualError
        If the loss gives something else.
    """
    if not len(x_hat):  # of which torch's means are not a number
        return x_hat.sum()
    found = loss(x_hat, x_true)
    if isinstance(found, Tensor) and found.shape == (len(x_hat),):
        return found.sum(dtype=dtype)
    if not isinstance(found, Tensor) or found.ndim:
        raise ErgodualError(
            f"The loss gives {described(found)} for {len(x_hat)} samples; give one number, as "
            "torch.nn.MSELoss(), or one for each sample, as HalfSquared() or "
            "lambda x, y: (x - y).square().flatten(1).mean(1)."
        )
    return found if getattr(loss, "reduction", "mean") == "sum" else found * len(x_hat)


def mean_loss(model: nn.Module, x_tilde: Tensor, x_true: Tensor, loss: Loss | None = None) -> float:
    """The mean of the loss over all samples, accumulated in float64 and without gradients.

    Parameters
    ----------
    model
        Maps observations to estimates, a batch at a time.
    x_tilde, x_true
        Observations and ground truth, ``(samples, *sample)``.
    loss
        The loss of each frame, or of a batch; ``HalfSquared()`` if None.
    """
    return mean_loss_over(
        model, InMemory(x_tilde, x_true), HalfSquared() if loss is None else loss, Workers()
    )


def mean_loss_over(
    model: Callable[[Tensor], Tensor], data: Data, loss: Loss, workers: Workers
) -> float:
    """The same over any data, shared by all processes."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    with torch.no_grad():
        for x_tilde, x_true in data.chunks(workers.share):
            # float() would wait for a device after each chunk
            of_all = summed(loss, model(x_tilde), x_true, torch.float64)
            total, count = total.to(x_true.device) + of_all, count + len(x_tilde)
    counted = torch.tensor(float(count), dtype=torch.float64, device=total.device)
    workers.total([total, counted])
    return float(total) / float(counted)
