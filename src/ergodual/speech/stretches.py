"""A lattice that changes along a recording: a splice, a volume that was changed in steps.

Short windows show their lattices by themselves. Those that agree are one; each window then has the
coarsest that its samples lie on, and where that changes, the border is put where most samples on
both sides are on theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.found import Found, described
from ergodual.speech.resolution import RESOLUTION, resolution
from ergodual.speech.tally import Tally
from ergodual.speech.whole import all_on_lattice, evidence

WINDOW = 2048
FEWEST_VALUES, FEWEST_WINDOWS = 6, 3
"""Different values in a window that shows its lattice, and such windows that agree."""
MOST_LATTICES = 64
FINEST = 3
"""Units of the format that a step of such a lattice has, at least."""
ENOUGH, TOGETHER = 20.0, 40.0
"""Nats of evidence for the lattice of a window; of all its windows, against a finer one that all
samples are on.
"""
MOST_BITS = 8
FITS, MOSTLY = 0.98, 0.5
"""Share of a window's samples, without those at its most frequent value, that are on its lattice:
where nothing is wrong, and at least.
"""
ODD = 0.02
"""Share of a window's samples that are off all lattices, at most, if they are to say nothing."""
SHORTEST = 64
"""Samples of a stretch, at least."""
COVERED = 0.5
"""Share of the recording that is on lattices, at least, without windows of one value."""

Channel = Callable[[], Iterable[NDArray[np.floating]]]
"""Its samples from the first to the last, each time that it is called."""


