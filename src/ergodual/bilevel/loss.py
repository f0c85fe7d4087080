"""The upper level's loss, L in equation (2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

EVALUATION_BATCH = 1024

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes x̂ and x†, both ``(batch, n)``, and gives the loss of each frame, ``(batch,)``."""


class HalfSquared:
    """½‖x̂ − x†‖² of each frame (Brauer, Lorenz 2019)."""

    def __call__(self, x_hat: Tensor, x_true: Tensor) -> Tensor:
        return (x_hat - x_true).square().sum(-1) / 2


def mean_loss(model: nn.Module, x_tilde: Tensor, x_true: Tensor, loss: Loss | None = None) -> float:
    """The mean of the loss over all frames, accumulated in float64 and without gradients.

    Parameters
    ----------
    model
        Maps ``(batch, n)`` to ``(batch, n)``.
    x_tilde, x_true
        Observations and ground truth, ``(frames, n)``.
    loss
        The loss of each frame; ``HalfSquared()`` if None.
    """
    loss = HalfSquared() if loss is None else loss
    total = torch.zeros((), dtype=torch.float64, device=x_tilde.device)
    with torch.no_grad():
        for observed, truth in zip(*(torch.split(t, EVALUATION_BATCH) for t in (x_tilde, x_true)), strict=True):
            total += loss(model(observed), truth).sum(dtype=torch.float64)
    return float(total) / len(x_tilde)
