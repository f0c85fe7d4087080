"""The indicator of a box."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function, Number, ProxGradient, hold, require
from ergodual.functions.clip import bound_gradients, clip, clip_, clip_vjp_, shrink


class Box(Function):
    """g(r) = 0 where lower ≤ r_i ≤ upper for all i, else ∞; ``Box(radius=η)`` is |r_i| ≤ η.

    prox_{τg} is the projection, whatever τ; g*(v) = Σ max(lower·v, upper·v) (Brauer, Lorenz 2019, the G of Figure 1).

    Parameters
    ----------
    radius
        η ≥ 0: a number, or a tensor of shape ``(batch, 1)`` or ``(batch, n)``; an nn.Parameter is learned.
    lower, upper
        Instead of the radius: lower ≤ 0 ≤ upper, numbers or tensors as above, each possibly infinite.

    Raises
    ------
    ErgodualError
        If the bounds are missing, given twice, or do not enclose 0.
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "output"
    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ("radius", "_lower", "_upper")
    radius: Number
    _lower: Number
    _upper: Number

    def __init__(
        self, radius: Number | None = None, lower: Number | None = None, upper: Number | None = None
    ) -> None:
        super().__init__()
        self.symmetric = radius is not None
        if radius is not None and lower is None and upper is None:
            require(radius >= 0, f"Box's radius is {radius}; it must not be negative.")
            hold(self, "radius", radius)
        elif radius is None and lower is not None and upper is not None:
            enclosed = torch.as_tensor(lower <= 0).all() & torch.as_tensor(upper >= 0).all()
            require(
                enclosed,
                "Box's bounds do not enclose 0; they must satisfy lower <= 0 <= upper everywhere.",
            )
            hold(self, "_lower", lower)
            hold(self, "_upper", upper)
        else:
            raise ErgodualError(
                "Box takes either radius= or both lower= and upper=; give one of the two."
            )

    @property
    def lower(self) -> Number:
        """The lower bound."""
        return -self.radius if self.symmetric else self._lower

    @property
    def upper(self) -> Number:
        """The upper bound."""
        return self.radius if self.symmetric else self._upper

    def tensors(self) -> tuple[Tensor, ...]:
        values = (self.radius,) if self.symmetric else (self._lower, self._upper)
        return tuple(value for value in values if isinstance(value, Tensor))

    def value(self, x: Tensor) -> Tensor:
        return torch.where(((x >= self.lower) & (x <= self.upper)).all(-1), 0.0, torch.inf).to(
            x.dtype
        )

    def conjugate(self, y: Tensor) -> Tensor:
        # an infinite bound counts only where y has its sign: inf · 0 is not a number
        above = torch.where(y > 0, self.upper * y, 0.0)
        return torch.where(y < 0, self.lower * y, above).sum(-1)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return clip(z, self.lower, self.upper)

    def prox_(self, z: Tensor, step: Number) -> Tensor:
        return clip_(z, self.lower, self.upper)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return shrink(z, _scaled(self.lower, step), _scaled(self.upper, step))

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        found = (
            self._in_bounds(*bound_gradients(kept, self.lower, self.upper, grad))
            if parameters
            else ()
        )
        return clip_vjp_(kept, self.lower, self.upper, grad), found

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        grad.mul_(kept != 0)
        found = (
            self._in_bounds(-step * grad * (kept < 0), -step * grad * (kept > 0))
            if parameters
            else ()
        )
        return grad, found

    def _in_bounds(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, ...]:
        if self.symmetric:
            pairs: list[tuple[Number, Tensor]] = [(self.radius, upper - lower)]
        else:
            pairs = [(self._lower, lower), (self._upper, upper)]
        return tuple(
            gradient.sum_to_size(value.shape)
            for value, gradient in pairs
            if isinstance(value, Tensor)
        )


def _scaled(bound: Number, step: Number) -> Number:
    """step · bound, where an infinite bound stays itself and has no gradient (inf · 0 is not a number)."""
    if not isinstance(bound, Tensor):
        return bound if math.isinf(bound) else step * bound
    infinite = bound.isinf()
    return torch.where(infinite, bound.detach(), step * bound.masked_fill(infinite, 0.0))
