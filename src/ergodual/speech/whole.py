"""The lattice that every sample of a channel lies on.

Three ways lead to one. Where the format holds whole numbers, those that occur may all be the same
modulo some number: a lattice whose levels are exact. Else the smallest distances between values
propose a step, and a least-squares fit refines it. Else, where the samples span few numbers of the
format, those that never occur may leave a comb. A lattice is believed if no value is further from
it than the rounding of the file explains, and if so many values would not lie on it by accident.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.found import Found, bits_of, described
from ergodual.speech.tally import Tally

MOST_VALUES = 2**11
"""A recording with more different values is not coarsely quantized."""
FEWEST_STEPS = 16
"""A step so many times the resolution is believed for any number of values."""
FINER = 2.4
"""A fit needs a step so many times the resolution, below that the comb is looked at."""
EVIDENCE = 10.0
"""Nats: a finer step is believed if the values would lie on its lattice by accident with a
probability of e to the minus this.
"""
FINEST_BITS = 10
COMB = 600
"""Numbers of the format that the samples may span for the comb to be looked at."""

NO_LATTICE = "its values do not lie at equal distances, so it is not coarsely quantized"
TOO_CLOSE = "its values lie as close together as its format allows, so it is not coarsely quantized"
TOO_MANY = f"it has more than {MOST_VALUES} different values, so it is not coarsely quantized"


def all_on_lattice(tally: Tally, finest: float, whole: bool) -> Found:
    """The coarsest lattice that every sample lies on.

    Parameters
    ----------
    tally
        Of the values that occur, at least two.
    finest
        The resolution of the format.
    whole
        Whether the format holds whole multiples of it only.
    """
    values = tally.values
    if len(values) > MOST_VALUES or tally.forgot:
        return Found(None, TOO_MANY)
    exact = _exact(values, finest) if whole else None
    if exact is not None:
        return _believed(*exact, values)
    if float(np.diff(values).min()) < FINER * finest:
        comb = _comb(values, finest) if whole else None
        return Found(None, TOO_CLOSE) if comb is None else _believed(*comb, values)
    step, offset, away = fitted(values)
    close = 1.01 if step >= 6 * finest else 0.55
    if away > close * finest or not _enough(len(values), step, max(away, finest / 2), finest):
        return Found(None, NO_LATTICE)
    return _believed(*_through_zero(step, offset, values, close * finest), values)


def own_lattice(tally: Tally, finest: float, most: int) -> Found | None:
    """That of the format itself, where the samples span few of its steps, and take most of them."""
    if tally.forgot or bits_of(finest, tally.values) > most:
        return None
    below = np.cumsum(tally.counts) / tally.total
    middle = tally.values[(below > 0.05) & (below < 0.95)]
    if len(middle) > 1 and len(middle) < 0.5 * np.ptp(middle) / finest:
        return None
    # the format saturates only at its own ends
    full = float(np.abs(tally.values).max()) >= 1 - finest
    return described(finest, 0.0, tally.values, open_=full)


def fitted(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Step and offset of the lattice through values, and how far one of them is from it at most."""
    gaps, offset = np.diff(values), float(values[0])
    step = float(gaps[gaps <= 1.5 * gaps.min()].mean())
    for _ in range(4):
        places = np.concatenate([[0.0], np.cumsum(np.round(np.diff(values) / step))])
        step, offset = (float(v) for v in np.polyfit(places, values, 1))
    return step, offset, float(np.abs(values - offset - step * places).max())


def _through_zero(
    step: float, offset: float, values: NDArray[np.float64], close: float
) -> tuple[float, float]:
    """The same with 0 on a level or half-way between two, if the values allow: one number fewer to
    estimate.
    """
    places = np.rint((values - offset) / step)
    places += np.round(2 * offset / step) / 2
    fit = float((places * values).sum() / (places**2).sum())
    if np.abs(values - fit * places).max() <= close:
        return fit, float(fit * (places[0] % 1))
    return step, offset


def _believed(step: float, offset: float, values: NDArray[np.float64]) -> Found:
    bits = bits_of(step, values)
    if bits > FINEST_BITS:
        return Found(None, f"it has {bits} bits, so it is not coarsely quantized")
    return described(step, offset, values)


def _enough(count: int, step: float, away: float, finest: float) -> bool:
    """Whether so many values would hardly be so near to a lattice by accident."""
    if step >= FEWEST_STEPS * finest:
        return True
    return evidence(count, step, max(finest, 2 * away)) > EVIDENCE


def evidence(count: int, step: float, width: float) -> float:
    """Nats by which so many values are likelier on a lattice than anywhere, if each may be within
    this width of a level.
    """
    return count * math.log(step / width)


def _exact(values: NDArray[np.float64], finest: float) -> tuple[float, float] | None:
    """The largest number that divides all distances between values, if that is no accident."""
    step = finest * int(np.gcd.reduce(np.rint(np.diff(values) / finest).astype(np.int64)))
    if step < 2 * finest or not _enough(len(values), step, 0, finest):
        return None
    return step, float(values[0])


def _comb(values: NDArray[np.float64], finest: float) -> tuple[float, float] | None:
    """A step between one and a few times the resolution, whose rounded multiples are all that
    occurs.
    """
    numbers = np.rint(values / finest)
    span = float(np.ptp(numbers))
    if span > COMB or len(numbers) > 0.9 * (span + 1):
        return None
    frequencies = np.arange(4 / max(span, 8), 1 / 1.15, 0.25 / max(span, 8))
    sums = np.exp(2j * np.pi * np.outer(frequencies, numbers)).mean(1)
    # s and s/(s − 1) look alike in whole numbers: the coarser one first
    for at in np.sort(np.argsort(-np.abs(sums) / np.sinc(frequencies))[:8]):
        step = 1 / frequencies[at]
        offset = np.angle(sums[at]) / (2 * np.pi) * step
        for _ in range(4):
            places = np.rint((numbers - offset) / step)
            if len(np.unique(places)) < 4:
                break
            step, offset = (float(v) for v in np.polyfit(places, numbers, 1))
        away = np.abs(numbers - offset - step * np.rint((numbers - offset) / step)).max()
        distinct = len(np.unique(np.rint((numbers - offset) / step))) == len(numbers)
        if away <= 0.55 and step > 1.15 and distinct and _enough(len(numbers), step, 0, 1.0):
            return _through_zero(step * finest, offset * finest, values, 0.55 * finest)
    return None
