"""How near an estimate is to the truth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ergodual.errors import ErgodualError


def snr_db(clean: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """The signal-to-noise ratio 10 log₁₀(‖s‖² / ‖s − ŝ‖²) in dB; infinite for equal signals.

    Raises
    ------
    ErgodualError
        If the signals differ in shape or the clean one is silent.
    """
    if clean.shape != estimate.shape:
        raise ErgodualError(f"The signals have shapes {clean.shape} and {estimate.shape}; they must have one length.")
    clean, estimate = clean.astype(np.float64), estimate.astype(np.float64)
    signal, noise = float(np.square(clean).sum()), float(np.square(clean - estimate).sum())
    if signal == 0:
        raise ErgodualError("The clean signal is silent, so it has no signal-to-noise ratio.")
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)
