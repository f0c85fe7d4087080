"""From a recording to frames, as the paper does."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ergodual.errors import ErgodualError


def scale(peak: np.float32) -> np.float32:
    """What a recording of this peak is divided by, max |s| + 1e-10 in float32.

    There the peak becomes exactly 1.
    """
    return np.float32(peak + np.float32(1e-10))


def normalize(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples over their peak."""
    return samples / scale(np.abs(samples).max())


def frame(samples: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Non-overlapping frames of n samples, ``(count, n)``; the tail is dropped."""
    require_length(n)
    count = len(samples) // n
    return samples[: count * n].reshape(count, n)


def window(n: int) -> Tensor:
    """The window of overlapping frames, w_i = sin²(π (i + 1)/(n + 1)): Hann's without its zeros,
    ``(n,)``, float64.
    """
    return torch.hann_window(n + 2, periodic=False, dtype=torch.float64)[1:-1]


def require_length(n: int) -> None:
    """Raise :class:`ErgodualError` unless a frame has a sample."""
    if n < 1:
        raise ErgodualError(f"The frame length is {n}; it must be at least 1 sample.")
