"""The cells of a recording that is an array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ergodual.speech.arrays import Samples, held_as, in_columns, like, on_unit_scale
from ergodual.speech.found import Found, said_of_each
from ergodual.speech.survey import survey


@dataclass(frozen=True, eq=False)
class Detected:
    """What the samples of a recording say about the interval that each of them lay in; made by
    :func:`ergodual.detect`.

    Attributes
    ----------
    samples
        The recording, ``(length,)`` or ``(length, channels)``.
    channels
        What was found out about each channel: its quantizer and word length, the sentence that says
        so, how many samples are off the lattice, dither, offset, stretches.
    """

    samples: Samples
    channels: tuple[Found, ...]

    @property
    def coarse(self) -> bool:
        """Whether any channel is coarsely quantized."""
        return any(found.quantizer is not None for found in self.channels)

    @property
    def said(self) -> str:
        """What was found out, as a sentence, of each channel where they differ."""
        return said_of_each(self.channels)

    @property
    def lower(self) -> NDArray[np.float64] | Tensor:
        """The lower ends of the intervals on [−1, 1], float64, possibly −inf; of the shape of the
        samples, and a tensor where these are one.
        """
        return self._bounds(1)

    @property
    def upper(self) -> NDArray[np.float64] | Tensor:
        """The upper ends, possibly inf. Where nothing was found, both are the samples."""
        return self._bounds(2)

    def _bounds(self, which: int) -> NDArray[np.float64] | Tensor:
        whole = on_unit_scale(self.samples)
        columns = in_columns(whole).T
        bounds = [
            found.cells.intervals(torch.tensor(channel))[which].numpy()
            for found, channel in zip(self.channels, columns, strict=True)
        ]
        return like(np.stack(bounds, axis=1).reshape(whole.shape), self.samples)


def detect(samples: Samples) -> Detected:
    """Work out, from the samples alone, the quantizer of each channel and the interval that each
    sample lay in, lower ≤ x ≤ upper.

    Parameters
    ----------
    samples
        A numpy array or a torch tensor, ``(length,)`` or ``(length, channels)``, as it was stored:
        floating point on [−1, 1], or integers, which are divided by 2^(word length − 1) of their
        type (int8, int16, int32, and uint8 after centring).

    Returns
    -------
    The cells. They also go to :meth:`ergodual.Dequantizer.restore`, so that nothing is worked out
    twice.

    Raises
    ------
    ErgodualError
        If the samples are not finite, or of no shape or type of a recording.

    Examples
    --------
    >>> from ergodual import speech
    >>> meant = torch.sin(torch.arange(8000) / 9) * torch.sin(torch.arange(8000) / 800)
    >>> cells = ed.detect(speech.mid_tread(4).quantize(meant))
    >>> cells.said
    'mid-tread, 4 bits, step 0.125'
    """
    whole = on_unit_scale(samples)
    subtype = held_as(samples, whole)
    columns = in_columns(whole)
    names = [f"channel {number}" for number in range(1, columns.shape[1] + 1)]
    return Detected(samples, survey(lambda: [columns], names, subtype))
