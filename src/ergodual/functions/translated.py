"""Translated functions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function, ProxGradient
from ergodual.functions.wrapped import Wrapped, moved_value
from ergodual.tensors import Number, hold, holds, real, require_finite, shown, total


class Translated(Wrapped):
    """x ↦ f(x − b).

    prox_τ(z) = b + prox_{τf}(z − b); the conjugate is f*(y) + ⟨b, y⟩, and its prox
    prox_{σf*}(z − σb) (Combettes, Pesquet, "Proximal splitting methods in signal processing",
    2011, Table 10.1).

    Parameters
    ----------
    function
        f.
    shift
        b: a tensor that broadcasts against a sample, or against the batch if it has as many axes;
        an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a shift is not finite.

    Examples
    --------
    >>> ed.Translated(ed.L1(), 2.0).prox(torch.tensor([[5.0, 2.5]]), 1.0)
    tensor([[4., 2.]])
    """

    own: ClassVar[tuple[str, ...]] = ("shift",)
    example: ClassVar[str] = "Translated(L1(), b)"
    shift: Number

    def __init__(self, function: Function, shift: Number) -> None:
        super().__init__(function)
        hold(self, "shift", real("Translated's shift", shift))
        self._require_own()

    def _require_own(self) -> None:
        require_finite("Translated's shift", self.shift)

    def require_valid(self) -> None:
        self._require_own()
        super().require_valid()

    def value(self, x: Tensor) -> Tensor:
        return moved_value(self.function.value, self.function.prox, x, self.shift)

    def conjugate(self, y: Tensor) -> Tensor:
        return self.function.conjugate(y) + total(self.shift * y)

    def share_in_domain(self, y: Tensor) -> Tensor:
        return self.function.share_in_domain(y)

    def domain_indicator(self) -> Function | None:
        inner = self.function.domain_indicator()
        return None if inner is None else self.around(inner)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return self.shift + self.function.prox(z - self.shift, step)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return self.function.prox_conjugate(z - step * self.shift, step)

    def strong_convexity(self) -> float:
        return self.function.strong_convexity()

    def smoothness(self) -> float:
        return self.function.smoothness()

    def keeps_input(self) -> bool:
        return True  # b + prox(z − b) − b is not prox(z − b): what it says of a bound would be lost

    def encloses_zero(self) -> bool:
        shift = torch.as_tensor(self.shift)
        at = -(shift if shift.ndim else shift.view(1))
        # one shift for all samples, or a row for each: that is not known here
        return any(self._is_finite(x) for x in (at[None], *([at] if at.ndim > 1 else [])))

    def _is_finite(self, x: Tensor) -> bool:
        """Whether f is, of all samples; as far as is known, if f takes others."""
        try:
            return holds(self.function.value(x).isfinite())
        except (ErgodualError, NotImplementedError, RuntimeError):
            return True

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        before = grad.clone() if parameters and self._own() else grad
        z = kept - self.shift
        inner = z if self.function.keeps_input() else self.function.prox(z, step)
        result, found = self.function.prox_vjp(inner, step, grad, parameters)
        if not parameters:
            return result, ()
        own = tuple((before - result).sum_to_size(b.shape) for b in self._own())
        return result, own + found

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        z = kept - step * self.shift
        inner = z if self.function.keeps_input() else self.function.prox_conjugate(z, step)
        result, found = self.function.prox_conjugate_vjp(inner, step, grad, parameters)
        if not parameters:
            return result, ()
        own = tuple((-step * result).sum_to_size(b.shape) for b in self._own())
        return result, own + found

    def extra_repr(self) -> str:
        return f"shift={shown(self.shift)}"
