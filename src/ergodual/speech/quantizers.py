"""Quantizers: what a recording with too few bits has been through."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ergodual.errors import ErgodualError


@dataclass(frozen=True)
class MidRise:
    """The mid-rise quantizer on [−1, 1]: x̃ = sign(x) (⌊|x|/Δ⌋ + ½) Δ with Δ = 2/2^b and sign(0) = +1.

    Parameters
    ----------
    bits
        The word length b, 1 to 16.
    clip
        Whether |x| = 1 falls into the outermost of the 2^b cells. The paper's convention, False, gives it a level of its
        own, 1 + Δ/2.

    Raises
    ------
    ErgodualError
        If the word length is out of its range.
    """

    bits: int
    clip: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise ErgodualError(f"The word length is {self.bits} bits; it must be between 1 and 16.")

    @property
    def step(self) -> float:
        """Δ, the width of a cell."""
        return float(2.0 ** (1 - self.bits))

    @property
    def radius(self) -> float:
        """η = Δ/2: |x − x̃| ≤ η."""
        return self.step / 2

    def quantize(self, x: Tensor) -> Tensor:
        """x̃, of the shape and type of x."""
        level = (x.abs() / self.step).floor()
        if self.clip:
            level = level.clamp(max=2 ** (self.bits - 1) - 1)
        return torch.where(x < 0, -1.0, 1.0).to(x.dtype) * (level + 0.5) * self.step
