"""Which quantizer a recording has been through, worked out from the values that occur in it.

What is looked for, in this order: the levels of G.711, also after a change of volume; a lattice
offset + kΔ that all samples lie on; one that most of them lie on; and, where the samples span few
steps of the format itself, the format's own. The verdict depends on the values, not on what holds
them.
"""

from __future__ import annotations

from ergodual.speech.companded import companded
from ergodual.speech.found import Found
from ergodual.speech.partial import most_on_lattice
from ergodual.speech.resolution import RESOLUTION, resolution
from ergodual.speech.tally import Tally
from ergodual.speech.whole import all_on_lattice, own_lattice

MOST_BITS = 8
"""A recording that needs more bits of its format's own is not coarsely quantized."""


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
    found = companded(tally, subtype)
    if found is not None:
        return found
    finest, whole = resolution(values, subtype), subtype in RESOLUTION
    found = all_on_lattice(tally, finest, whole)
    if found.quantizer is not None:
        return found
    own = own_lattice(tally, finest, MOST_BITS) if whole else None
    return most_on_lattice(tally, finest) or own or found
