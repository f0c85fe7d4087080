"""How much of an estimate is taken: as much as is known to help, and nothing where it may harm.

Measured on recordings of librispeech/train and ieee/train; the table is in docs/dequantizing.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ergodual.speech.found import Found
from ergodual.speech.tally import Tally

NATIVE = 0.75
"""A rate that is at least this share of the model's, and at most its inverse, is like its own."""
SHARES = {8: 1.0, 9: 0.5, 10: 0.25}
ELSEWHERE = {7: 0.75, 8: 0.5, 9: 0.25}
COMPANDED = 0.75
"""Up to so many bits, the share of the step from what is stored to the estimate of a model of
frames that made none of the recordings worse: at the model's rate, and at others; of G.711 at
others.
"""
WHOLE = {9: 1.0, 10: 0.75}
WHOLE_ELSEWHERE = {6: 1.0, 7: 0.75, 8: 1.0, 10: 0.75}
LAWS = {"mu-law": 0.4, "A-law": 0.4}
UNLIKE = 0.25
"""The same of models of whole recordings; of G.711, and of other laws, at other rates. At 7 bits it
is a model for 6 that is taken.
"""
TAKEN = 0.5
"""Of the levels between the lowest and the highest (of nine samples in ten) so large a share
occurs, unless a signal jumps as synthetic waves do.
"""


def helped(
    found: Found, rate: int, trained: int, whole: Callable[[Found], bool] = lambda found: False
) -> Found:
    """The same, with the share of the step from what is stored to the estimate that is known to
    help.

    Parameters
    ----------
    found
        What was found out about a channel.
    rate, trained
        The sampling rate of the recording, and that of the models, in Hz.
    whole
        Whether a model of whole recordings is for it.
    """
    if found.stretches:
        parts = tuple(
            (start, helped(part, rate, trained, whole)) for start, part in found.stretches
        )
        return replace(found, stretches=parts)
    if found.quantizer is None:
        return found
    part = (_of_whole if whole(found) else _of_frames)(found, native(rate, trained))
    if part == 0:
        return Found(None, f"{found.said}; no model is known to help at {rate} Hz")
    if part == 1:
        return found
    return replace(found, share=part, said=f"{found.said}; {part:.0%} of the change is made")


def native(rate: int, trained: int) -> bool:
    """Whether a sampling rate is like the one that models were trained at."""
    return NATIVE <= rate / trained <= 1 / NATIVE


def _of_whole(found: Found, native: bool) -> float:
    assert found.quantizer is not None
    if found.quantizer.companded:
        return 1.0 if native else LAWS.get(found.quantizer.name, UNLIKE)
    return _listed(WHOLE if native else WHOLE_ELSEWHERE, found)


def _of_frames(found: Found, native: bool) -> float:
    assert found.quantizer is not None
    if found.quantizer.companded:
        return 1.0 if native else COMPANDED
    return _listed(SHARES if native else ELSEWHERE, found)


def _listed(shares: dict[int, float], found: Found) -> float:
    return next((part for most, part in shares.items() if (found.bits or 1) <= most), 0.0)


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
