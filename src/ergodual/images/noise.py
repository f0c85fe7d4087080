"""Noise that can be had again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ergodual.tensors import require

SEED = 1000
"""Of the noise of the first image of a data set; the next one's is one more."""


def add_noise(image: Tensor, sigma: float, index: int = 0) -> Tensor:
    """Image + σ · noise, neither clipped nor rounded.

    The noise is ``numpy.random.default_rng(1000 + index).standard_normal`` of the image's height
    and width (and channels, if there are several) in float32, so that image number ``index`` of a
    data set always has the same.

    Parameters
    ----------
    image
        ``(channels, height, width)``.
    sigma
        Standard deviation, in the units of the image: 25/255 for the σ = 25 of 8 bits.
    index
        The image's number, from 0.

    Raises
    ------
    ErgodualError
        If σ is negative.

    Examples
    --------
    >>> from ergodual.images import add_noise, psnr
    >>> image = torch.full((1, 256, 256), 0.5)
    >>> noisy = add_noise(image, 25 / 255)
    >>> round(psnr(noisy, image), 1)
    20.2
    """
    require(sigma >= 0, f"The noise's standard deviation is {sigma}; it must not be negative.")
    numbers = np.random.default_rng(SEED + index).standard_normal(tuple(image.shape))
    return image + sigma * torch.from_numpy(numbers.astype(np.float32)).to(image)
