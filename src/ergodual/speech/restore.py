"""Restoring a quantized recording with a model for its frames."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ergodual.functions import Box
from ergodual.primal_dual import Unrolled
from ergodual.speech.quantizers import MidRise

FRAMES_AT_ONCE = 1024


def restore(model: Unrolled, samples: NDArray[np.float32], quantizer: MidRise) -> NDArray[np.float32]:
    """The estimate of what was meant, never further than η from any sample.

    Parameters
    ----------
    model
        A model for frames of its operator's n samples.
    samples
        The quantized recording, on the quantizer's scale [−1, 1]; any length.
    quantizer
        What it went through; its radius η is the model's for this recording.
    """
    n = model.problem.K.n
    # the last frame is filled up with copies of the last sample, which disturb it less than a jump to zero
    padded = np.pad(samples, (0, -len(samples) % n), mode="edge") if len(samples) else samples
    frames = torch.from_numpy(padded.astype(np.float32, copy=False)).reshape(-1, n)
    with torch.no_grad():
        restored = [model(some, G=Box(radius=quantizer.radius)) for some in torch.split(frames, FRAMES_AT_ONCE)]
    return torch.cat(restored).reshape(-1).numpy()[: len(samples)] if restored else samples
