"""The zero function and the squared ℓ2 norm."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from ergodual.functions.base import Function, ProxGradient
from ergodual.tensors import Number, everywhere, extremes, hold, real, require_weight, shown, total


class Zero(Function):
    """f(x) = 0. Its prox is the identity; f* is the indicator of {0}, so prox_{σf*}(z) = 0.

    Examples
    --------
    >>> ed.Zero().prox(torch.tensor([[3.0, -1.0]]), 1.0)
    tensor([[ 3., -1.]])
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "output"
    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ()

    def value(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x))

    def conjugate(self, y: Tensor) -> Tensor:
        return torch.where(everywhere(y == 0), 0.0, torch.inf).to(y.dtype)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return z

    def prox_(self, z: Tensor, step: Number) -> Tensor:
        return z

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return torch.zeros_like(z)

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        return grad, ()

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        return grad.zero_(), ()


class SquaredL2(Function):
    """f(x) = ½ Σ λ_i x_i².

    prox_{τf}(z) = z / (1 + τλ); f*(y) = Σ y_i²/(2λ_i) and prox_{σf*}(z) = λz / (λ + σ).

    Parameters
    ----------
    weight
        λ ≥ 0, where 0 leaves an entry out (a mask): a number, or a tensor that broadcasts against a
        sample, or against the batch if it has as many axes; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a weight is negative.

    Examples
    --------
    >>> ed.SquaredL2(3.0).prox(torch.tensor([[4.0, -2.0]]), 1.0)
    tensor([[ 1.0000, -0.5000]])
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "output"
    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ("weight",)
    nonnegative: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Number

    def __init__(self, weight: Number = 1.0) -> None:
        super().__init__()
        hold(self, "weight", real("SquaredL2's weight", weight))
        self.require_valid()

    def require_valid(self) -> None:
        require_weight("SquaredL2's weight", self.weight)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.weight,) if isinstance(self.weight, Tensor) else ()

    def value(self, x: Tensor) -> Tensor:
        return total(0.5 * self.weight * x.square())

    def strong_convexity(self) -> float:
        return extremes(self.weight)[0]

    def smoothness(self) -> float:
        return extremes(self.weight)[1]

    def conjugate(self, y: Tensor) -> Tensor:
        weight = torch.as_tensor(self.weight, dtype=y.dtype, device=y.device)
        # where the weight is 0, the indicator of 0
        return total(torch.where((weight == 0) & (y == 0), 0.0, y.square() / (2 * weight)))

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return z / (1 + step * self.weight)

    def prox_(self, z: Tensor, step: Number) -> Tensor:
        return z.div_(1 + step * self.weight)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return z * (self.weight / (self.weight + step))

    def keeps_input(self) -> bool:
        weight = self.weight
        return isinstance(weight, Tensor) and weight.requires_grad and bool((weight == 0).any())

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        if self.keeps_input():
            kept = self.prox(kept, step)
        grad.div_(1 + step * self.weight)
        return grad, (self._in_weight(-step * kept * grad) if parameters else ())

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        # dp/dλ = σ z / (λ + σ)², with p the prox σ p / (λ (λ + σ))
        found: tuple[Tensor | None, ...] = ()
        if parameters and isinstance(self.weight, Tensor):
            z = kept if self.keeps_input() else kept * (1 + step / self.weight)
            found = self._in_weight(step * z * grad / (self.weight + step) ** 2)
        return grad.mul_(self.weight / (self.weight + step)), found

    def extra_repr(self) -> str:
        return f"weight={shown(self.weight)}"

    def _in_weight(self, gradient: Tensor) -> tuple[Tensor, ...]:
        if not isinstance(self.weight, Tensor):
            return ()
        return (gradient.sum_to_size(self.weight.shape),)
