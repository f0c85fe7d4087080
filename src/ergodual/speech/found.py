"""What is found out about a channel: its quantizer, and the sentence that says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.cells import Cells, InStretches, Known, OnLattice
from ergodual.speech.dither import WIDER, Dithers
from ergodual.speech.quantizers import Levels, cut, uniform

CENTRED = 0.08
"""A mean of so many steps is no offset."""


@dataclass(frozen=True)
class Found:
    """What was found out about a channel.

    Attributes
    ----------
    quantizer
        The quantizer, on the scale of the samples; None where the recording is not coarsely
        quantized.
    said
        The same as a sentence.
    bits
        The word length that suffices for the values that occur: smaller than that of the file where
        it is quiet.
    tolerance
        Samples that are further from all levels are off the lattice, and known; inf where none is.
    off
        How many these are.
    clips
        Samples from the one down, and from the other up, were cut off there.
    cut_off
        How many these are.
    dither
        The noise that was added before.
    centre
        An offset of the recording.
    share
        Of the step from what is stored to the estimate, so much is known to help.
    stretches
        Where each begins and what was found out about it, if it changes along the recording.
    """

    quantizer: Levels | None
    said: str
    bits: int | None = None
    tolerance: float = math.inf
    off: int = 0
    clips: tuple[float, float] = (-math.inf, math.inf)
    cut_off: int = 0
    dither: Dithers = "none"
    centre: float = 0.0
    share: float = 1.0
    stretches: tuple[tuple[int, Found], ...] = ()

    @property
    def cells(self) -> Cells:
        """The intervals that the samples lay in."""
        if self.stretches:
            starts, parts = zip(*self.stretches, strict=True)
            return InStretches(starts, tuple(part.cells for part in parts))
        if self.quantizer is None:
            return Known()
        wider = WIDER[self.dither] * self.quantizer.step
        return OnLattice(self.quantizer, self.tolerance, wider, self.clips)

    @property
    def kind(self) -> Literal["mid-rise", "mid-tread"] | None:
        """Where 0 lies in the lattice; None where it is neither on a level nor half-way between
        two, and where there is no lattice.
        """
        if self.quantizer is None or self.quantizer.companded:
            return None
        return kind_of(float(self.quantizer.levels[0]) / self.quantizer.step)

    def cut(self, kind: Literal["floor", "truncate"], why: str = "") -> Found:
        """The same lattice, of samples that were not rounded to it."""
        assert self.quantizer is not None
        said = self.said.replace("mid-tread", kind) + (f"; {why}" if why else "")
        return replace(self, quantizer=cut(self.quantizer, kind), said=said)

    def dithered(self, dither: Dithers, why: str = "") -> Found:
        """The same lattice, of samples that noise was added to before."""
        said = f"{self.said}; " + (why or f"{dither} dither")
        return replace(self, dither=dither, said=said)


def said_of_each(channels: Sequence[Found]) -> str:
    """What was found out, as a sentence, of each channel where they differ."""
    different = list(dict.fromkeys(found.said for found in channels))
    if len(different) == 1:
        return different[0]
    return "; ".join(f"channel {number}: {found.said}" for number, found in enumerate(channels, 1))


def described(step: float, offset: float, values: NDArray[np.float64], open_: bool = True) -> Found:
    """The lattice through the values, with the level nearest to 0 as level 0; its ends may be open
    where all 2^b levels are used up, or the next one would be beyond ±1.
    """
    # into [−Δ/4, 3Δ/4): 0 for mid-tread, Δ/2 for mid-rise
    offset -= step * round(offset / step - 0.25)
    bits = bits_of(step, values)
    kind = kind_of(offset / step) or f"shifted by {offset / step:.2f} steps"
    lowest, highest = round((values[0] - offset) / step), round((values[-1] - offset) / step)
    half = 2 ** (bits - 1)
    name = f"{kind}, {bits} bits"
    full = [
        abs(offset + step * (end + way)) > 1 + 1e-6 for end, way in ((lowest, -1), (highest, 1))
    ]
    ends = (open_ and (lowest <= -half or full[0]), open_ and (highest >= half - 1 or full[1]))
    quantizer = uniform(name, step, offset, lowest, highest, ends)
    return Found(quantizer, f"{name}, step {step:.6g}", bits)


def offset_of(mean: float, step: float) -> float:
    """A mean that counts as an offset of the recording, else 0."""
    return mean if abs(mean) > CENTRED * step else 0.0


def needed(quantizer: Levels, values: NDArray[np.float64]) -> int:
    """The bits that suffice for these values at the quantizer's smallest step; of laws, whose steps
    differ, those that number the levels.
    """
    if quantizer.companded:
        return quantizer.bits
    return bits_of(quantizer.step, values)


def bits_of(step: float, values: NDArray[np.float64]) -> int:
    """The word length b for which 2^b steps reach as far as the values, to both sides, up to what
    rounding may have added.
    """
    half_steps = max(2, math.floor(2 * float(np.abs(values).max()) / step + 0.3))
    return math.ceil(math.log2(half_steps))


def kind_of(steps: float) -> Literal["mid-rise", "mid-tread"] | None:
    """That of a lattice with a level at so many steps."""
    fraction = steps - math.floor(steps)
    if min(fraction, 1 - fraction) < 0.02:
        return "mid-tread"
    return "mid-rise" if abs(fraction - 0.5) < 0.02 else None
