"""Frames whose cells differ in width: estimators take them in half steps, each frame in its own."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ergodual.functions import Box
from ergodual.primal_dual import Unrolled
from ergodual.primal_dual.unrolled import Functions
from ergodual.speech.quantizers import Levels


class Estimator(Protocol):
    """What restores frames, ``(count, n)``: the model itself, or anything to compare it with."""

    def __call__(self, x_tilde: Tensor, /, G: Box) -> Tensor:
        """Points x̂ of x̃ + the box."""


def half_step(lower: Tensor, upper: Tensor) -> Tensor:
    """Half the mean width of a frame's closed cells, ``(count, 1)``; 1 where none is closed."""
    widths = upper - lower
    closed = widths.isfinite() & (widths > 0)
    known = closed.sum(1, keepdim=True)
    return torch.where(
        known > 0, widths.where(closed, 0.0).sum(1, keepdim=True) / (2 * known.clamp(min=1)), 1.0
    )


def in_half_steps(
    estimator: Estimator, x_tilde: Tensor, lower: Tensor, upper: Tensor, wider: float = 0.0
) -> Tensor:
    """The estimates of frames on any scale by what takes them in half steps.

    Parameters
    ----------
    estimator
        Restores frames that are divided by their :func:`half_step`, in float32.
    x_tilde, lower, upper
        The middles of the cells of frames, and their bounds, ``(count, n)``.
    wider
        By how much these are further apart on both sides than steps are.
    """
    half = half_step(lower + wider, upper - wider)
    scaled, below, above = ((t / half).float() for t in (x_tilde, lower - x_tilde, upper - x_tilde))
    estimate = estimator(scaled, G=Box(lower=below.clamp(max=0), upper=above.clamp(min=0)))
    return (estimate * half).to(x_tilde.dtype)


class Companded(Unrolled):
    """A model for half steps as one for whatever a quantizer stores, to learn it under what
    recordings will go through.

    x̂ is a function of x̃ alone, which says what its cells are. The parameters are those of the
    model.

    Parameters
    ----------
    model
        The model.
    quantizer
        On the scale of the frames.
    """

    def __init__(self, model: Unrolled, quantizer: Levels) -> None:
        super().__init__(model.problem, model.depth, model.steps, model.output, model.adjoint)
        self._quantizer = quantizer

    def forward(
        self, observation: Tensor, G: Functions | None = None, F: Functions | None = None
    ) -> Tensor:
        """The estimates of frames, ``(batch, n)``, in the quantizer's cells, whatever G and F."""
        estimate = in_half_steps(super().forward, *self._quantizer.intervals(observation))
        return estimate.to(observation.dtype)
