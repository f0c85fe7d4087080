"""The conjugate of a function, as a function; and the norms that are conjugates of balls."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from ergodual.functions.balls import L1Ball, L2Ball
from ergodual.functions.base import ProxGradient
from ergodual.functions.wrapped import Wrapped
from ergodual.tensors import Number, real, require_weight, share_within, shown


class Conjugate(Wrapped):
    """f*, of a function f that knows its value, conjugate and proxes.

    f** = f where f is closed and convex, and prox_{τf*} is f's ``prox_conjugate`` (Parikh, Boyd,
    "Proximal algorithms", 2014, 2.5). ``Conjugate(Simplex())`` is x ↦ max x_i.

    Parameters
    ----------
    function
        f.

    Examples
    --------
    >>> z = torch.tensor([[3.0, -0.5]])
    >>> ed.Conjugate(ed.L1()).prox(z, 1.0)  # onto the ball of the dual norm
    tensor([[ 1.0000, -0.5000]])
    """

    example: ClassVar[str] = "Conjugate(Simplex())"

    def value(self, x: Tensor) -> Tensor:
        return self.function.conjugate(x)

    def conjugate(self, y: Tensor) -> Tensor:
        return self.function.value(y)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return self.function.prox_conjugate(z, step)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return self.function.prox(z, step)

    def prox_(self, z: Tensor, step: Number) -> Tensor:
        return self.function.prox_conjugate_(z, step)

    def prox_conjugate_(self, z: Tensor, step: Number) -> Tensor:
        return self.function.prox_(z, step)

    def strong_convexity(self) -> float:
        smoothness = self.function.smoothness()
        return 1 / smoothness if smoothness > 0 else math.inf

    def smoothness(self) -> float:
        convexity = self.function.strong_convexity()
        return 1 / convexity if convexity > 0 else math.inf

    def keeps_input(self) -> bool:
        return self.function.keeps_input()

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        return self.function.prox_conjugate_vjp(kept, step, grad, parameters)

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        return self.function.prox_vjp(kept, step, grad, parameters)


class _Norm(Conjugate):
    """w times the norm whose dual's ball of radius w is given."""

    function: L1Ball | L2Ball
    ball: ClassVar[type[L1Ball | L2Ball]]

    def __init__(self, weight: Number = 1.0) -> None:
        said = f"{type(self).__name__}'s weight"
        require_weight(said, real(said, weight))
        super().__init__(self.ball(weight))

    @property
    def weight(self) -> Number:
        """w."""
        return self.function.radius

    def require_valid(self) -> None:
        require_weight(f"{type(self).__name__}'s weight", self.weight)

    def share_in_domain(self, y: Tensor) -> Tensor:
        return share_within(self.function.sizes(y), self.weight)

    def extra_repr(self) -> str:
        return f"weight={shown(self.weight)}"


class L2(_Norm):
    """f(x) = w ‖x‖₂ of each sample; :class:`~ergodual.L21` is the sum over groups.

    prox_{τf}(z) = z max(0, 1 − τw/‖z‖), and f* is the indicator of ‖y‖₂ ≤ w (Parikh, Boyd,
    "Proximal algorithms", 2014, 6.5.1). As a data term it is the square-root lasso's.

    Parameters
    ----------
    weight
        w ≥ 0: a number, a tensor of one, or one with as many axes as the batch and a row for each
        sample, ``(batch, 1, …)``; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a weight is negative or infinite.

    Examples
    --------
    >>> ed.L2(1.0).prox(torch.tensor([[3.0, 4.0]]), 1.0)
    tensor([[2.4000, 3.2000]])
    """

    ball = L2Ball


class LInf(_Norm):
    """f(x) = w max_i |x_i| of each sample.

    prox_{τf}(z) = z − τ P(z/τ) with P the projection onto ‖y‖₁ ≤ w, of which f* is the indicator
    (Parikh, Boyd, "Proximal algorithms", 2014, 6.5.2).

    Parameters
    ----------
    weight
        w ≥ 0, as of :class:`L2`.

    Raises
    ------
    ErgodualError
        If a weight is negative or infinite.

    Examples
    --------
    >>> ed.LInf(1.0).prox(torch.tensor([[3.0, 1.0]]), 1.0)
    tensor([[2., 1.]])
    """

    ball = L1Ball
