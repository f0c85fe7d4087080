"""How finely a file's format tells numbers apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESOLUTION = {
    "PCM_U8": 2.0**-7,
    "PCM_S8": 2.0**-7,
    "PCM_16": 2.0**-15,
    "PCM_24": 2.0**-23,
    "ULAW": 2.0**-15,
    "ALAW": 2.0**-15,
}
"""Distance of neighbouring values that a file can hold; any other format is taken as 32-bit
floating point.
"""


def resolution(values: NDArray[np.float64], subtype: str) -> float:
    """The distance of neighbouring numbers in a file of this format that holds these values."""
    return RESOLUTION.get(subtype, 2.0**-23 * float(np.abs(values).max(initial=0)))
