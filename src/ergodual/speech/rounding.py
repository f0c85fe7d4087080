"""Whether samples on a lattice through 0 were rounded, or cut down, or cut towards 0; and where
their middle is.

The lattice is the same. But floors have a mean that lies half a step below that of what was meant,
which in recordings is near 0; and where a signal passes through 0, twice as many samples are cut
to 0 as to both levels beside it. Neither is proof: an offset may be in the recording.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

FRAME = 512
LIVELY = 3
"""The mean is taken over frames that span so many steps: in others, quantizing an offset moves it
to the next level.
"""
ENOUGH = 4
"""Such frames, at least."""
QUICK = 12
"""A passage through 0 takes at most so many samples from the second level to the second level."""
CROSSINGS = 100
"""Samples at the levels beside 0 during such passages, at least."""
TWICE = 1.6
"""The level 0 is so many times as frequent as each of those beside it: rounding makes it as
frequent, cutting towards 0 twice as frequent.
"""
FLOORS = (-0.7, -0.3)
"""Steps that the mean of floors is off; rounded recordings with such an offset are about one in a
hundred.
"""
MOST_BITS = 8
"""With more, half a step is as small as the offsets of recordings."""


class Rounding:
    """What is counted of a channel.

    Parameters
    ----------
    step, offset
        Of the lattice: a level, and how far it is to the next.
    """

    def __init__(self, step: float, offset: float = 0.0) -> None:
        self._step, self._offset = step, offset
        self._sum, self._frames = 0.0, 0
        self._zeros, self._beside = 0, 0.0

    def add(self, block: NDArray[np.floating]) -> None:
        """Count the samples of a block, ``(length,)``."""
        places = np.rint((block.astype(np.float64) - self._offset) / self._step)
        frames = places[: len(places) // FRAME * FRAME].reshape(-1, FRAME)
        means = frames[np.ptp(frames, axis=1) >= LIVELY].mean(1)
        self._sum, self._frames = self._sum + float(means.sum()), self._frames + len(means)
        strong = np.flatnonzero(np.abs(places) >= 2)
        before, after = strong[:-1], strong[1:]
        passage = (places[before] * places[after] < 0) & (after - before <= QUICK)
        for level in (0, 1):
            seen = np.concatenate([[0], np.cumsum(np.abs(places) == level)])
            count = int((seen[after[passage]] - seen[before[passage]]).sum())
            if level:
                self._beside += count / 2
            else:
                self._zeros += count

    @property
    def mean(self) -> float:
        """Of the samples in lively frames; 0 where these are too few."""
        if self._frames < ENOUGH:
            return 0.0
        return self._offset + self._step * self._sum / self._frames

    def kind(self, bits: int) -> Literal["mid-tread", "floor", "truncate"]:
        """The likelier one, for a recording of so many bits: cut towards 0 where the level 0 is
        nearly twice as frequent as those beside it; floors where the mean is about half a step
        below 0; else rounded.
        """
        if self._beside >= CROSSINGS and self._zeros > TWICE * self._beside:
            return "truncate"
        if bits <= MOST_BITS and FLOORS[0] < self.mean / self._step < FLOORS[1]:
            return "floor"
        return "mid-tread"
