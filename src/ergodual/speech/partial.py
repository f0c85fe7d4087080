"""The lattice that most samples lie on, where others are off it: a click, a repair, a fade, a part
that is fine.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.found import Found, bits_of, described
from ergodual.speech.tally import Tally
from ergodual.speech.whole import FINEST_BITS, fitted

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
WIDTHS = (0.25, 0.55, 1.01, 1.7, 2.2)
"""How far from its level a sample may lie, in units of the format: where levels are exact, after
rounding, and with a dither of the format's own.
"""
WITHIN = 0.999
"""The narrowest width is taken that holds this share of the samples within the widest."""


def most_on_lattice(tally: Tally, finest: float) -> Found | None:
    """The lattice that the most frequent values propose; those of a part that is fine and quiet may
    be more frequent, but lie closer together.
    """
    apart = 2 * finest
    while apart < np.ptp(tally.values) / FEWEST_LEVELS:
        found = _proposed(tally, finest, apart)
        if found is not None:
            return found
        apart *= 2
    return None


def _proposed(tally: Tally, finest: float, apart: float) -> Found | None:
    """The lattice that frequent values at this distance propose, if it is believed."""
    values, counts = tally.values, tally.counts
    lattice = _grown(values, counts, _frequent(values, counts, apart), finest)
    if lattice is None:
        return None
    step, offset = lattice
    away = np.abs(values - offset - step * np.rint((values - offset) / step))
    tolerance = _width(away, counts, finest)
    on = away <= tolerance
    chance = (math.floor(2 * tolerance / finest) + 1) * finest / step
    if chance > 0.51 or not _credible(step, offset, tally, on, chance):
        return None
    found = described(step, offset, values[on])
    off = int(tally.total - counts[on].sum())
    said = found.said
    if tolerance > 1.1 * finest:
        said += f", samples within {tolerance / finest:.1f} units of the format around it"
    return replace(found, said=said, tolerance=tolerance, off=off)


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


def _grown(
    values: NDArray[np.float64], counts: NDArray[np.int64], on: NDArray[np.intp], finest: float
) -> tuple[float, float] | None:
    """Step and offset of the lattice through these values and all others near it: the fit reaches
    twice as far each time, where it is half as certain.
    """
    if len(on) < 2:
        return None
    step, offset, away = fitted(values[on])
    tolerance = 1.01 * finest
    if away > tolerance or step < 2 * finest * (1 - 1e-6):
        return None
    for _ in range(16):
        middle, half = values[on[[0, -1]]].mean(), values[on[-1]] - values[on[0]]
        places = np.round((values - offset) / step)
        beyond = np.abs(values - middle) / half
        near = tolerance * np.maximum(1, 2 * beyond)
        within = np.flatnonzero((np.abs(values - offset - step * places) <= near) & (beyond < 1.5))
        if np.array_equal(within, on):
            break
        on = within
        if len(np.unique(places[on])) < 2:
            return None
        step, offset = (
            float(v) for v in np.polyfit(places[on], values[on], 1, w=np.sqrt(counts[on]))
        )
    return step, offset


def _width(away: NDArray[np.float64], counts: NDArray[np.int64], finest: float) -> float:
    """How far from its level a sample on the lattice lies at most."""
    at_most = np.asarray(WIDTHS) * finest
    within = np.asarray([counts[away <= width].sum() for width in at_most])
    return float(at_most[np.argmax(within >= WITHIN * within[-1])])


def _credible(
    step: float,
    offset: float,
    tally: Tally,
    on: NDArray[np.bool_],
    chance: float,
) -> bool:
    """Whether at least half of the samples are on it, and enough of those that are not at the most
    frequent value, which may be silence; and whether it has neither too few nor too many levels.
    """
    values, counts = tally.values, tally.counts
    levels = np.unique(np.rint((values[on] - offset) / step))
    if len(levels) < FEWEST_LEVELS:
        return False
    off = int(tally.total - counts[on].sum())
    beside = counts[on].sum() - counts.max()
    return (
        bits_of(step, values[on]) <= FINEST_BITS
        and 2 * off <= tally.total
        and beside >= max(OUT_OF_CHANCE * chance * off, LEAST_SHARE * (beside + off))
        and bits_of(step, _most(values, counts)) <= FINEST_BITS
    )


def _most(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values without the one sample in a thousand that is largest."""
    order = np.argsort(np.abs(values))
    kept: NDArray[np.float64] = values[order[np.cumsum(counts[order]) <= 0.999 * counts.sum()]]
    return kept
