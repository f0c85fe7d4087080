"""Which quantizer a recording has been through, worked out from the values that occur in it.

What is looked for: the levels of G.711 and a lattice offset + kΔ that all samples lie on, of which
the likelier one is taken; else a lattice that most of them lie on; and, where the samples span few
steps of the format itself, the format's own. The verdict depends on the values, not on what holds
them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.clipping import clipped, inner
from ergodual.speech.companded import companded
from ergodual.speech.found import Found
from ergodual.speech.partial import most_on_lattice
from ergodual.speech.quantizers import Levels
from ergodual.speech.resolution import RESOLUTION, resolution
from ergodual.speech.tally import Tally
from ergodual.speech.whole import all_on_lattice, evidence, own_lattice

MOST_BITS = 8
"""A recording that needs more bits of its format's own is not coarsely quantized."""

FILLED = 0.75
"""A lattice of which so many places are taken was not made by G.711."""


def detect(tally: Tally, subtype: str) -> Found:
    """The quantizer of samples, or of at least half of them, and whether loud ones were cut off.

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
    finest, whole = resolution(values, subtype), subtype in RESOLUTION
    found = all_on_lattice(tally, finest, whole)
    for within in inner(tally):
        cut = all_on_lattice(within, finest, whole)
        if cut.quantizer is None or not _filled(cut.quantizer, within.values):
            continue
        if found.quantizer is None or cut.quantizer.step > 1.5 * found.quantizer.step:
            return _counted(clipped(cut, tally), tally)
    if found.quantizer is not None and _filled(found.quantizer, values):
        return found
    law = companded(tally, subtype, finest)
    if found.quantizer is None:
        most = most_on_lattice(tally, finest)
        found = found if most is None else _counted(clipped(most, tally), tally)
    if law is not None and _likelier(*law, found, values, finest):
        return law[0]
    if found.quantizer is not None:
        return found
    return (own_lattice(tally, finest, MOST_BITS) if whole else None) or found


def _counted(found: Found, tally: Tally) -> Found:
    """The same, saying how many samples have other cells."""
    said = found.said
    if found.cut_off:
        said += f"; {found.cut_off:,} samples were cut off at the ends, and lay beyond"
    if found.off:
        said += f"; {found.off:,} of {tally.total:,} samples are off the lattice and were kept"
    return replace(found, said=said)


def _filled(lattice: Levels, values: NDArray[np.float64]) -> bool:
    """Whether most places are taken, of which G.711 would leave out half."""
    return not lattice.companded and len(values) > FILLED * len(lattice.levels)


def _likelier(
    law: Found, nats: float, found: Found, values: NDArray[np.float64], finest: float
) -> bool:
    """Whether G.711 leaves fewer samples off its levels than a lattice, or as many, with more
    evidence.
    """
    if found.quantizer is None:
        return True
    if law.off != found.off:
        return law.off < found.off
    return nats > evidence(len(values) - 1, found.quantizer.step, finest)
