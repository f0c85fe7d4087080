"""A signal as a player on a page."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile
from numpy.typing import NDArray


class Player:
    """Shows a signal as a player in a notebook and on a page of the gallery.

    Parameters
    ----------
    samples
        The signal, ``(length,)``, between −1 and 1; what lies outside is cut off.
    rate
        Sampling rate in Hz.
    """

    def __init__(self, samples: NDArray[np.floating], rate: int) -> None:
        file = io.BytesIO()
        soundfile.write(file, np.clip(samples, -1, 1), rate, format="FLAC")
        self._content = base64.b64encode(file.getvalue()).decode()

    def _repr_html_(self) -> str:
        return f'<audio controls src="data:audio/flac;base64,{self._content}"></audio>'