@dataclass
class _Lattice:
    step: float
    offset: float
    values: NDArray[np.float64]
    windows: int = 0
    nats: float = 0.0
    ends: list[float] = field(default_factory=lambda: [math.inf, -math.inf])

    def on(self, samples: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
        places = np.rint((samples - self.offset) / self.step)
        near: NDArray[np.bool_] = np.abs(samples - self.offset - places * self.step) <= tolerance
        return near


def by_stretch(channel: Channel, tally: Tally, subtype: str, found: Found) -> Found:
    """What is found out about each stretch, if most of the channel is on lattices.

    Parameters
    ----------
    channel
        Its samples.
    tally
        Of all of them.
    subtype
        The format of the file's samples, as libsndfile names it.
    found
        What was found out about the channel as a whole, which only several lattices replace.
    """
    finest, whole = resolution(tally.values, subtype), subtype in RESOLUTION
    one = found.quantizer
    lattices = _lattices(channel, finest, whole, one.step if one and not found.off else finest)
    if not lattices or (one and len(lattices) < 2):
        return found
    tolerance = 1.01 * finest
    starts, covered, lively = _labelled(channel, lattices, tolerance)
    each = {at: _described(lattices[at], tolerance) for at in {at for _, at in starts} if at >= 0}
    enough = len(each) > 1 or (one is None and len(starts) > 1)
    short = max((part.bits or 0 for part in each.values()), default=99) <= MOST_BITS
    if not enough or not short or covered < COVERED * lively:
        return found
    fine = Found(None, "it is not coarsely quantized")
    return _joined([(start, each.get(label, fine)) for start, label in starts], tally.total)


def _windows(channel: Channel) -> Iterator[NDArray[np.float64]]:
    rest = np.empty(0)
    for block in channel():
        samples = np.concatenate([rest, block.astype(np.float64)])
        count = len(samples) // WINDOW
        yield from samples[: count * WINDOW].reshape(count, WINDOW)
        rest = samples[count * WINDOW :]
    if len(rest):
        yield rest


def _lattices(channel: Channel, finest: float, whole: bool, least: float) -> list[_Lattice]:
    """Those that windows show, coarsest first."""
    found: list[_Lattice] = []
    for window in _windows(channel):
        tally = Tally(window)
        if len(tally.values) < FEWEST_VALUES:
            continue
        known = [one for one in found if one.on(tally.values, 1.01 * finest).all()]
        shown = all_on_lattice(tally, finest, whole)
        if shown.quantizer is None or (shown.bits or 99) > MOST_BITS:
            continue
        step, offset = shown.quantizer.step, float(shown.quantizer.levels[0])
        if step < FINEST * finest or evidence(len(tally.values), step, finest) < ENOUGH:
            continue
        same = [one for one in known if abs(one.step / step - 1) < 0.05]
        if not same:
            found.append(_Lattice(step, offset, tally.values))
        one = (same or found)[-1]
        one.windows, one.nats = one.windows + 1, one.nats + evidence(len(tally.values), step, least)
        if same:
            one.values = np.union1d(one.values, tally.values)
            again = all_on_lattice(Tally(one.values), finest, whole).quantizer
            if again is not None and abs(again.step / one.step - 1) < 0.05:
                one.step, one.offset = again.step, float(again.levels[0])
        if len(found) > MOST_LATTICES:
            break
    kept = [
        one
        for one in found
        if one.windows >= FEWEST_WINDOWS
        and (one.nats >= TOGETHER or abs(one.step / least - 1) < 0.05)
    ]
    return sorted(kept, key=lambda one: -one.step)


def _labelled(
    channel: Channel, lattices: list[_Lattice], tolerance: float
) -> tuple[list[tuple[int, int]], int, int]:
    """Where each stretch begins, and its lattice, −1 for none; how many samples are on lattices,
    and how many there are, in windows that tell.
    """
    starts: list[tuple[int, int]] = []
    before, at, covered, lively = np.empty(0), 0, 0, 0
    for window in _windows(channel):
        label, on = _label(window, lattices, tolerance)
        if label is not None:
            lively, covered = lively + len(window), covered + on
            if not starts:
                starts.append((0, label))
            elif label != starts[-1][1]:
                both = np.concatenate([before, window])
                border = _border(both, starts[-1][1], label, lattices, tolerance)
                starts.append((max(at - len(before) + border, starts[-1][0] + 1), label))
        before, at = window, at + len(window)
    ends = [start for start, _ in starts[1:]] + [at]
    # a window around a border shows what both sides lie on
    long = [one for one, end in zip(starts, ends, strict=True) if end - one[0] >= SHORTEST]
    kept = [one for last, one in zip([(0, -2), *long], long, strict=False) if one[1] != last[1]]
    return [(0, kept[0][1]), *kept[1:]] if kept else [], covered, lively


def _label(
    window: NDArray[np.float64], lattices: list[_Lattice], tolerance: float
) -> tuple[int | None, int]:
    """The lattice of a window and how many of its samples are on it; None if too few tell."""
    values, counts = np.unique(window, return_counts=True)
    beside = values != values[counts.argmax()]
    many = counts[beside].sum()
    if not many:
        return None, 0
    masks = [one.on(values, tolerance) for one in lattices]
    shares = [counts[mask & beside].sum() / many for mask in masks]
    fitting = [at for at, share in enumerate(shares) if share >= FITS]
    best = fitting[0] if fitting else int(np.argmax(shares))
    if shares[best] < MOSTLY:
        return (-1, 0) if many * (1 - shares[best]) > ODD * len(window) else (None, 0)
    ends, on = lattices[best].ends, values[masks[best]]
    lattices[best].ends = [min(ends[0], on[0]), max(ends[1], on[-1])]
    return best, int(counts[masks[best]].sum())


def _border(
    samples: NDArray[np.float64],
    before: int,
    after: int,
    lattices: list[_Lattice],
    tolerance: float,
) -> int:
    """Where most samples on both sides are on theirs; as far as the coarser one reaches."""
    on = [
        lattices[at].on(samples, tolerance).astype(float) if at >= 0 else np.full(len(samples), 0.5)
        for at in (before, after)
    ]
    score = np.concatenate([[0], np.cumsum(on[0])]) - np.concatenate([[0], np.cumsum(on[1])])
    best = np.flatnonzero(score >= score.max() - 1e-9)
    coarser_before = after < 0 or 0 <= before < after
    return int(best[-1] if coarser_before else best[0])


def _described(lattice: _Lattice, tolerance: float) -> Found:
    found = described(lattice.step, lattice.offset, np.asarray(lattice.ends))
    return replace(found, tolerance=tolerance)


def _joined(stretches: list[tuple[int, Found]], total: int) -> Found:
    """One thing to say about all of them."""
    ends = [start for start, _ in stretches[1:]] + [total]
    said = "; ".join(
        f"samples {start:,} to {end:,}: {found.said}"
        for (start, found), end in zip(stretches, ends, strict=True)
    )
    main = max(
        (found for _, found in stretches if found.quantizer is not None),
        key=lambda found: found.bits or 0,
    )
    return replace(main, said=f"it changes along the recording: {said}", stretches=tuple(stretches))
