"""Step sizes of a rule for the first iterations, and of another one ever after."""

from __future__ import annotations

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators import Operator
from ergodual.primal_dual.steps import Operators, Steps, StepSizes
from ergodual.tensors import require


class Steady(StepSizes):
    """A rule for the first iterations and a constant one from there, so that a network which has
    learned its first steps goes on to convergence at any depth.

    With σ τ ‖K‖² < 1 and θ = 1 beyond the first iterations, r^k and y^k converge to a solution and
    its dual wherever those end (Chambolle, Pock 2011): set ``depth`` higher than it was in the
    training, or hand the output to ``solve(start=)``.

    Parameters
    ----------
    rule
        Of the first iterations, as ``StepSizes.learned(per_iteration=True, relative=True)``; with
        θ an nn.Parameter of shape ``(first,)`` that is learned too.
    first
        How many there are.
    then
        Of the others; ``StepSizes.balanced()`` if None. A weight that is an nn.Parameter is learned
        where the depth is above ``first``.

    Raises
    ------
    ErgodualError
        If an argument is something else, or there are problems for fewer iterations.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> steps = ed.Steady(ed.StepSizes.learned(per_iteration=True, relative=True), first=8)
    >>> model = ed.Unrolled(problem, depth=12, steps=steps, output=ed.Last())
    >>> model.depth = 100  # goes on with steps that converge
    """

    def __init__(self, rule: StepSizes, first: int, then: StepSizes | None = None) -> None:
        super().__init__()
        then = StepSizes.balanced() if then is None else then
        for each in (rule, then):
            require(
                isinstance(each, StepSizes) and not each.entropic,
                f"Steady got {each!r}; it must be a rule, as ed.StepSizes.balanced() (Entropy "
                "goes around Steady).",
            )
        require(
            isinstance(first, int) and first >= 1,
            f"The number of first iterations is {first}; it must be a whole number, at least 1.",
        )
        self.rule, self.first, self.then = rule, first, then

    def extra_repr(self) -> str:
        return f"first={self.first}"

    def prepare(self, K: Operators, depth: int) -> None:
        self.rule.prepare(self._first(K), self.first)
        if depth > self.first:
            self.then.prepare(K if isinstance(K, Operator) else K[self.first :], depth - self.first)

    def given(self) -> bool:
        return self.rule.given() and self.then.given()

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        begun = self.rule(self._first(K), self.first, domain, like)
        if depth <= self.first:
            return Steps(*(None if t is None else t[:depth] for t in begun))  # type: ignore[arg-type]
        rest = K if isinstance(K, Operator) else K[self.first :]
        others = self.then(rest, depth - self.first, domain, like)
        if (begun.rho is None) != (others.rho is None):
            begun, others = (
                s if s.rho is not None else s._replace(rho=torch.ones_like(s.theta))
                for s in (begun, others)
            )
        return Steps(*map(_joined, begun, others))  # type: ignore[arg-type]

    def _first(self, K: Operators) -> Operators:
        if isinstance(K, Operator):
            return K
        if len(K) < self.first:
            raise ErgodualError(
                f"The first {self.first} iterations have steps of their own, and there are "
                f"problems for {len(K)}; give Steady as many or fewer."
            )
        return K[: self.first]


def _joined(begun: Tensor | None, rest: Tensor | None) -> Tensor | None:
    """One after the other, by part where one of them is."""
    if begun is None or rest is None:
        return None
    parts = max(begun.shape[1:], rest.shape[1:])
    if parts:
        begun, rest = (
            (t[:, None] if t.ndim == 1 else t).expand(len(t), *parts) for t in (begun, rest)
        )
    return torch.cat([begun, rest])
