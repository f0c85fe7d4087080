"""Whether samples on a lattice through 0 were rounded, or cut down, or cut towards 0.

The lattice is the same. But floors have a mean that lies half a step below that of what was meant,
which in recordings is near 0; and where a signal crosses 0 steeply, twice as many samples are cut
to 0 as to any other level. Neither is proof: an offset may be in the recording.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

ENOUGH = 1000
"""Samples that the mean is taken over, at least."""
CROSSINGS = 100
"""Samples at each of the levels around 0 that are compared, at least."""


class Rounding:
    """What is counted of a channel.

    Parameters
    ----------
    step
        Of the lattice.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._sum, self._moving = 0.0, 0
        self._steep = np.zeros(3)

    def add(self, block: NDArray[np.floating]) -> None:
        """Count the samples of a block, ``(length,)``."""
        places = np.rint(block.astype(np.float64) / self._step)
        before, here, after = places[:-2], places[1:-1], places[2:]
        moving = here[(here != before) | (here != after)]  # digital silence says nothing
        self._sum, self._moving = self._sum + float(moving.sum()), self._moving + len(moving)
        steep = np.abs(here[np.abs(after - before) >= 4])
        self._steep += [(steep == 0).sum(), (steep == 1).sum() / 2, (steep == 2).sum() / 2]

    def kind(self) -> Literal["mid-tread", "floor", "truncate"]:
        """The likelier one: floors where the mean is nearer to half a step below 0 than to 0 or to
        a whole step; cut towards 0 where the level 0 is more than half as frequent again as the
        levels around it let expect, and these are about as frequent as each other; else rounded.
        """
        if self._moving >= ENOUGH and -0.75 < self._sum / self._moving < -0.25:
            return "floor"
        zero, first, second = self._steep
        if second >= CROSSINGS and first < 1.5 * second and zero * second > 1.5 * first**2:
            return "truncate"
        return "mid-tread"
