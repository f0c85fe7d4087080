"""Pieces of recordings to learn from, each of them changed a little every time it is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.bilevel.data import key_of
from ergodual.errors import ErgodualError
from ergodual.speech.quantizers import Levels, MidRise

MARGIN = 64
"""Samples to both sides of a piece from which a delay takes what comes in."""
LEAST_GAIN = 0.85
"""Of the recordings' level."""
BIASED = 0.25
"""Share of the pieces whose levels are moved."""


class Crops(NamedTuple):
    """Pieces of recordings, in the quantizer's (smallest) half steps.

    Attributes
    ----------
    files
        The recording that each is from, ``(count,)``.
    x_tilde, x_true
        ``(count, length)``.
    """

    files: Tensor
    x_tilde: Tensor
    x_true: Tensor


class Cropping:
    """Draws pieces of recordings: delayed by part of a sample, at another level, of either sign.

    So they lie in other cells every time. What is drawn depends on the seed and the number of the
    mini-batch alone.

    Parameters
    ----------
    recordings
        Each over its own peak.
    length
        Samples a piece.
    quantizer
        What they are put through.
    bias
        A quarter of the pieces is quantized to levels that are moved by so many steps: with 0.5, 0
        is one of them, as it is for converters.

    Raises
    ------
    ErgodualError
        If no recording is as long as a piece.
    """

    def __init__(
        self,
        recordings: Sequence[Tensor],
        length: int,
        quantizer: MidRise | Levels,
        bias: float = 0.0,
    ) -> None:
        self.recordings = [x for x in recordings if len(x) >= length]
        if not self.recordings:
            raise ErgodualError(
                f"No recording has {length} samples, of which a piece is made; give longer ones."
            )
        self.length, self.quantizer, self.bias = length, quantizer, bias
        self.half = quantizer.step / 2

    def of(self, count: int, *key: int) -> Crops:
        """So many pieces, drawn by this key (seed, mini-batch)."""
        generator = torch.Generator().manual_seed(key_of(*key))
        files = torch.randint(len(self.recordings), (count,), generator=generator)
        drawn = torch.rand((count, 5), generator=generator, dtype=torch.float64).tolist()
        pieces = [self._piece(i, u) for i, u in zip(files.tolist(), drawn, strict=True)]
        x_true = torch.stack(pieces)
        moved = torch.tensor([self.bias if u[4] < BIASED else 0.0 for u in drawn])[:, None]
        shift = moved.to(x_true) * self.quantizer.step
        x_true = x_true * (1 - shift)  # so that no level is missing
        x_tilde = self.quantizer.quantize(x_true + shift) - shift
        return Crops(files, x_tilde / self.half, x_true / self.half)

    def _piece(self, file: int, u: Sequence[float]) -> Tensor:
        x = self.recordings[file]
        start = int(u[0] * (len(x) - self.length + 1))
        around = x[max(start - MARGIN, 0) : start + self.length + MARGIN]
        missing = max(MARGIN - start, 0)
        around = torch.nn.functional.pad(
            around, (missing, self.length + 2 * MARGIN - missing - len(around))
        )
        piece = delayed(around, u[1])[MARGIN : MARGIN + self.length]
        gain = LEAST_GAIN + (1 - LEAST_GAIN) * u[2]
        return (piece * (gain if u[3] < 0.5 else -gain)).clamp(-1, 1)


def delayed(x: Tensor, by: float) -> Tensor:
    """The samples later by so many samples, of the periodic signal through them."""
    spectrum = torch.fft.rfft(x)
    angles = torch.arange(len(spectrum), dtype=torch.float64) * (-2 * math.pi * by / len(x))
    turned: Tensor = spectrum * torch.polar(torch.ones_like(angles), angles).to(spectrum)
    found: Tensor = torch.fft.irfft(turned, len(x))
    return found
