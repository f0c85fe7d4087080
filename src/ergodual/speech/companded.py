"""The levels of G.711."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.found import Found
from ergodual.speech.quantizers import Levels, a_law, mu_law
from ergodual.speech.tally import Tally


def companded(tally: Tally, subtype: str) -> Found | None:
    """G.711, also where it was decoded to 16 bits."""
    quantizer = None if tally.forgot else _companded(tally.values, subtype)
    return None if quantizer is None else Found(quantizer, f"{quantizer.name} (G.711)", 8)


def _companded(values: NDArray[np.float64], subtype: str) -> Levels | None:
    """All values are its levels, and more of them than a uniform one could share."""
    known = {"ULAW": mu_law, "ALAW": a_law}
    if subtype in known:
        return known[subtype]()
    if len(values) < 16 or len(values) > 256:
        return None
    gaps = np.diff(values)
    if gaps.max() < 4 * gaps.min():
        return None
    for make in (mu_law, a_law):
        quantizer = make()
        if np.isin(values, quantizer.levels.numpy()).all():
            return quantizer
    return None
