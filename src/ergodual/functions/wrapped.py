"""What functions made of one other share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import ClassVar, Self

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function
from ergodual.tensors import Number, column, described, norms, traced


class Wrapped(Function):
    """A function made of another one, f, and perhaps a number or tensor of its own.

    Attributes
    ----------
    function
        f.
    own
        The names of the function's own parameters and buffers.
    example
        How one is made, for a message.
    """

    function: Function
    own: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str]

    def __init__(self, function: Function) -> None:
        super().__init__()
        if not isinstance(function, Function):
            raise ErgodualError(
                f"{type(self).__name__} got {described(function)}; give a function, as in "
                f"{self.example}."
            )
        self.function = function

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether f is."""
        return self.function.separable

    @property
    def per_sample(self) -> tuple[str, ...] | None:  # type: ignore[override]
        """Known where it is of f."""
        return None if self.function.per_sample is None else self.own

    def around(self, function: Function) -> Self:
        """The same made of another function."""
        if function is self.function:
            return self
        made = copy.copy(self)
        made._parameters, made._buffers = dict(self._parameters), dict(self._buffers)
        made._modules = {**self._modules, "function": function}
        return made

    def observed(self, observation: Tensor) -> tuple[Function, Tensor]:
        f, offset = self.function.observed(observation)
        return self.around(f), offset

    def tensors(self) -> tuple[Tensor, ...]:
        return self._own() + self.function.tensors()

    def require_valid(self) -> None:
        self.function.require_valid()

    def check(self, batch: int, sample: Size) -> None:
        super().check(batch, sample)
        self.function.check(batch, sample)

    def of_samples(self, rows: Tensor, batch: Size) -> Function:
        chosen = super().of_samples(rows, batch)
        assert isinstance(chosen, Wrapped)
        return chosen.around(self.function.of_samples(rows, batch))

    def _own(self) -> tuple[Tensor, ...]:
        held = (getattr(self, name) for name in self.own)
        return tuple(t for t in held if isinstance(t, Tensor))


def moved_value(
    value: Callable[[Tensor], Tensor],
    prox: Callable[[Tensor, Number], Tensor],
    x: Tensor,
    by: Number,
) -> Tensor:
    """``value(x - by)`` of each sample; where x − by lies outside of the domain by a rounding of x
    and of what it is moved by, as b + prox(z − b) − b does, the value at the nearest point of it.
    """
    inner = x - by
    found = value(inner)
    if not (traced() or found.is_meta) and bool(found.isfinite().all()):
        return found
    near = prox(inner, torch.finfo(x.dtype).tiny ** 0.5)
    by = torch.as_tensor(by, dtype=x.dtype, device=x.device)
    rounding = 2 * torch.finfo(x.dtype).eps * norms(x.abs() + by.abs())
    beside = norms(near - inner) <= rounding
    there = value(inner + torch.where(column(beside, x), near - inner, 0.0).detach())
    return torch.where(found.isfinite() | ~beside, found, there)
