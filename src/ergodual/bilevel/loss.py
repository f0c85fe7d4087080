"""The upper level's loss, L in equation (2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ergodual.bilevel.data import Data, InMemory
from ergodual.bilevel.workers import Workers
from ergodual.errors import ErgodualError
from ergodual.tensors import total

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes x̂ and x†, ``(batch, *sample)``, and gives each sample's loss, ``(batch,)``."""


class HalfSquared:
    """½ Σ w_i (x̂_i − x†_i)² of each frame (Brauer, Lorenz 2019, where w = 1).

    Parameters
    ----------
    window
        w, ``(n,)``: what frames are multiplied by before they are added up where they overlap; 1 if
        None.
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


def losses(loss: Loss, x_hat: Tensor, x_true: Tensor) -> Tensor:
    """The loss of each sample, ``(batch,)``.

    Raises
    ------
    ErgodualError
        If the loss gives something else, as ``torch.nn.MSELoss()`` does.
    """
    found = loss(x_hat, x_true)
    if found.shape != (len(x_hat),):
        raise ErgodualError(
            f"The loss gives shape {tuple(found.shape)} for {len(x_hat)} samples; give a number "
            "for each sample, as HalfSquared() or lambda x, y: (x - y).square().flatten(1).mean(1)."
        )
    return found


def mean_loss(model: nn.Module, x_tilde: Tensor, x_true: Tensor, loss: Loss | None = None) -> float:
    """The mean of the loss over all samples, accumulated in float64 and without gradients.

    Parameters
    ----------
    model
        Maps observations to estimates, a batch at a time.
    x_tilde, x_true
        Observations and ground truth, ``(samples, *sample)``.
    loss
        The loss of each frame; ``HalfSquared()`` if None.
    """
    return mean_loss_over(
        model, InMemory(x_tilde, x_true), HalfSquared() if loss is None else loss, Workers()
    )


def mean_loss_over(model: nn.Module, data: Data, loss: Loss, workers: Workers) -> float:
    """The same over any data, shared by all processes."""
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for x_tilde, x_true in data.chunks(workers.share):
            # float() would wait for a device after each chunk
            of_each = losses(loss, model(x_tilde), x_true)
            total = total.to(x_true.device) + of_each.sum(dtype=torch.float64)
    workers.total([total])
    return float(total) / len(data)
