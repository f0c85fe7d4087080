"""How near an estimate is to an image."""

from __future__ import annotations

import math

from skimage.metrics import structural_similarity
from torch import Tensor

from ergodual.errors import ErgodualError


def psnr(estimate: Tensor, image: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images between 0 and 1, −10 log₁₀ mean (x̂ − x)².

    Raises
    ------
    ErgodualError
        If the shapes differ.

    Examples
    --------
    >>> from ergodual.images import psnr
    >>> round(psnr(torch.full((1, 8, 8), 0.6), torch.full((1, 8, 8), 0.5)), 2)
    20.0
    """
    _require_alike(estimate, image)
    error = float((estimate.double() - image.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(estimate: Tensor, image: Tensor) -> float:
    """Structural similarity with a Gaussian window of σ = 1.5, as of Wang, Bovik, Sheikh,
    Simoncelli, "Image quality assessment", 2004; the mean over pixels and channels, from
    scikit-image.

    Parameters
    ----------
    estimate, image
        ``(channels, height, width)``, between 0 and 1, at least 11 pixels high and wide.

    Raises
    ------
    ErgodualError
        If the shapes differ, or the images are smaller.
    """
    _require_alike(estimate, image)
    if min(image.shape[-2:]) < 11:
        raise ErgodualError(
            f"SSIM's window is 11 pixels wide, and the image has {tuple(image.shape[-2:])}; give a "
            "larger one."
        )
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pair = (t.detach().cpu().double().numpy() for t in (estimate, image))
    found = structural_similarity(*pair, data_range=1.0, channel_axis=0, **options)
    return float(found)


def _require_alike(estimate: Tensor, image: Tensor) -> None:
    if estimate.shape != image.shape:
        raise ErgodualError(
            f"The estimate has shape {tuple(estimate.shape)} and the image {tuple(image.shape)}; "
            "make them alike."
        )
