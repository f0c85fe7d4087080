"""What a user says of the quantizer, held against the samples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ergodual.errors import ErgodualError
from ergodual.speech.detect import detect
from ergodual.speech.found import Found, needed
from ergodual.speech.quantizers import Kind, Levels, quantizer_of
from ergodual.speech.resolution import resolution
from ergodual.speech.tally import Tally

LATTICE: tuple[Kind, ...] = ("mid-rise", "mid-tread", "floor", "truncate")
"""Kinds that, without a word length, say how samples came onto the lattice that is found."""
TELLING = 8
"""So many different values, all of them on every second level or fewer, are no accident."""


def recognise(name: str, tally: Tally, subtype: str, bits: int | None, kind: Kind | None) -> Found:
    """The quantizer that was named, if it gives the values that occur; else the one they show.

    Parameters
    ----------
    name
        Of the recording, for messages.
    tally
        Of the values that occur.
    subtype
        The format of the file's samples, as libsndfile names it.
    bits, kind
        What was said; ``kind`` None means mid-rise or mid-tread where ``bits`` is given, and
        anything where it is not.

    Raises
    ------
    ErgodualError
        If the samples contradict what was said.
    """
    by_lattice = bits is None and kind in LATTICE
    if by_lattice:
        named: list[Kind] = []
    else:
        named = [kind] if kind is not None else ["mid-rise", "mid-tread"] if bits else []
    found, values = detect(tally, subtype), tally.values
    if len(values) < 2:
        return found
    for one in named:
        quantizer = quantizer_of(one, bits or 8)
        if not tally.forgot and _possible(quantizer, values, subtype):
            return Found(quantizer, quantizer.name, needed(quantizer, values))
        lattice = None if math.isinf(found.tolerance) else found.quantizer
        if lattice is not None and _possible(quantizer, lattice.levels.numpy(), subtype):
            return replace(found, quantizer=quantizer)
    same = found.quantizer is not None and found.quantizer.name.lower() == kind
    if same and (bits is None or kind != "mu-law-continuous" or f" {bits} bits" in found.said):
        return found
    if by_lattice and found.kind == ("mid-rise" if kind == "mid-rise" else "mid-tread"):
        return found.cut(kind) if kind in ("floor", "truncate") else found
    # a quiet recording needs fewer bits than its quantizer had, but never more
    fits = found.bits is not None and found.bits <= (bits or found.bits)
    if kind is not None or (bits is not None and not fits):
        said = f"{bits} bits" if kind is None else kind
        said = f"{kind}, {bits} bits" if kind in LATTICE and bits else said
        seen = f"they show {found.said}" if found.quantizer is not None else found.said
        raise ErgodualError(
            f"{name} has values that are no levels of a quantizer ({said}) on [-1, 1]: {seen}; "
            "leave --bits and --quantizer to auto, which also finds one that was rescaled."
        )
    return found


def _possible(quantizer: Levels, values: NDArray[np.float64], subtype: str) -> bool:
    """Whether the values are levels, up to the rounding of the file but by less than what would
    make them those of another quantizer, and of a step no finer than they show.
    """
    tolerance = min(1.01 * resolution(values, subtype), quantizer.step / 4)
    if quantizer.distance(torch.from_numpy(values)).max() > tolerance:
        return False
    if quantizer.companded or len(values) < TELLING:
        return True
    places = np.rint(np.diff(values) / quantizer.step).astype(np.int64)
    return int(np.gcd.reduce(places)) == 1
