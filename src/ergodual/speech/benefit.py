"""How much of an estimate is taken: as much as is known to help, and nothing where it may harm.

Measured on recordings of librispeech/train and ieee/train; the table is in docs/dequantizing.md.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import numpy as np

from ergodual.speech.found import Found
from ergodual.speech.tally import Tally

NATIVE = 0.75
"""A rate that is at least this share of the model's, and at most its inverse, is like its own."""
SHARES = {8: 1.0, 9: 0.5, 10: 0.25}
ELSEWHERE = {7: 0.75, 8: 0.5, 9: 0.25}
WHOLE_ELSEWHERE = {6: 1.0, 7: 0.5, 8: 0.25}
"""Up to so many bits, the share of the step from what is stored to the estimate that made none of
the recordings worse: at the model's rate, and at others by models of frames and of whole
recordings.
"""
COMPANDED = 0.75
"""The same for G.711 at other rates."""
TAKEN = 0.5
"""Of the levels between the lowest and the highest (of nine samples in ten) so large a share
occurs, unless a signal jumps as synthetic waves do.
"""


def helped(found: Found, rate: int, trained: int, whole: Container[int] = ()) -> Found:
    """The same, with the share of the step from what is stored to the estimate that is known to
    help.

    Parameters
    ----------
    found
        What was found out about a channel.
    rate, trained
        The sampling rate of the recording, and that of the models, in Hz.
    whole
        The word lengths that models of whole recordings are taken for.
    """
    if found.stretches:
        parts = tuple(
            (start, helped(part, rate, trained, whole)) for start, part in found.stretches
        )
        return replace(found, stretches=parts)
    if found.quantizer is None:
        return found
    part = _share(found, native(rate, trained), whole)
    if part == 0:
        return Found(None, f"{found.said}; no model is known to help at {rate} Hz")
    if part == 1:
        return found
    return replace(found, share=part, said=f"{found.said}; {part:.0%} of the change is made")


def native(rate: int, trained: int) -> bool:
    """Whether a sampling rate is like the one that models were trained at."""
    return NATIVE <= rate / trained <= 1 / NATIVE


def _share(found: Found, native: bool, whole: Container[int]) -> float:
    assert found.quantizer is not None
    if found.quantizer.companded:
        return 1.0 if native else COMPANDED
    bits = found.bits or 1
    elsewhere = WHOLE_ELSEWHERE if bits in whole and found.cells.wider == 0 else ELSEWHERE
    shares = SHARES if native else elsewhere
    return next((part for most, part in shares.items() if bits <= most), 0.0)


def unhelped(found: Found, tally: Tally) -> str | None:
    """Why no model is known to help such a channel, if none is."""
    if found.quantizer is None or found.quantizer.companded:
        return None
    if found.bits == 1:
        return "it has 1 bit, where no model is known to help"
    below = np.cumsum(tally.counts) / tally.total
    middle = tally.values[(below > 0.05) & (below - tally.counts / tally.total < 0.95)]
    places = np.unique(np.rint(middle / found.quantizer.step))
    if len(places) < TAKEN * (np.ptp(places) + 1):
        return "it jumps from level to level as synthetic waves do, where no model is known to help"
    return None
