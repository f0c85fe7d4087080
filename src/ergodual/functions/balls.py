"""Indicators of balls."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Size, Tensor

from ergodual.functions.base import Function, ProxGradient
from ergodual.tensors import (
    Number,
    column,
    dots,
    hold,
    norms,
    real,
    require_nonnegative,
    room,
    shown,
)


class L2Ball(Function):
    """f(x) = 0 where ‖x‖₂ ≤ ε, else ∞, of each sample: a bound of the noise, say.

    prox_{τf}(z) = z min(1, ε/‖z‖), whatever τ, and f*(y) = ε ‖y‖₂ (Parikh, Boyd, "Proximal
    algorithms", 2014, 6.5).

    Parameters
    ----------
    radius
        ε ≥ 0: a number, a tensor of one, or one with as many axes as the batch and a row for each
        sample, ``(batch, 1, …)``; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a radius is negative.
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "input"
    per_sample: ClassVar[tuple[str, ...] | None] = ("radius",)
    nonnegative: ClassVar[tuple[str, ...]] = ("radius",)
    indicator: ClassVar[bool] = True
    radius: Number

    def __init__(self, radius: Number) -> None:
        super().__init__()
        hold(self, "radius", real("L2Ball's radius", radius))
        self.require_valid()

    def require_valid(self) -> None:
        require_nonnegative("L2Ball's radius", self.radius)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.radius,) if isinstance(self.radius, Tensor) else ()

    def value(self, x: Tensor) -> Tensor:
        # a projection is outside by a rounding; not less than that counts
        slack = 1 + room(x[0:1].numel(), x.dtype)
        inside = column(norms(x), x) <= slack * self.radius
        return torch.where(inside.flatten(), 0.0, torch.inf).to(x.dtype)

    def conjugate(self, y: Tensor) -> Tensor:
        return (self.radius * column(norms(y), y)).flatten()

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return z * self._share(z, self.radius)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        # not 1 − the share: that would leave rounding where z is inside
        size = _size(z)
        return z * (1 - step * self.radius / size).clamp(min=0)

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        size = _size(kept)
        outside = size >= self.radius
        along = column(dots(kept, grad), grad) / size * outside
        found: tuple[Tensor | None, ...] = ()
        if parameters and isinstance(self.radius, Tensor):
            found = (along.sum_to_size(self.radius.shape),)
        share = self._share(kept, self.radius)
        return grad.addcmul_(kept, along / size, value=-1).mul_(share), found

    def parameter_shape(self, sample: Size) -> Size:
        return Size([1] * len(sample))

    def extra_repr(self) -> str:
        return f"radius={shown(self.radius)}"

    def _share(self, z: Tensor, radius: Number) -> Tensor:
        return (radius / _size(z)).clamp(max=1)


def _size(z: Tensor) -> Tensor:
    """‖z‖ of each sample, ``(batch, 1, …)``; the derivative of the root at 0 is made 0."""
    squares = column(dots(z, z), z)
    return squares.clamp(min=torch.finfo(z.dtype).tiny).sqrt()
