"""The indicator of a box."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function, ProxGradient
from ergodual.functions.clip import (
    bound_gradients,
    clip,
    clip_,
    clip_vjp_,
    is_point,
    shrink,
    shrink_vjp_,
)
from ergodual.tensors import (
    Number,
    everywhere,
    hold,
    holds,
    real,
    require,
    require_nonnegative,
    shown,
    total,
)


class Box(Function):
    """g(r) = 0 where lower_i ≤ r_i ≤ upper_i for all i, else ∞; ``Box(radius=η)`` is |r_i| ≤ η.

    prox_{τg} is the projection, whatever τ; g*(v) = Σ max(lower_i v_i, upper_i v_i) (Brauer, Lorenz
    2019, the G of Figure 1). As the G of :class:`~ergodual.Problem`, which sees r = x − x̃, a box
    encloses 0; as that of :class:`~ergodual.InverseProblem`, which sees x, it need not.

    Parameters
    ----------
    radius
        η ≥ 0: a number, or a tensor that broadcasts against a sample, or against the batch if it
        has as many axes; an nn.Parameter is learned.
    lower, upper
        Instead of the radius: lower ≤ upper, numbers or tensors as above, each possibly infinite.

    Raises
    ------
    ErgodualError
        If the bounds are missing, given twice, or exclude each other or every number.

    Examples
    --------
    >>> ed.Box(radius=0.5).prox(torch.tensor([[3.0, -0.5, 0.2]]), 1.0)
    tensor([[ 0.5000, -0.5000,  0.2000]])
    >>> ed.Box(lower=0.0, upper=torch.inf).prox(torch.tensor([[3.0, -0.5, 0.2]]), 1.0)
    tensor([[3.0000, 0.0000, 0.2000]])
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "output"
    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ("radius", "_lower", "_upper")
    nonnegative: ClassVar[tuple[str, ...]] = ("radius",)
    indicator: ClassVar[bool] = True
    radius: Number
    _lower: Number
    _upper: Number

    def __init__(
        self,
        radius: Number | None = None,
        lower: Number | None = None,
        upper: Number | None = None,
    ) -> None:
        super().__init__()
        self.symmetric = radius is not None
        if radius is not None and lower is None and upper is None:
            hold(self, "radius", real("Box's radius", radius))
        elif radius is None and lower is not None and upper is not None:
            hold(self, "_lower", real("Box's lower bound", lower))
            hold(self, "_upper", real("Box's upper bound", upper))
        else:
            raise ErgodualError(
                "Box takes either radius= or both lower= and upper=; give one of the two."
            )
        self.require_valid()

    def require_valid(self) -> None:
        if self.symmetric:
            require_nonnegative("Box's radius", self.radius)
            return
        try:
            ordered = torch.as_tensor(self._lower <= self._upper)
        except RuntimeError as error:
            raise ErgodualError(
                f"Box's bounds do not fit each other: {error}; give tensors that broadcast."
            ) from error
        require(ordered, "Box's lower bound lies above its upper one; exchange them.")
        lower, upper = torch.as_tensor(self._lower), torch.as_tensor(self._upper)
        require(
            (lower < math.inf) & (upper > -math.inf),
            "Box's bounds are the same infinity, between which no number lies; give finite ones, "
            "or -inf and inf.",
        )

    def project_(self) -> None:
        super().project_()
        for name, move, other in (
            ("_lower", torch.minimum, "_upper"),
            ("_upper", torch.maximum, "_lower"),
        ):
            held = self._parameters.get(name)
            if held is not None:
                bound = torch.as_tensor(getattr(self, other)).detach().to(held)
                moved = move(held.data, bound)
                if moved.shape == held.shape:  # else a sentence will say so
                    held.data.copy_(moved)

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
        inside = everywhere((x >= self.lower) & (x <= self.upper))
        return torch.where(inside, 0.0, torch.inf).to(x.dtype)

    def conjugate(self, y: Tensor) -> Tensor:
        # an infinite bound counts only where y has its sign: inf · 0 is not a number
        above = torch.where(y > 0, self.upper * y, 0.0)
        return total(torch.where(y < 0, self.lower * y, above))

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return clip(z, self.lower, self.upper)

    def prox_(self, z: Tensor, step: Number) -> Tensor:
        return clip_(z, self.lower, self.upper)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return shrink(z, _scaled(self.lower, step), _scaled(self.upper, step))

    def keeps_input(self) -> bool:
        return is_point(self.lower, self.upper)

    def encloses_zero(self) -> bool:
        if self.symmetric:
            return True
        return holds(self._lower <= 0) and holds(self._upper >= 0)

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        found: tuple[Tensor | None, ...] = ()
        if parameters:
            found = self._in_bounds(*bound_gradients(kept, self.lower, self.upper, grad))
        return clip_vjp_(kept, self.lower, self.upper, grad), found

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        if self.keeps_input():
            kept = self.prox_conjugate(kept, step)
        shrink_vjp_(kept, self.lower, self.upper, grad)
        found: tuple[Tensor | None, ...] = ()
        if parameters:
            moved = -step * grad
            found = self._in_bounds(moved * (kept < 0), moved * (kept > 0))
        return grad, found

    def extra_repr(self) -> str:
        if self.symmetric:
            return f"radius={shown(self.radius)}"
        return f"lower={shown(self.lower)}, upper={shown(self.upper)}"

    def _in_bounds(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, ...]:
        pairs: list[tuple[Number, Tensor]] = (
            [(self._lower, lower), (self._upper, upper)]
            if not self.symmetric
            else [(self.radius, upper - lower)]
        )
        return tuple(
            gradient.sum_to_size(value.shape)
            for value, gradient in pairs
            if isinstance(value, Tensor)
        )


class NonNegative(Box):
    """g(x) = 0 where x_i ≥ 0 for all i, else ∞: :class:`Box` from 0 to infinity.

    Examples
    --------
    >>> ed.NonNegative().prox(torch.tensor([[3.0, -1.0]]), 1.0)
    tensor([[3., 0.]])
    """

    def __init__(self) -> None:
        super().__init__(lower=0.0, upper=math.inf)


def _scaled(bound: Number, step: Number) -> Number:
    """step · bound, where an infinite bound stays itself and has no gradient (inf · 0 is none)."""
    if not isinstance(bound, Tensor):
        return bound if math.isinf(bound) else step * bound
    infinite = bound.isinf()
    return torch.where(infinite, bound.detach(), step * bound.masked_fill(infinite, 0.0))
