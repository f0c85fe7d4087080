"""Which quantizer a recording has been through, worked out from the values that occur in it.

Coarsely quantized samples, also after a change of volume, lie on a lattice offset + kΔ up to the
rounding of the file. The smallest distance between two values that occur proposes Δ, a
least-squares fit of all of them refines it, and only if no value is further from the lattice than
rounding explains is it believed. Where some samples are off it (a click, a repair, a fade, a part
that is fine), the most frequent values propose it, and at least half of the samples must lie on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.cells import Cells, Known, OnLattice
from ergodual.speech.quantizers import Levels, a_law, cut, mu_law, uniform
from ergodual.speech.tally import Tally

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
EIGHT = ("PCM_U8", "PCM_S8")
MOST_VALUES = 2**11
"""A recording with more different values is not coarsely quantized."""
FEWEST_STEPS = 16
"""Δ is at least so many times the resolution: below that, everything would seem to lie on a
lattice.
"""
FINEST_BITS = 10


MODAL = 0.1
"""A lattice is first looked for in values that occur so often, compared with the second most
frequent one (the most frequent may be silence).
"""
OUT_OF_CHANCE = 4
LEAST_SHARE = 0.2
"""Of the samples that are not at the most frequent value, so many times as many as chance would put
there lie on a lattice, and at least this share.
"""
FEWEST_LEVELS = 4
"""A lattice that not all samples lie on has at least so many levels."""


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
    """

    quantizer: Levels | None
    said: str
    bits: int | None = None
    tolerance: float = math.inf

    @property
    def cells(self) -> Cells:
        """The intervals that the samples lay in."""
        if self.quantizer is None:
            return Known()
        if math.isinf(self.tolerance):
            return self.quantizer
        return OnLattice(self.quantizer, self.tolerance)

    @property
    def kind(self) -> Literal["mid-rise", "mid-tread"] | None:
        """Where 0 lies in the lattice; None where it is neither on a level nor half-way between
        two, and where there is no lattice.
        """
        if self.quantizer is None or self.quantizer.companded:
            return None
        return _kind(float(self.quantizer.levels[0]) / self.quantizer.step)

    def cut(self, kind: Literal["floor", "truncate"], why: str = "") -> Found:
        """The same lattice, of samples that were not rounded to it."""
        assert self.quantizer is not None
        said = self.said.replace("mid-tread", kind) + (f"; {why}" if why else "")
        return replace(self, quantizer=cut(self.quantizer, kind), said=said)


def resolution(values: NDArray[np.float64], subtype: str) -> float:
    """The distance of neighbouring numbers in a file of this format that holds these values."""
    return RESOLUTION.get(subtype, 2.0**-23 * float(np.abs(values).max(initial=0)))


def needed(quantizer: Levels, values: NDArray[np.float64]) -> int:
    """The bits that suffice for these values at the quantizer's smallest step; 8 for G.711, whose
    steps differ.
    """
    if quantizer.companded:
        return 8
    return _bits(quantizer.step, values)


def detect(tally: Tally, subtype: str) -> Found:
    """The quantizer of samples, or of at least half of them.

    Parameters
    ----------
    tally
        Of the values that occur.
    subtype
        The format of the file's samples, as libsndfile names it.
    """
    values = tally.values
    if len(values) < 2:
        return Found(None, "it has one value only, which says nothing about a quantizer")
    companded = None if tally.forgot else _companded(values, subtype)
    if companded is not None:
        return Found(companded, f"{companded.name} (G.711)", 8)
    found = _all_on_lattice(tally, subtype)
    if found.quantizer is None or subtype in EIGHT:
        return _most_on_lattice(tally, resolution(values, subtype)) or found
    return found


def _all_on_lattice(tally: Tally, subtype: str) -> Found:
    """The lattice that every sample lies on."""
    values, finest = tally.values, resolution(tally.values, subtype)
    if subtype in EIGHT and np.diff(values).min() < FEWEST_STEPS / 2 * finest:
        return _described(finest, 0.0, values, 8)
    if len(values) > MOST_VALUES or tally.forgot:
        return Found(
            None,
            f"it has more than {MOST_VALUES} different values, so it is not coarsely quantized",
        )
    if float(np.diff(values).min()) < FEWEST_STEPS * finest:
        return Found(
            None,
            "its values lie as close together as its format allows, so it is not coarsely "
            "quantized",
        )
    step, offset, away = _fitted(values)
    if away > 1.01 * finest:
        return Found(
            None, "its values do not lie at equal distances, so it is not coarsely quantized"
        )
    bits = _bits(step, values)
    if bits > FINEST_BITS:
        return Found(None, f"it has {bits} bits, so it is not coarsely quantized")
    return _described(step, offset, values, bits)


def _most_on_lattice(tally: Tally, finest: float) -> Found | None:
    """The lattice that the most frequent values propose; those of a part that is fine and quiet may
    be more frequent, but lie closer together.
    """
    apart = FEWEST_STEPS * finest
    while apart < np.ptp(tally.values) / FEWEST_LEVELS:
        found = _proposed(tally, finest, apart)
        if found is not None:
            return found
        apart *= 4
    return None


