"""Random samples, and comparisons to rounding."""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.tensors import described, norms


def batch_of(like: Tensor) -> Tensor:
    """With two samples at least, as one cannot show whether they are mixed."""
    if not isinstance(like, Tensor) or not like.is_floating_point() or like.ndim < 2:
        raise ErgodualError(
            f"like= is {described(like)}; give a floating-point batch, (batch, *sample)."
        )
    return like if len(like) > 1 else like.new_zeros((2, *like.shape[1:]))


def tolerance(like: Tensor) -> float:
    return float(torch.finfo(like.dtype).eps ** 0.7)


def same(said: str, ours: Tensor, right: Tensor, tol: float) -> None:
    if ours.shape != right.shape:
        raise ErgodualError(f"{said}: shapes {tuple(ours.shape)} and {tuple(right.shape)}.")
    missed = float((ours - right).norm()) / (float(right.norm()) or 1.0)
    if not missed <= tol:
        raise ErgodualError(f"{said}: relative difference {missed:.2g}.")


def near(said: str, ours: Tensor, right: Tensor, tol: float, a: Tensor, b: Tensor) -> None:
    size = float(norms(a).max() * norms(b).max()) or 1.0
    missed = float((ours - right).abs().max()) / size
    if not missed <= tol:
        raise ErgodualError(f"{said} are {ours.tolist()} and {right.tolist()}; they must agree.")
