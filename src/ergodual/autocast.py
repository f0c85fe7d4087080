"""What is computed in the type of its tensors, whatever ``torch.autocast`` says."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.tensors import traced, transformed

P = ParamSpec("P")
T = TypeVar("T")


def in_own_type(compute: Callable[P, T]) -> Callable[P, T]:
    """The same with autocast off on the device of the first tensor that it is given.

    Autocast makes some of the products in bfloat16, so that K and Kᵀ are those of no operator; and
    a backward pass runs under what is on where it is called, not where its forward pass was.
    """

    @wraps(compute)
    def computed(*args: P.args, **kwargs: P.kwargs) -> T:
        kind = next((t.device.type for t in args if isinstance(t, Tensor)), "cpu")
        if not is_cast(kind):
            return compute(*args, **kwargs)
        if transformed():
            raise ErgodualError(
                "Under torch.autocast, torch.func would take a derivative in another type than "
                "that of the tensors; call it with torch.autocast(..., enabled=False)."
            )
        with torch.autocast(kind, enabled=False):
            return compute(*args, **kwargs)

    return computed


def let_none_cast(t: Tensor) -> Tensor:
    """The tensor, whose own backward pass, by torch's tape, raises :class:`ErgodualError` where it
    would be cast.
    """
    if t.requires_grad and not traced():
        t.register_hook(_require_own_type)
    return t


def _require_own_type(gradient: Tensor) -> None:
    if is_cast(gradient.device.type):
        raise ErgodualError(
            "A backward pass of torch's tape (Tape, second derivatives, a norm's) runs under "
            "torch.autocast, which would make its products in another type; call it outside, or "
            "take Reverse() and first derivatives."
        )


def is_cast(kind: str) -> bool:
    """Whether autocast is on, on devices of this kind."""
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
