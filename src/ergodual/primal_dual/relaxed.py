"""Iterations that go less or more than all the way of their step."""

from __future__ import annotations

from torch import Size, Tensor

from ergodual.primal_dual.steps import (
    LEAST,
    Operators,
    Steps,
    StepSizes,
    of_iterations,
    require_in_range,
)
from ergodual.tensors import Number, hold, real, require, shown


class Relaxed(StepSizes):
    """A rule whose iterations go ρ_k of the way that the step goes: overrelaxation for ρ_k > 1.

        ỹ^k = prox_{σF*}(y^{k−1} + σKr̄^{k−1}),    y^k = y^{k−1} + ρ_k (ỹ^k − y^{k−1}),
        r̃^k = prox_{τG}(r^{k−1} − τKᵀy^k),        r^k = r^{k−1} + ρ_k (r̃^k − r^{k−1}),
        r̄^k = r̃^k + θ_k (r̃^k − r^{k−1}),

    of r + x̃ in ``Problem``. With θ = 1, σ τ ‖K‖² < 1 and a ρ in (0, 2) that is constant from some
    iteration on, they converge (Condat, JOTA 2013, Theorem 3.2); 1.8 halves
    the iterations of total variation, and where the active set has settled it may take more. The
    output is made of the r̃^k, which G allows, and an average with weights ∝ ρ_k keeps its rate 1/d
    (Chambolle, Pock 2016, Section 4.1). Gradients by :class:`~ergodual.Reverse`, in twice the
    memory that it takes else, and by :class:`~ergodual.Tape`.

    Parameters
    ----------
    rule
        That of σ, τ and θ.
    rho
        ρ, of shape ``()`` or ``(depth,)``; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If an argument is something else, or a ρ is not between 0 and 2.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.SquaredL2(), K=ed.Gradient())
    >>> steps = ed.Relaxed(ed.StepSizes.balanced(), rho=1.8)
    >>> model = ed.Unrolled(problem, depth=100, steps=steps, output=ed.Last())
    >>> model(torch.tensor([[0.0, 0.0, 9.0]]))
    tensor([[0.5000, 0.5000, 8.0000]])
    """

    rho: Number

    def __init__(self, rule: StepSizes, rho: Number) -> None:
        super().__init__()
        require(
            isinstance(rule, StepSizes) and not rule.entropic,
            f"Relaxed got {rule!r}; it must be a rule, as ed.StepSizes.balanced() (not Entropy).",
        )
        rho = real("The relaxation rho", rho)
        ends = (rho > 0) & (rho < 2)
        require_in_range(ends, "The relaxation rho", rho, "between 0 and 2 (1 is none)")
        self.rule = rule
        hold(self, "rho", rho)

    def extra_repr(self) -> str:
        return f"rho={shown(self.rho)}"

    def prepare(self, K: Operators, depth: int) -> None:
        self.rule.prepare(K, depth)

    def given(self) -> bool:
        return self.rule.given()

    def project_(self) -> None:
        """Keep a learned ρ a millionth within 0 and 2."""
        held = self._parameters.get("rho")
        if held is not None:
            held.data.clamp_(LEAST, 2 - LEAST)

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        steps: Steps = self.rule(K, depth, domain, like)
        return steps._replace(rho=of_iterations("rho", self.rho, depth, steps.theta))
