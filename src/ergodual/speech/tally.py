"""How often each value occurs in a channel, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_KEPT = 2**16
"""Beyond so many different values, the rarest are forgotten."""


class Tally:
    """Counts of values.

    Attributes
    ----------
    values, counts
        Those that are remembered, rising, and how often each occurred.
    total
        How many samples there were.
    forgot
        Whether there were others.
    """

    def __init__(self, *blocks: NDArray[np.floating]) -> None:
        self.values = np.empty(0)
        self.counts = np.empty(0, dtype=np.int64)
        self.total, self.forgot = 0, False
        for block in blocks:
            self.add(block)

    def add(self, block: NDArray[np.floating]) -> None:
        """Count the samples of a block, ``(length,)``."""
        self.total += len(block)
        values, counts = np.unique(block.astype(np.float64), return_counts=True)
        self.values, place = np.unique(np.concatenate([self.values, values]), return_inverse=True)
        self.counts = np.bincount(place, np.concatenate([self.counts, counts])).astype(np.int64)
        if len(self.values) > MOST_KEPT:
            self.forgot = True
            often = np.sort(np.argsort(self.counts, kind="stable")[-MOST_KEPT // 2 :])
            self.values, self.counts = self.values[often], self.counts[often]

    def only(self, kept: NDArray[np.bool_]) -> Tally:
        """That of the samples that have these values."""
        some = Tally()
        some.values, some.counts, some.forgot = self.values[kept], self.counts[kept], self.forgot
        some.total = self.total - int(self.counts[~kept].sum())
        return some
