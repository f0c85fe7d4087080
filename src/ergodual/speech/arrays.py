"""Recordings that are arrays: on the scale of [−1, 1], whatever they come as."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ergodual.errors import ErgodualError

Samples = NDArray[np.floating] | NDArray[np.integer] | Tensor

LARGEST = 2.0**31
"""The largest sample that is one: that of integers of 32 bits read as numbers."""

SUBTYPE = {"uint8": "PCM_U8", "int8": "PCM_S8", "int16": "PCM_16", "int32": "PCM_32"}
"""Integers that audio is stored as, and what libsndfile calls a file of them."""


def on_unit_scale(samples: Samples) -> NDArray[np.float64]:
    """The samples in float64, integers divided by 2^(word length − 1), unsigned ones centred first.

    Raises
    ------
    ErgodualError
        If they are no ``(length,)`` or ``(length, channels)`` of finite numbers of such a type, or
        some are above 2^31.
    """
    if isinstance(samples, Tensor):
        samples = samples.detach().cpu()
        samples = (samples.double() if samples.is_floating_point() else samples).numpy()
    if not isinstance(samples, np.ndarray):
        raise ErgodualError(
            f"The samples are a {type(samples).__name__}; give a numpy array or a torch tensor."
        )
    _check_shape(samples.shape)
    kind = samples.dtype
    if kind.kind == "f":
        whole = samples.astype(np.float64)
    elif kind.name in SUBTYPE:
        half = 2.0 ** (8 * kind.itemsize - 1)
        whole = (samples.astype(np.float64) - (half if kind.kind == "u" else 0)) / half
    else:
        raise ErgodualError(
            f"The samples are of type {kind}, which has no scale as audio; give floating-point "
            f"numbers on [-1, 1], or one of {', '.join(SUBTYPE)}."
        )
    if not np.isfinite(whole).all():
        first = int(np.argwhere(~np.isfinite(whole))[0, 0])
        raise ErgodualError(
            f"The samples are not finite at {first}; give numbers without NaN or infinities."
        )
    largest = np.abs(whole).max(initial=0.0)
    if largest > LARGEST:
        raise ErgodualError(
            f"The largest sample is {largest:.3g}; give samples on [-1, 1], or their whole numbers."
        )
    return whole


def held_as(samples: Samples, whole: NDArray[np.float64]) -> str:
    """The format of a file that would hold such samples, as libsndfile names it: that of their type
    where it has 8 or 16 bits, else the shorter of 16 and 24 bits that holds every value.

    What a 16-bit file held is thus judged as such, read into what type it may be.
    """
    name = SUBTYPE.get(str(samples.dtype).removeprefix("torch."), "")
    if name in ("PCM_U8", "PCM_S8", "PCM_16"):
        return name
    for subtype, word in (("PCM_16", 16), ("PCM_24", 24)):
        scaled = whole * 2.0 ** (word - 1)
        if (scaled == np.rint(scaled)).all():
            return subtype
    return "FLOAT"


def in_columns(whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Samples as ``(length, channels)``, which may be of length 0."""
    return whole[:, None] if whole.ndim == 1 else whole


def like(restored: NDArray[np.float64], samples: Samples) -> NDArray[np.float64] | Tensor:
    """A tensor on the same device where the samples are one."""
    if isinstance(samples, Tensor):
        return torch.from_numpy(restored).to(samples.device)
    return restored


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] == 0):
        raise ErgodualError(
            f"The samples have the shape {shape}; it must be (length,) or (length, channels)."
        )
    if len(shape) == 2 and 0 < shape[0] < shape[1]:
        raise ErgodualError(
            f"The samples have the shape {shape}, more channels than samples; give (length, "
            "channels), by a transpose."
        )
