"""What is known of each sample: the interval that it lay in, which need not be the same for all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ergodual.speech.quantizers import Levels


class Cells(Protocol):
    """The intervals of samples, from their values."""

    @property
    def companded(self) -> bool:
        """Whether they grow with the samples, as in G.711."""

    @property
    def wider(self) -> float:
        """By how much they are wider on both sides than what rounding alone leaves open."""

    def intervals(self, x_tilde: Tensor) -> Tensor:
        """``(3, length)``, float64: the middle, the lower and the upper bound of each sample's
        interval; the bounds may be infinite.
        """


class Known:
    """Every sample is what it is: an interval of width 0."""

    companded = False
    wider = 0.0

    def intervals(self, x_tilde: Tensor) -> Tensor:
        """The samples themselves, three times."""
        return x_tilde.double().expand(3, -1)


@dataclass(frozen=True)
class OnLattice:
    """Samples on a quantizer's levels lay in its cells; those off them are known.

    Attributes
    ----------
    levels
        The quantizer.
    tolerance
        How far from a level a sample on it may be, since files round; inf where all are on it.
    wider
        By how much a cell is wider on both sides than the quantizer's, since noise was added.
    clips
        Samples from the one down, and from the other up, were cut off there: they lay somewhere
        beyond the cells of the outermost levels.
    """

    levels: Levels
    tolerance: float = math.inf
    wider: float = 0.0
    clips: tuple[float, float] = (-math.inf, math.inf)

    @property
    def companded(self) -> bool:
        """That of the quantizer."""
        return self.levels.companded

    def intervals(self, x_tilde: Tensor) -> Tensor:
        """The quantizer's, or the sample itself."""
        x_tilde = x_tilde.double()
        cells = self.levels.intervals(x_tilde)
        cells[1] -= self.wider
        cells[2] += self.wider
        on = self.levels.distance(x_tilde) <= self.tolerance
        cells = torch.where(on, cells, Known().intervals(x_tilde))
        beyond = self._beyond(*self.levels.edges[[0, -1]].tolist())
        for cut, cell in zip(
            (x_tilde <= self.clips[0], x_tilde >= self.clips[1]), beyond, strict=True
        ):
            cells[:, cut] = cell[:, None]
        return cells

    def _beyond(self, lowest: float, highest: float) -> tuple[Tensor, Tensor]:
        """The cells of what was cut off, whose middles are half a step from their bounds."""
        half = self.levels.step / 2
        return (
            torch.tensor([lowest - half, -math.inf, lowest + self.wider], dtype=torch.float64),
            torch.tensor([highest + half, highest - self.wider, math.inf], dtype=torch.float64),
        )


@dataclass(frozen=True)
class InStretches:
    """Cells that change along a recording, whose samples come as a whole.

    Attributes
    ----------
    starts
        Where each stretch begins, the first at 0.
    parts
        The cells of each.
    """

    starts: tuple[int, ...]
    parts: tuple[Cells, ...]

    @property
    def companded(self) -> bool:
        """Those of the first."""
        return self.parts[0].companded

    @property
    def wider(self) -> float:
        """Those of the first."""
        return self.parts[0].wider

    def intervals(self, x_tilde: Tensor) -> Tensor:
        """Those of each stretch."""
        lengths = np.diff([*self.starts, max(len(x_tilde), self.starts[-1])]).tolist()
        each = zip(self.parts, torch.split(x_tilde, lengths), strict=True)
        return torch.cat([part.intervals(samples) for part, samples in each], dim=1)
