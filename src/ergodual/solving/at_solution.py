"""What all rules for gradients at a solution share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ergodual.autocast import in_own_type
from ergodual.errors import ErgodualError
from ergodual.functions.learned_prox import require_functions
from ergodual.instance import Instance
from ergodual.operators.unmatched import require_adjoint
from ergodual.primal_dual.entropy import Entropic
from ergodual.primal_dual.forward import estimate
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.primal_dual.inputs import Inputs
from ergodual.primal_dual.plan import Plan
from ergodual.primal_dual.steps import Steps
from ergodual.tensors import Number, require, transformed


class FixedPoint(NamedTuple):
    """Iterates that a primal-dual step leaves where they are, nearly.

    r = prox_{τG}(z_P) and y = prox_{σF*}(z_D).

    Attributes
    ----------
    instance
        What was solved.
    r, y
        ``(batch, *domain)`` and ``(batch, *codomain)``.
    sigma, tau
        Of the step: numbers, or tensors that broadcast against y and r where samples, or
        coordinates, have steps of their own.
    theta
        Of the step.
    """

    instance: Instance
    r: Tensor
    y: Tensor
    sigma: Number
    tau: Number
    theta: float

    @property
    def z_primal(self) -> Tensor:
        """r − τKᵀy."""
        return self.r - self.tau * self.instance.K.adjoint(self.y, self.instance.domain)

    @property
    def z_dual(self) -> Tensor:
        """y + σ(K(r + shift) + offset)."""
        return self.y + self.sigma * (self.instance.constant() + self.instance.K(self.r))

    def collect(self, sums: Sums, g: Tensor, wanted: Wanted) -> Gradients:
        """The gradients that reverse steps bring which all were taken here, (10) among them."""
        one, found = self.instance, Gradients(wanted)
        F, G, K = one.F, one.G, one.K
        if id(G) in wanted.modules:
            kept = self.z_primal if G.keeps_input() else self.r
            found.add(G, G.prox_vjp(kept, self.tau, sums.into_P / self.tau, True)[1], 1.0)
        if id(F) in wanted.modules:
            kept = self.z_dual if F.keeps_input() else self.y
            into = sums.into_S / self.sigma
            found.add(F, F.prox_conjugate_vjp(kept, self.sigma, into, True)[1], 1.0)
        if id(K) in wanted.modules:
            totals = found.totals(K)
            K.gradients_onto(totals, sums.S, one.estimate(self.r), 1.0)
            K.gradients_onto(totals, self.y, sums.P, -1.0)
        found.add_named("offset", sums.S)
        if "shift" in wanted.names:
            found.add_named("shift", g + K.adjoint(sums.S, one.domain))
        return found


class Sums(NamedTuple):
    """Of the steps of a reverse sweep that stands still at a fixed point.

    Attributes
    ----------
    P, S
        P = τ Σ_k δ_P^k and S = σ Σ_k δ_D^k, ``(batch, *domain)`` and ``(batch, *codomain)``.
    into_P, into_S
        What the derivatives of the proxes made them of: P = prox'_{τG}(into_P),
        S = prox'_{σF*}(into_S).
    """

    P: Tensor
    S: Tensor
    into_P: Tensor
    into_S: Tensor


class AtSolution:
    """A rule for gradients that needs the solution and nothing of the way there.

    In ``Unrolled`` it takes the last iterates for the solution, and an average of iterates for one
    of their copies; in ``Solved`` it has the solution. Differentiable once.
    """

    def check(self, one: Instance) -> None:
        """Raise :class:`ErgodualError` if this rule cannot serve the problem."""

    def __call__(self, instances: Sequence[Instance], steps: Steps, weights: Tensor) -> Tensor:
        """x̂ of the iterations, with gradients that are right at their limit.

        Raises
        ------
        ErgodualError
            If the iterations have problems of their own, so that they have no common solution, or
            the operator is :class:`~ergodual.Unmatched`, or F or G a
            :class:`~ergodual.LearnedProx`.
        """
        one = instances[0]
        if any(other is not one for other in instances):
            raise ErgodualError(
                f"{type(self).__name__} differentiates at the solution of one problem, and these "
                "iterations have problems of their own; take Reverse()."
            )
        require_adjoint(one.K)
        require_functions(one.F, one.G)
        require(
            not isinstance(one.G, Entropic),
            f"{type(self).__name__} reads off the last iterates which bounds are met, and entropy "
            "steps meet none; take Reverse() or Tape(), or other steps.",
        )
        self.check(one)
        self.require_no_transform()
        with torch.no_grad():
            plan = Plan.read(instances, steps, weights)
            sigma, tau, theta = plan.sigma[-1], plan.tau[-1], plan.theta[-1]
            x_hat, last = estimate(plan)
            point = FixedPoint(one, last.r[1], last.y[0], sigma, tau, theta)
        return self.attach(point, x_hat)

    def attach(self, point: FixedPoint, x_hat: Tensor) -> Tensor:
        """x̂ with the gradient of this rule at a fixed point."""
        self.require_no_transform()
        inputs = Inputs([point.instance])
        return _Attached.apply(self, point, x_hat, inputs, *inputs.tensors.values())  # type: ignore[no-any-return,no-untyped-call]

    def require_no_transform(self) -> None:
        """Raise :class:`ErgodualError` under the transforms of ``torch.func``."""
        if transformed():
            raise ErgodualError(
                f"{type(self).__name__} needs the numbers of a solution and gives first "
                "derivatives, so that torch.func and forward mode do not get through; take "
                "torch.autograd, or Reverse() in Unrolled."
            )

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> Gradients:
        """From g, that in x̂: the gradients in the offsets and the problem's tensors."""
        raise NotImplementedError


class _Attached(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rule: AtSolution,
        point: FixedPoint,
        x_hat: Tensor,
        inputs: Inputs,
        *tensors: Tensor,
    ) -> Tensor:
        ctx.rule, ctx.inputs = rule, inputs
        ctx.point = point._replace(instance=ctx.inputs.instances[0].detached())
        ctx.save_for_backward(*tensors)
        return x_hat.clone()

    @staticmethod
    @in_own_type
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # torch refuses where one was changed in place
        if torch.is_grad_enabled():
            raise ErgodualError(
                f"{type(ctx.rule).__name__} gives first derivatives only; where create_graph is "
                "asked, take Tape() or Reverse() in Unrolled."
            )
        if transformed(g):
            raise ErgodualError(
                f"{type(ctx.rule).__name__} takes one gradient at a time; leave out "
                "is_grads_batched and vectorize, or take Reverse() in Unrolled."
            )
        wanted = ctx.inputs.wanted(ctx.needs_input_grad[4:])
        found = ctx.rule.gradients(ctx.point, g, wanted)
        return None, None, None, None, *ctx.inputs.in_order(found)
