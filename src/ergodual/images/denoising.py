"""A denoiser in units of the noise, applied to an image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ergodual.tensors import described, require

RIM = 8
"""By how many pixels an image is continued by its reflection, which are cut off again."""


def denoise(model: Callable[[Tensor], Tensor], noisy: Tensor, sigma: float) -> Tensor:
    """The estimate of an image with noise of standard deviation σ.

    Parameters
    ----------
    model
        Takes batches y/σ and gives x̂/σ, as the networks of ``ergodual.images.networks`` do.
    noisy
        ``(channels, height, width)``; channels are denoised one by one.
    sigma
        σ in the units of the image.

    Raises
    ------
    ErgodualError
        If the image is smaller than the rim, has entries that are not finite, or σ is not positive.
    """
    fits = isinstance(noisy, Tensor) and noisy.ndim == 3 and min(noisy.shape[1:]) > RIM
    require(
        fits,
        f"The image is {described(noisy)}; give (channels, height, width) of more than {RIM} "
        "pixels.",
    )
    require(noisy.isfinite(), "The image has entries that are not finite; repair them.")
    require(
        0 < sigma < math.inf,
        f"The noise's standard deviation is {sigma}; it must be positive and finite.",
    )
    height, width = noisy.shape[1:]
    y = functional.pad(noisy.unsqueeze(1) / sigma, [RIM] * 4, mode="reflect")
    with torch.no_grad():
        found = model(y)
    return sigma * found[:, 0, RIM : RIM + height, RIM : RIM + width]
