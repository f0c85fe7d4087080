"""From a recording to frames, as the paper does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ergodual.errors import ErgodualError


def normalize(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples over their peak, max |s| + 1e-10, in float32 (where the peak becomes exactly 1)."""
    return samples / np.float32(np.abs(samples).max() + 1e-10)


def frame(samples: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Non-overlapping frames of n samples, ``(count, n)``; the tail is dropped."""
    if n < 1:
        raise ErgodualError(f"The frame length is {n}; it must be at least 1 sample.")
    count = len(samples) // n
    return samples[: count * n].reshape(count, n)
