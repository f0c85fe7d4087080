"""The zero function and the squared ℓ2 norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ergodual.functions.base import Function, Number, ProxGradient, hold, require


class Zero(Function):
    """f(x) = 0. Its prox is the identity; f* is the indicator of {0}, so prox_{σf*}(z) = 0."""

    derivative_from: ClassVar[Literal["input", "output"]] = "output"
    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ()

    def value(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-1])

    def conjugate(self, y: Tensor) -> Tensor:
        return torch.where((y == 0).all(-1), 0.0, torch.inf).to(y.dtype)

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
    """f(x) = ½ λ ‖x‖².

    prox_{τf}(z) = z / (1 + τλ); f*(y) = ‖y‖² / (2λ) and prox_{σf*}(z) = λz / (λ + σ).

    Parameters
    ----------
    weight
        λ > 0: a number, or a tensor that broadcasts against ``(batch, n)``; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a weight is not positive.
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "output"
    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ("weight",)
    weight: Number

    def __init__(self, weight: Number = 1.0) -> None:
        super().__init__()
        require(
            weight > 0,
            f"SquaredL2's weight is {weight}; it must be positive (use Zero() for none).",
        )
        hold(self, "weight", weight)

    def value(self, x: Tensor) -> Tensor:
        return (0.5 * self.weight * x.square()).sum(-1)

    def strong_convexity(self) -> Number:
        return self._extreme(torch.amin)

    def smoothness(self) -> Number:
        return self._extreme(torch.amax)

    def conjugate(self, y: Tensor) -> Tensor:
        return (y.square() / (2 * self.weight)).sum(-1)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return z / (1 + step * self.weight)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return z * (self.weight / (self.weight + step))

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        grad.div_(1 + step * self.weight)
        return grad, (self._in_weight(-step * kept * grad) if parameters else ())

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        grad.mul_(self.weight / (self.weight + step))
        # with p the prox: dp/dλ = σ p / (λ (λ + σ)), and grad already holds the factor λ / (λ + σ)
        return grad, (self._in_weight(step * kept * grad / self.weight**2) if parameters else ())

    def _in_weight(self, gradient: Tensor) -> tuple[Tensor, ...]:
        return (gradient.sum_to_size(self.weight.shape),) if isinstance(self.weight, Tensor) else ()

    def _extreme(self, over: Callable[..., Tensor]) -> Number:
        """Of the weights, for each sample where they differ."""
        weight = self.weight
        if not isinstance(weight, Tensor) or weight.ndim == 0:
            return weight
        return over(weight, dim=-1, keepdim=True)
