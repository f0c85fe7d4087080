"""The weighted ℓ1 norm."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from ergodual.functions.base import Function, ProxGradient
from ergodual.functions.clip import clip, clip_, clip_vjp_, inside, shrink, shrink_vjp_
from ergodual.tensors import (
    Number,
    everywhere,
    extremes,
    hold,
    real,
    require_weight,
    share_within,
    shown,
    total,
)


class L1(Function):
    """f(x) = Σ w_i |x_i|.

    prox_{τf}(z) = sign(z) max(|z| − τw, 0), and f* is the indicator of |y_i| ≤ w_i, so prox_{σf*}
    is the projection onto it, whatever σ (Brauer, Lorenz 2019, the F of Section 1).

    Parameters
    ----------
    weight
        w ≥ 0, where 0 leaves a coefficient unpenalised: a number, or a tensor that broadcasts
        against a sample, or against the batch if it has as many axes; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a weight is negative.

    Examples
    --------
    >>> ed.L1(2.0).prox(torch.tensor([[3.0, -0.5, 1.0]]), 0.25)  # soft thresholds of 0.5
    tensor([[2.5000, 0.0000, 0.5000]])
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "output"
    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ("weight",)
    nonnegative: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Number

    def __init__(self, weight: Number = 1.0) -> None:
        super().__init__()
        hold(self, "weight", real("L1's weight", weight))
        self.require_valid()

    def require_valid(self) -> None:
        require_weight("L1's weight", self.weight)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.weight,) if isinstance(self.weight, Tensor) else ()

    def value(self, x: Tensor) -> Tensor:
        return total(self.weight * x.abs())

    def conjugate(self, y: Tensor) -> Tensor:
        return torch.where(everywhere(y.abs() <= self.weight), 0.0, torch.inf).to(y.dtype)

    def share_in_domain(self, y: Tensor) -> Tensor:
        return share_within(y.abs(), self.weight)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        bound = self.weight * step
        return shrink(z, -bound, bound)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return clip(z, -self.weight, self.weight)

    def prox_conjugate_(self, z: Tensor, step: Number) -> Tensor:
        return clip_(z, -self.weight, self.weight)

    def keeps_input(self) -> bool:
        # of an interval that is a point somewhere, the output does not tell which bound was met
        held = isinstance(self.weight, Tensor) and self.weight.requires_grad
        return held and not extremes(self.weight)[0] > 0

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        if self.keeps_input():
            kept = self.prox(kept, step)
        shrink_vjp_(kept, -self.weight, self.weight, grad)
        return grad, (self._in_weight(-step * grad * kept.sign()) if parameters else ())

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        if not isinstance(self.weight, Tensor):
            return clip_vjp_(kept, -self.weight, self.weight, grad), ()
        found = inside(kept, self.weight, grad)
        if not parameters:
            return found, ()
        # not over the gradient, which the result is written to
        return found, self._in_weight((grad - found).mul_(kept.sign()))

    def extra_repr(self) -> str:
        return f"weight={shown(self.weight)}"

    def _in_weight(self, gradient: Tensor) -> tuple[Tensor, ...]:
        if not isinstance(self.weight, Tensor):
            return ()
        return (gradient.sum_to_size(self.weight.shape),)
