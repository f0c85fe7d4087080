"""Whether noise was added before samples came onto their lattice.

Rounding alone leaves errors of variance 1/12, in squares of a step, where the signal moves, and
none where it rests. With a dither that is uniform over a step (RPDF) it is 1/6 where the signal
moves, and between 0 and 1/4 where it rests; with the sum of two such (TPDF) it is 1/4 everywhere.
The errors are white, speech is not: a fourth difference sees little but the errors.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.rounding import FRAME

Dithers = Literal["none", "rpdf", "tpdf"]
WIDER: dict[Dithers, float] = {"none": 0.0, "rpdf": 0.5, "tpdf": 1.0}
"""Steps by which a cell is wider on both sides."""
DIFFERENCE = np.asarray([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70.0)
LOUD, QUIET = 6, 4
"""Steps that both halves of a frame span at least, and that a frame spans at most."""
FEW = 5
"""Frames of a sort that are too few to tell."""
TPDF = (0.19, 0.22, 0.30)
"""Variance in the quietest frames, at least, and of the middle quiet one."""
RPDF = (0.12, 0.23)
"""Variance that nineteen of twenty loud frames have, and that a fifth of them have at most."""
MOST_BITS = 6
"""With more, recordings have such noise too."""


class Dither:
    """What is measured of a channel.

    Parameters
    ----------
    step
        Of the lattice.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._variances: list[NDArray[np.float64]] = []
        self._spans: list[NDArray[np.float64]] = []
        self._loudness: list[NDArray[np.float64]] = []

    def add(self, block: NDArray[np.floating]) -> None:
        """Measure the samples of a block, ``(length,)``."""
        length = len(block) // FRAME * FRAME
        if not length:
            return
        places = block[:length].astype(np.float64) / self._step
        errors = np.convolve(places, DIFFERENCE, "same") ** 2
        self._variances.append(errors.reshape(-1, FRAME).mean(1))
        halves = np.ptp(places.reshape(-1, 2, FRAME // 2), axis=2)
        self._loudness.append(halves.min(1))
        self._spans.append(np.ptp(places.reshape(-1, FRAME), axis=1))

    def kind(self, bits: int) -> Dithers:
        """The likelier one, for a recording of so many bits; none where the samples do not tell."""
        if not self._variances:
            return "none"
        variances, spans = np.concatenate(self._variances), np.concatenate(self._spans)
        loud = variances[np.concatenate(self._loudness) >= LOUD - 0.5]
        quiet = variances[spans <= QUIET + 0.5]
        if len(quiet) < FEW:
            return "none"
        rest = float(np.median(quiet))
        if np.quantile(variances, 0.05) >= TPDF[0] and TPDF[1] <= rest <= TPDF[2]:
            return "tpdf"
        if bits > MOST_BITS or len(loud) < FEW:
            return "none"
        told = np.quantile(loud, 0.05) >= RPDF[0] and np.quantile(loud, 0.2) <= RPDF[1]
        return "rpdf" if told else "none"
