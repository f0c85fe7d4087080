"""Samples that were amplified beyond the ends of the scale after they were coarse, and cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ergodual.speech.found import Found
from ergodual.speech.partial import FEWEST_LEVELS
from ergodual.speech.quantizers import Levels
from ergodual.speech.tally import Tally

LEAST = 3
"""Samples at an end that are no accident, if they are as many as at the last level."""
FULL = 2.0**-14
"""So near to ±1 is the end of the scale, where two are enough."""


def inner(tally: Tally) -> Iterator[Tally]:
    """The tally without an end, or both, at which samples pile up."""
    ends = [tally.values[at] if _piled(tally, at) else np.nan for at in (0, -1)]
    for cut in (ends, ends[:1], ends[1:]):
        kept = ~np.isin(tally.values, cut)
        if not kept.all() and kept.sum() >= FEWEST_LEVELS:
            yield tally.only(kept)


def clipped(found: Found, tally: Tally) -> Found:
    """The same, of samples that pile up beyond the outermost levels and were cut off there."""
    assert found.quantizer is not None
    levels, edges = found.quantizer.levels, found.quantizer.edges.clone()
    low, high = found.clips
    half = found.quantizer.step / 2
    slack = half / 100
    # an end beyond which there are samples is no open one
    if tally.values[0] < levels[0] - 2 * slack and _piled(tally, 0):
        low = float(tally.values[0]) + slack
        edges[0] = edges[0] if edges[0].isfinite() else levels[0] - half
    if tally.values[-1] > levels[-1] + 2 * slack and _piled(tally, -1):
        high = float(tally.values[-1]) - slack
        edges[-1] = edges[-1] if edges[-1].isfinite() else levels[-1] + half
    cut = int(tally.counts[(tally.values <= low) | (tally.values >= high)].sum())
    if not cut:
        return found
    quantizer = Levels(found.quantizer.name, levels, edges)
    off = max(0, found.off - cut)
    return replace(found, quantizer=quantizer, clips=(low, high), off=off, cut_off=cut)


def _piled(tally: Tally, at: int) -> bool:
    """Whether the lowest (0) or highest (−1) value is one that samples were cut off to."""
    count, beside = tally.counts[at], tally.counts[1 if at == 0 else -2]
    full = abs(abs(float(tally.values[at])) - 1) <= FULL
    return bool(count >= 2 and full or count >= max(LEAST, beside / 2))
