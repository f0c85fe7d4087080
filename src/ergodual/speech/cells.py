"""What is known of each sample: the interval that it lay in, which need not be the same for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ergodual.speech.quantizers import Levels


class Cells(Protocol):
    """The intervals of samples, from their values."""

    @property
    def companded(self) -> bool:
        """Whether they grow with the samples, as in G.711."""

    def intervals(self, x_tilde: Tensor) -> Tensor:
        """``(3, length)``, float64: the middle, the lower and the upper bound of each sample's
        interval; the bounds may be infinite.
        """


class Known:
    """Every sample is what it is: an interval of width 0."""

    companded = False

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
        How far from a level a sample on it may be, since files round.
    """

    levels: Levels
    tolerance: float

    @property
    def companded(self) -> bool:
        """That of the quantizer."""
        return self.levels.companded

    def intervals(self, x_tilde: Tensor) -> Tensor:
        """The quantizer's, or the sample itself."""
        on = self.levels.distance(x_tilde) <= self.tolerance
        return torch.where(on, self.levels.intervals(x_tilde), Known().intervals(x_tilde))
