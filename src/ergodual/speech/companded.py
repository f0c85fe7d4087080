"""The levels of G.711 and its like, at any volume.

How loud they are is not known. Since neighbouring levels differ by some percent wherever they are
not few, a search over volumes begins with values that are known to 1 %, keeps the likeliest
volumes, and goes on with half the tolerance, down to the rounding of the file. The score is the
evidence that the values are levels, in nats.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.found import Found
from ergodual.speech.quantizers import Levels, a_law, mu_law, mu_law_continuous
from ergodual.speech.tally import Tally

MOST_LEVELS = 256
"""So many of the most frequent values are looked at, and hold at least half of the samples."""
FEWEST = 6
"""Magnitudes among them."""
BEAM = 24
"""Volumes that are kept in mind."""
QUIETEST, LOUDEST = 0.02, 8.0
"""Volumes that are tried."""
COARSE, FINE = 2.0**-7, 2.0**-15
"""Tolerance, as a share of each value, of the first and of the last search."""
ERRATIC = 0.2
"""How probable it is that a value is no level though others are."""
EVIDENCE = 30.0
"""Nats that are enough."""
TELLING = 0.34
"""Where the format has fewer numbers than three from level to level, nothing can be told."""
ROUNDED = 0.55
"""How far rounding moves a level, in units of the format, with a little to spare."""


def companded(tally: Tally, subtype: str, finest: float) -> tuple[Found, float] | None:
    """G.711, also where it was decoded, and rescaled; and the evidence for it in nats."""
    known = {"ULAW": mu_law, "ALAW": a_law}
    if subtype in known:
        quantizer = known[subtype]()
        return Found(quantizer, f"{quantizer.name} (G.711)", 8), math.inf
    found = [
        (*_volume(sizes, quantizer, finest), shift, quantizer, name)
        for shift in (0.0, finest / 2)  # rescaled levels were rounded to the format, or cut down
        if len(sizes := _sizes(tally, shift)) >= 8
        and 1 + (np.diff(sizes) > finest).sum() >= FEWEST  # a tone of 16 samples has 4
        for quantizer, name in _candidates()
    ]
    if not found:
        return None
    nats, gain, shift, quantizer, name = max(found, key=lambda one: one[0])
    if nats < EVIDENCE:
        return None
    said = name if gain == 1 else f"{name} at {gain:.4g} of its volume"
    if gain != 1 or shift:
        quantizer = Levels(quantizer.name, gain * quantizer.levels - shift, gain * quantizer.edges)
    described = _described(quantizer, said, tally, finest)
    return None if described is None else (described, nats)


@functools.cache
def _candidates() -> list[tuple[Levels, str]]:
    continuous = [
        (mu_law_continuous(bits, zero), f"mu-law-continuous, {bits} bits")
        for bits in (8, 7, 6, 5, 4)
        for zero in (False, True)
    ]
    return [(mu_law(), "mu-law (G.711)"), (a_law(), "A-law (G.711)"), *continuous]


def _sizes(tally: Tally, shift: float) -> NDArray[np.float64]:
    """Magnitudes of the most frequent values, rising, after a shift; none if they are too few of
    the samples.
    """
    values, counts = tally.values, tally.counts
    often = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    if 2 * counts[often].sum() < tally.total:
        return np.empty(0)
    twice = often[counts[often] >= 2]  # what is odd is rare
    sizes = np.sort(np.abs(values[twice if len(twice) >= 8 else often] + shift))
    return sizes[sizes > shift]


def _volume(sizes: NDArray[np.float64], quantizer: Levels, finest: float) -> tuple[float, float]:
    """The evidence that magnitudes, rising, are levels of this quantizer at some volume, and the
    volume.
    """
    levels = quantizer.levels.numpy()
    levels = levels[levels >= 0]
    gains, share = np.exp(np.arange(math.log(QUIETEST), math.log(LOUDEST), COARSE)), COARSE
    while True:
        nats = _evidence(sizes, levels, gains, np.maximum(finest, share * sizes))
        best = gains[np.argsort(-nats, kind="stable")[:BEAM]]
        if share < FINE:
            break
        share /= 2
        gains = np.unique(np.outer(best, np.exp(share * np.arange(-1, 2))))
    gain = float(best[0])
    for width in (np.maximum(finest, share * sizes), np.full_like(sizes, finest)):
        gain = _refined(sizes, levels, gain, width)
    gains = np.asarray([1.0, gain])
    nats = _evidence(sizes, levels, gains, np.full_like(sizes, finest))
    at = int(nats[1] > nats[0] + 1)
    return float(nats[at]), float(gains[at])


def _evidence(
    sizes: NDArray[np.float64],
    levels: NDArray[np.float64],
    gains: NDArray[np.float64],
    widths: NDArray[np.float64],
) -> NDArray[np.float64]:
    """By how many nats the magnitudes are likelier as levels than as any numbers, by volume."""
    gaps = np.diff(levels, prepend=-(levels[0] or levels[1]))
    at, away = _nearest(sizes / gains[:, None], levels)
    width = widths / gains[:, None]
    chance = np.clip(width / gaps[at], 1e-9, 1)
    on = np.log1p(ERRATIC * (chance - 1)) - np.log(chance)
    nats = np.where(away <= ROUNDED * width, on, math.log(ERRATIC))
    total: NDArray[np.float64] = (nats * (chance < TELLING)).sum(1)
    return total


def _nearest(
    sizes: NDArray[np.float64], levels: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which level is nearest, and how far away it is."""
    at = np.searchsorted((levels[:-1] + levels[1:]) / 2, sizes)
    return at, np.abs(sizes - levels[at])


def _refined(
    sizes: NDArray[np.float64],
    levels: NDArray[np.float64],
    gain: float,
    widths: NDArray[np.float64],
) -> float:
    """The volume that fits best those magnitudes that are levels."""
    at, away = _nearest(sizes / gain, levels)
    on = (away <= ROUNDED * widths / gain) & (levels[at] > 0)
    if not on.any():
        return gain
    return float((sizes[on] * levels[at[on]]).sum() / (levels[at[on]] ** 2).sum())


def _described(quantizer: Levels, said: str, tally: Tally, finest: float) -> Found | None:
    """What is on these levels, if that is at least half of the samples beside the most frequent
    value, which may be silence, and, where chance would put few there, most.
    """
    levels = quantizer.levels.numpy()
    tolerance = (1.01 if quantizer.step > 4 * finest else ROUNDED) * finest
    at, away = _nearest(tally.values, levels)
    on = away <= tolerance
    telling = np.diff(levels, append=2 * levels[-1] - levels[-2])[at] > 4 * finest
    off = int(tally.total - tally.counts[on].sum())
    beside = tally.counts * (np.arange(len(on)) != tally.counts.argmax())
    if 2 * beside[on].sum() < beside.sum() or 2 * off > tally.total:
        return None
    if 2 * beside[telling & on].sum() < beside[telling].sum():
        return None
    if off:
        said += f"; {off:,} of {tally.total:,} samples are off its levels and were kept"
    return Found(quantizer, said, 8, tolerance if off else math.inf, off)
