"""Linear functions, alone and added to others."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ergodual.functions.base import Function, ProxGradient
from ergodual.functions.quadratic import Zero
from ergodual.functions.wrapped import Wrapped, moved_value
from ergodual.tensors import Number, hold, real, require_finite, shown, total


class Tilted(Wrapped):
    """x ↦ f(x) + ⟨c, x⟩.

    prox_τ(z) = prox_{τf}(z − τc); the conjugate is f*(y − c), and its prox c + prox_{σf*}(z − c)
    (Combettes, Pesquet, "Proximal splitting methods in signal processing", 2011, Table 10.1). With
    :class:`~ergodual.NonNegative` or :class:`~ergodual.Box` it is a linear program's objective.

    Parameters
    ----------
    function
        f.
    slope
        c: a number, or a tensor that broadcasts against a sample, or against the batch if it has as
        many axes; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a slope is not finite.

    Examples
    --------
    >>> ed.Tilted(ed.NonNegative(), 1.0).prox(torch.tensor([[3.0, 0.5]]), 1.0)
    tensor([[2., 0.]])
    """

    own: ClassVar[tuple[str, ...]] = ("slope",)
    example: ClassVar[str] = "Tilted(NonNegative(), costs)"
    slope: Number

    def __init__(self, function: Function, slope: Number) -> None:
        super().__init__(function)
        hold(self, "slope", real(f"{type(self).__name__}'s slope", slope))
        self._require_own()

    def _require_own(self) -> None:
        require_finite(f"{type(self).__name__}'s slope", self.slope)

    def require_valid(self) -> None:
        self._require_own()
        super().require_valid()

    def value(self, x: Tensor) -> Tensor:
        return self.function.value(x) + total(self.slope * x)

    def conjugate(self, y: Tensor) -> Tensor:
        f = self.function
        return moved_value(f.conjugate, f.prox_conjugate, y, self.slope)

    def domain_indicator(self) -> Function | None:
        return self.function.domain_indicator()

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return self.function.prox(z - step * self.slope, step)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return self.slope + self.function.prox_conjugate(z - self.slope, step)

    def strong_convexity(self) -> float:
        return self.function.strong_convexity()

    def smoothness(self) -> float:
        return self.function.smoothness()

    def keeps_input(self) -> bool:
        return True  # as Translated

    def encloses_zero(self) -> bool:
        return self.function.encloses_zero()

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        z = kept - step * self.slope
        inner = z if self.function.keeps_input() else self.function.prox(z, step)
        result, found = self.function.prox_vjp(inner, step, grad, parameters)
        if not parameters:
            return result, ()
        own = tuple((-step * result).sum_to_size(c.shape) for c in self._own())
        return result, own + found

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        before = grad.clone() if parameters and self._own() else grad
        z = kept - self.slope
        inner = z if self.function.keeps_input() else self.function.prox_conjugate(z, step)
        result, found = self.function.prox_conjugate_vjp(inner, step, grad, parameters)
        if not parameters:
            return result, ()
        own = tuple((before - result).sum_to_size(c.shape) for c in self._own())
        return result, own + found

    def extra_repr(self) -> str:
        return f"slope={shown(self.slope)}"


class Linear(Tilted):
    """f(x) = ⟨c, x⟩.

    prox_{τf}(z) = z − τc, and f* is the indicator of {c} (Parikh, Boyd, "Proximal algorithms",
    2014, 6.1.1).

    Parameters
    ----------
    slope
        c, as of :class:`Tilted`.

    Examples
    --------
    >>> ed.Linear(torch.tensor([1.0, 2.0])).value(torch.tensor([[3.0, 4.0]]))
    tensor([11.])
    """

    def __init__(self, slope: Number) -> None:
        super().__init__(Zero(), slope)