def _proposed(tally: Tally, finest: float, apart: float) -> Found | None:
    """The lattice that frequent values at this distance propose, if not all samples lie on it, but
    at least half of them, and enough of those that are not at the most frequent value, which may be
    silence.
    """
    values, counts = tally.values, tally.counts
    on = _frequent(values, counts, apart)
    if len(on) < 2:
        return None
    step, offset, away = _fitted(values[on])
    tolerance = 1.01 * finest
    if away > tolerance or step < FEWEST_STEPS * finest:
        return None
    for _ in range(16):  # the fit reaches twice as far each time, where it is half as certain
        middle, half = values[on[[0, -1]]].mean(), values[on[-1]] - values[on[0]]
        places = np.round((values - offset) / step)
        away_from = np.abs(values - offset - step * places)
        beyond = np.abs(values - middle) / half
        within = np.flatnonzero(
            (away_from <= tolerance * np.maximum(1, 2 * beyond)) & (beyond < 1.5)
        )
        if np.array_equal(within, on):
            break
        on = within
        step, offset = (
            float(v) for v in np.polyfit(places[on], values[on], 1, w=np.sqrt(counts[on]))
        )
    places = np.round((values - offset) / step)
    away_from = np.abs(values - offset - step * places)
    on = on[away_from[on] <= tolerance]
    if len(on) < 2:
        return None
    # where the levels are exact, a tolerance as wide as rounding would take in their neighbours
    levels = on[np.lexsort((-counts[on], places[on]))]
    levels = levels[np.unique(places[levels], return_index=True)[1]]
    if away_from[levels].max() <= finest / 4:
        tolerance = finest / 4
        on = on[away_from[on] <= tolerance]
    off = int(tally.total - counts[on].sum())
    beside = counts[on].sum() - counts.max()
    chance = (2 * tolerance + finest) / step
    bits = _bits(step, values[on])
    if (
        len(levels) < FEWEST_LEVELS
        or bits > FINEST_BITS
        or not 0 < 2 * off <= tally.total
        or beside < max(OUT_OF_CHANCE * chance * off, LEAST_SHARE * (beside + off))
        or _bits(step, _most(values, counts)) > FINEST_BITS
    ):
        return None
    found = _described(step, offset, values[on], bits)
    kept = f"{off:,} of {tally.total:,} samples are off the lattice and were kept"
    return replace(found, said=f"{found.said}; {kept}", tolerance=tolerance)


def _frequent(
    values: NDArray[np.float64], counts: NDArray[np.int64], apart: float
) -> NDArray[np.intp]:
    """Where up to 16 of the most frequent values are, none of them close to a more frequent one."""
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= max(2, MODAL * counts[order[1]])]
    kept: list[int] = []
    for one in order[:4096]:
        if all(abs(values[one] - values[other]) >= apart for other in kept):
            kept.append(int(one))
        if len(kept) == 16:
            break
    return np.sort(np.asarray(kept, dtype=np.intp))


def _most(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values without the one sample in a thousand that is largest."""
    order = np.argsort(np.abs(values))
    kept: NDArray[np.float64] = values[order[np.cumsum(counts[order]) <= 0.999 * counts.sum()]]
    return kept


def _fitted(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Step and offset of the lattice through values, and how far one of them is from it at most."""
    step, offset = float(np.diff(values).min()), float(values[0])
    for _ in range(4):
        places = np.concatenate([[0.0], np.cumsum(np.round(np.diff(values) / step))])
        step, offset = (float(v) for v in np.polyfit(places, values, 1))
    return step, offset, float(np.abs(values - offset - step * places).max())


def _bits(step: float, values: NDArray[np.float64]) -> int:
    return max(1, math.ceil(math.log2(2 * np.abs(values).max() / step) - 1e-3))


def _described(step: float, offset: float, values: NDArray[np.float64], bits: int) -> Found:
    """The lattice through the values, with the level nearest to 0 as level 0; open at an end where
    all 2^b levels are used up.
    """
    offset -= step * round(
        offset / step - 0.25
    )  # into [−Δ/4, 3Δ/4): 0 for mid-tread, Δ/2 for mid-rise
    kind = _kind(offset / step) or f"shifted by {offset / step:.2f} steps"
    lowest, highest = round((values[0] - offset) / step), round((values[-1] - offset) / step)
    half = 2 ** (bits - 1)
    name = f"{kind}, {bits} bits"
    quantizer = uniform(name, step, offset, lowest, highest, (lowest <= -half, highest >= half - 1))
    return Found(quantizer, f"{name}, step {step:.6g}", needed(quantizer, values))


def _kind(steps: float) -> Literal["mid-rise", "mid-tread"] | None:
    """That of a lattice with a level at so many steps."""
    fraction = steps - math.floor(steps)
    if min(fraction, 1 - fraction) < 0.02:
        return "mid-tread"
    return "mid-rise" if abs(fraction - 0.5) < 0.02 else None


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
