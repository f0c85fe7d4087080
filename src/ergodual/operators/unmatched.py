"""An operator whose way back is not its adjoint."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Layout, Operator
from ergodual.tensors import require


class Unmatched(Operator):
    """x ↦ Kx on the way there and y ↦ Wᵀy, not Kᵀy, on the way back, both learned.

    So the iterations of ``Unrolled`` minimise nothing: they are layers r⁺ = prox_G(r − τWᵀy⁺) of a
    network, as in Brauer, Lorenz, "Primal-dual residual networks", arXiv 1806.05823. Their
    derivative is as exact as any, but there is no solution, and ``solve``, ``Solved``, gaps, rules
    for derivatives at a solution and :class:`~ergodual.Preconditioned` refuse it. With W = K it is
    K.

    Parameters
    ----------
    forward, back
        K and W, with the same domain and codomain.

    Raises
    ------
    ErgodualError
        If one of them is no operator, or, when an input comes, their codomains differ.

    Examples
    --------
    >>> there, back = (torch.randn(8, 1, 5) for _ in range(2))
    >>> K = ed.Unmatched(ed.Conv(there), ed.Conv(back))
    >>> network = ed.Unrolled([ed.Problem(ed.L1(0.1), ed.SquaredL2(), K)])
    >>> network(torch.randn(2, 1, 32)).shape
    torch.Size([2, 1, 32])
    """

    def __init__(self, forward: Operator, back: Operator) -> None:
        super().__init__()
        for part in (forward, back):
            require(
                isinstance(part, Operator),
                f"Unmatched got a {type(part).__name__}; give two operators from one domain to one "
                "codomain.",
            )
        self.there, self.back = forward, back

    def forward(self, x: Tensor) -> Tensor:
        return self.there(x)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        """Wᵀy."""
        return self.back.adjoint(y, domain)

    def codomain(self, domain: Size) -> Size:
        there, back = self.there.codomain(domain), self.back.codomain(domain)
        if there != back:
            raise ErgodualError(
                f"The two operators of Unmatched make {tuple(there)} and {tuple(back)} of samples "
                f"of shape {tuple(domain)}; they must agree."
            )
        return there

    def domain(self, codomain: Size) -> Size:
        return self.there.domain(codomain)

    def layout(self, domain: Size) -> Layout:
        return self.there.layout(domain)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.there.tensors() + self.back.tensors()

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        return (*self.there.gradients(dual, primal), *(None for _ in self.back.tensors()))

    def gradients_onto(
        self, totals: list[Tensor | None], dual: Tensor, primal: Tensor, scale: float
    ) -> None:
        count = len(self.there.tensors())
        found = totals[:count]
        self.there.gradients_onto(found, dual, primal, scale)
        totals[:count] = found

    def way_back_gradients_onto(
        self, totals: list[Tensor | None], dual: Tensor, primal: Tensor, scale: float
    ) -> None:
        count = len(self.there.tensors())
        found = totals[count:]
        self.back.gradients_onto(found, dual, primal, scale)
        totals[count:] = found

    def reversed(self) -> Operator:
        """W there and Kᵀ back, as the derivative goes."""
        return Unmatched(self.back, self.there)

    def norm(self, domain: Size | None = None) -> Tensor:
        """√(‖K‖ ‖W‖), which the step sizes follow."""
        return (self.there.norm(domain) * self.back.norm(domain)).sqrt()

    def norm_bound(self, domain: Size | None = None) -> float:
        return math.sqrt(self.there.norm_bound(domain) * self.back.norm_bound(domain))


def is_unmatched(K: Operator) -> bool:
    """Whether K is, or holds, an :class:`Unmatched`."""
    return any(isinstance(part, Unmatched) for part in K.modules())


def require_adjoint(K: Operator) -> None:
    """Raise :class:`ErgodualError` where K's way back is not its adjoint."""
    require(
        not is_unmatched(K),
        "The operator is Unmatched: its way back is not its adjoint, so that its iterations "
        "minimise nothing and there is no solution, no gap, no derivative at a solution and no "
        "step of which a matrix tells that it is safe; take Unrolled with Reverse() or Tape() and "
        "StepSizes, or one operator for both ways.",
    )


def require_outermost(operators: Iterable[Operator]) -> None:
    """Raise :class:`ErgodualError` where an :class:`Unmatched` is a part of another operator."""
    require(
        all(isinstance(K, Unmatched) or not is_unmatched(K) for K in operators),
        "An Unmatched operator is a part of another one here, as of an InverseProblem's stack, and "
        "the reverse sweep is of a whole one; take adjoint=ed.Tape().",
    )
