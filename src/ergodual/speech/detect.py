"""Which quantizer a recording has been through, worked out from the values that occur in it.

Coarsely quantized samples, also after a change of volume, lie on a lattice offset + kΔ up to the
rounding of the file. The smallest distance between two values that occur proposes Δ, a
least-squares fit of all of them refines it, and only if no value is further from the lattice than
rounding explains is it believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.quantizers import Levels, a_law, mu_law, uniform

RESOLUTION = {
    "PCM_U8": 2.0**-7,
    "PCM_S8": 2.0**-7,
    "PCM_16": 2.0**-15,
    "PCM_24": 2.0**-23,
    "ULAW": 2.0**-15,
    "ALAW": 2.0**-15,
}
"""Distance of neighbouring values that a file can hold; any other format is taken as 32-bit
floating point.
"""
MOST_VALUES = 2**11
"""A recording with more different values is not coarsely quantized."""
FEWEST_STEPS = 16
"""Δ is at least so many times the resolution: below that, everything would seem to lie on a
lattice.
"""
FINEST_BITS = 10


@dataclass(frozen=True)
class Found:
    """What was found out.

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
    """

    quantizer: Levels | None
    said: str
    bits: int | None = None


def occurring(blocks: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The different values in blocks of samples, rising; after more than ``MOST_VALUES`` it stops
    looking.
    """
    values = np.empty(0)
    for block in blocks:
        values = np.union1d(values, block)
        if len(values) > MOST_VALUES:
            break
    return values


def resolution(values: NDArray[np.float64], subtype: str) -> float:
    """The distance of neighbouring numbers in a file of this format that holds these values."""
    return RESOLUTION.get(subtype, 2.0**-23 * float(np.abs(values).max(initial=0)))


def distance(quantizer: Levels, values: NDArray[np.float64]) -> float:
    """How far from the nearest level a value is, at most."""
    levels = quantizer.levels.numpy()
    above = np.clip(np.searchsorted(levels, values), 1, len(levels) - 1)
    return float(
        np.minimum(np.abs(values - levels[above - 1]), np.abs(levels[above] - values)).max(
            initial=0
        )
    )


def needed(quantizer: Levels, values: NDArray[np.float64]) -> int:
    """The bits that suffice for these values at the quantizer's smallest step; 8 for G.711, whose
    steps differ.
    """
    if quantizer.companded:
        return 8
    return max(1, math.ceil(math.log2(2 * np.abs(values).max() / quantizer.step) - 1e-3))


def detect(values: NDArray[np.float64], subtype: str) -> Found:
    """The quantizer of samples that take these values only.

    Parameters
    ----------
    values
        Those that occur, rising.
    subtype
        The format of the file's samples, as libsndfile names it.
    """
    companded = _companded(values, subtype)
    if companded is not None:
        return Found(companded, f"{companded.name} (G.711)", 8)
    finest = resolution(values, subtype)
    if len(values) < 2:
        return Found(None, "it has one value only, which says nothing about a quantizer")
    if subtype in ("PCM_U8", "PCM_S8") and np.diff(values).min() < FEWEST_STEPS / 2 * finest:
        return _described(finest, 0.0, values, 8)
    if len(values) > MOST_VALUES:
        return Found(
            None,
            f"it has more than {MOST_VALUES} different values, so it is not coarsely quantized",
        )
    step = float(np.diff(values).min())
    if step < FEWEST_STEPS * finest:
        return Found(
            None,
            "its values lie as close together as its format allows, so it is not coarsely "
            "quantized",
        )
    offset = float(values[0])
    for _ in range(4):
        places = np.concatenate([[0.0], np.cumsum(np.round(np.diff(values) / step))])
        step, offset = (float(v) for v in np.polyfit(places, values, 1))
    if np.abs(values - offset - step * places).max() > 1.01 * finest:
        return Found(
            None, "its values do not lie at equal distances, so it is not coarsely quantized"
        )
    bits = max(1, math.ceil(math.log2(2 * np.abs(values).max() / step) - 1e-3))
    if bits > FINEST_BITS:
        return Found(None, f"it has {bits} bits, so it is not coarsely quantized")
    return _described(step, offset, values, bits)


def _described(step: float, offset: float, values: NDArray[np.float64], bits: int) -> Found:
    """The lattice through the values, with the level nearest to 0 as level 0; open at an end where
    all 2^b levels are used up.
    """
    offset -= step * round(
        offset / step - 0.25
    )  # into [−Δ/4, 3Δ/4): 0 for mid-tread, Δ/2 for mid-rise
    fraction = offset / step
    kind = (
        "mid-tread"
        if abs(fraction) < 0.02
        else "mid-rise"
        if abs(fraction - 0.5) < 0.02
        else f"shifted by {fraction:.2f} steps"
    )
    lowest, highest = round((values[0] - offset) / step), round((values[-1] - offset) / step)
    half = 2 ** (bits - 1)
    name = f"{kind}, {bits} bits"
    quantizer = uniform(name, step, offset, lowest, highest, (lowest <= -half, highest >= half - 1))
    return Found(quantizer, f"{name}, step {step:.6g}", needed(quantizer, values))


def _companded(values: NDArray[np.float64], subtype: str) -> Levels | None:
    """G.711, also where it was decoded to 16 bits: all values are its levels, and more of them than
    a uniform one could share.
    """
    known = {"ULAW": mu_law, "ALAW": a_law}
    if subtype in known:
        return known[subtype]()
    if len(values) < 16 or len(values) > 256:
        return None
    gaps = np.diff(values)
    if gaps.max() < 4 * gaps.min():
        return None
    for make in (mu_law, a_law):
        quantizer = make()
        if np.isin(values, quantizer.levels.numpy()).all():
            return quantizer
    return None
