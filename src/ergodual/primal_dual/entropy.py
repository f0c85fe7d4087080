"""Steps that entropies measure in place of squares, on simplices and under the ℓ1 norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.functions import L1, Conjugate, Function, GroupSum, SeparableSum, Simplex, Tilted
from ergodual.functions.base import ProxGradient
from ergodual.instance import Instance
from ergodual.primal_dual.gradients import Wanted
from ergodual.primal_dual.steps import Operators, Steps, StepSizes
from ergodual.tensors import Number, require


class Entropy(StepSizes):
    """A rule whose steps stay inside simplices: Bregman steps, smooth in all that they depend on.

    With ψ the entropy Σ r_i log r_i in the place of ‖r‖²/2, a step on the simplex Σ r_i = s is

        r^k = argmin_r ⟨Kᵀy^k + c, r⟩ + D_ψ(r, r^{k−1})/τ,  r_i^k ∝ r_i^{k−1} exp(−τ(Kᵀy^k + c)_i),

    and the same with Kr̄ and −σ where F* is one (Chambolle, Pock, "On the ergodic convergence rates
    of a first-order primal-dual algorithm", Math. Prog. 2016, Algorithm 1). Of F = ``L1(w)``, whose
    dual is |y_i| ≤ w_i, it is artanh(y^k/w) = artanh(y^{k−1}/w) + σKr̄ (Ochs, Ranftl, Brox, Pock,
    "Techniques for gradient-based bilevel optimization with non-smooth lower level problems", JMIV
    2016). They begin at r_i = s/n and y = 0, with logarithms kept, so that nothing under- or
    overflows. No step meets a bound, so that x̂ has all derivatives.

    F is ``Conjugate(Simplex())`` or ``L1``, and G is ``Simplex``, each a simplex of the whole
    sample; with ``GroupSum``, of each group, as of the labels of each pixel; with ``Tilted``, the
    linear term ⟨c, r⟩ besides. Averages have their rate 1/d where σ τ s_F s_G L² ≤ 1, L being
    max |K_ij| of two simplices, or ‖K‖, as the rules take it; under ``L1`` s_F is max w_i. That is
    not checked. Gradients by :class:`~ergodual.Reverse` and :class:`~ergodual.Tape`.

    Parameters
    ----------
    rule
        That of σ, τ and θ, one number of each for an iteration.

    Raises
    ------
    ErgodualError
        If the rule is something else or relaxed, or, when it is used, F or G is no such function.

    Examples
    --------
    Rock, paper, scissors, if a win by rock counts twice:

    >>> K = torch.tensor([[0.0, 1.0, -2.0], [-1.0, 0.0, 1.0], [2.0, -1.0, 0.0]])
    >>> game = ed.InverseProblem(A=ed.Dense(K), data=ed.Conjugate(ed.Simplex()), G=ed.Simplex())
    >>> steps = ed.Entropy(ed.StepSizes.fixed(0.5, 0.5))
    >>> model = ed.Unrolled(game, depth=200, steps=steps, output=ed.Ergodic("uniform"))
    >>> model(torch.zeros(1, 3)).round(decimals=2)
    tensor([[0.2500, 0.5000, 0.2500]], grad_fn=<RoundBackward1>)
    """

    entropic: ClassVar[bool] = True

    def __init__(self, rule: StepSizes) -> None:
        super().__init__()
        require(
            isinstance(rule, StepSizes) and not rule.entropic,
            f"Entropy got {rule!r}; it must be a rule, as ed.StepSizes.balanced().",
        )
        self.rule = rule

    def prepare(self, K: Operators, depth: int) -> None:
        self.rule.prepare(K, depth)

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        steps: Steps = self.rule(K, depth, domain, like)
        require(
            steps.rho is None,
            "Entropy got relaxed steps, which would leave simplices; give others.",
        )
        return steps

    def measured(self, instances: Sequence[Instance]) -> list[Instance]:
        made: dict[int, Entropic] = {}
        for one in instances:
            made.setdefault(id(one.F), Entropic(one.F, conjugate=True))
            made.setdefault(id(one.G), Entropic(one.G, conjugate=False))
        posed = {id(one): one._replace(F=made[id(one.F)], G=made[id(one.G)]) for one in instances}
        return [posed[id(one)] for one in instances]


class Entropic(Function):
    """A function whose steps an entropy measures; it has no prox.

    Parameters
    ----------
    function
        f.
    conjugate
        Whether the steps are those of f*.
    """

    def __init__(self, function: Function, conjugate: bool) -> None:
        super().__init__()
        self.function, self.conjugated = function, conjugate

    def tensors(self) -> tuple[Tensor, ...]:
        return self.function.tensors()

    def start(self, zeros: Tensor) -> Tensor:
        """The point whose logarithms are equal."""
        return self.step(zeros, 0.0)[1]

    def step(self, z: Tensor, step: Number) -> tuple[Tensor, Tensor]:
        """From logarithms z that have moved along the operator's product: those of the point that
        the step arrives at, and the point.
        """
        return _step(self.function, z, step, self.conjugated)

    def step_vjp(
        self, logs: Tensor | None, step: Number, in_logs: Tensor, in_point: Tensor, wanted: Wanted
    ) -> ProxGradient:
        """Vector–Jacobian product of :meth:`step`.

        Parameters
        ----------
        logs
            The logarithms that it gave.
        step
            The step.
        in_logs, in_point
            The gradients with respect to these, and to the point.
        wanted
            Whether the gradients in :meth:`tensors` are wanted too.

        Returns
        -------
        As of :meth:`Function.prox_vjp`.
        """
        assert logs is not None
        parameters = id(self) in wanted.modules
        learned = [t for t in self.tensors() if t.requires_grad] if parameters else []
        # f's linear term has no value but a derivative: as if the step began behind it
        behind = logs - self.step(torch.zeros_like(logs), step)[0].detach()
        with torch.enable_grad():
            z = behind.requires_grad_()
            found = torch.autograd.grad(
                self.step(z, step), [z, *learned], [in_logs, in_point], allow_unused=True
            )
        if not parameters:
            return found[0], ()
        each = iter(found[1:])
        return found[0], tuple(next(each) if t.requires_grad else None for t in self.tensors())


def _step(f: Function, z: Tensor, step: Number, conjugate: bool) -> tuple[Tensor, Tensor]:
    """See :meth:`Entropic.step`."""
    if isinstance(f, Conjugate):
        return _step(f.function, z, step, not conjugate)
    if isinstance(f, SeparableSum):
        made = [_step(part, at, step, conjugate) for part, at in f._split(z)]
        logs, point = (
            torch.cat([t.flatten(1) for t in each], 1) for each in zip(*made, strict=True)
        )
        return logs, point
    if isinstance(f, L1) and conjugate:
        return z, f.weight * z.tanh()
    if isinstance(f, Tilted) and not conjugate:
        return _step(f.function, z - step * f.slope, step, False)
    if isinstance(f, Simplex) and not conjugate:
        logs = z.flatten(1).log_softmax(1).view_as(z)
        return logs, f.total * logs.exp()
    if isinstance(f, GroupSum) and not conjugate:
        *parts, free = f._split(z)
        if not free.numel():
            rows = zip(parts, f._weights(z), strict=True)
            made = [_step(f.function, part, w * step, False) for part, w in rows]
            logs, point = (f._joined([*each, free], z) for each in zip(*made, strict=True))
            return logs, point
    raise ErgodualError(
        f"Entropy steps of {type(f).__name__}{' as F' if conjugate else ''} are not known; they "
        "are of a G that is Simplex, GroupSum of it in every coordinate, or Tilted of these, and "
        "of an F that is L1 or the Conjugate of those."
    )
