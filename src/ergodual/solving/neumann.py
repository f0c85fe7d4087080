"""Gradients at a solution, from the last iterates alone: by reverse steps that stand still there.

And what all such rules share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.instance import Instance
from ergodual.primal_dual.backward import Segment, sweep_backward
from ergodual.primal_dual.forward import Trajectory, estimate
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.primal_dual.inputs import Inputs
from ergodual.primal_dual.plan import Plan
from ergodual.primal_dual.steps import Steps
from ergodual.tensors import Number


class FixedPoint(NamedTuple):
    """Iterates that a primal-dual step leaves where they are, nearly.

    r = prox_{τG}(z_P) and y = prox_{σF*}(z_D).

    Attributes
    ----------
    instance
        What was solved.
    r, y
        ``(batch, *domain)`` and ``(batch, *codomain)``.
    sigma, tau, theta
        Of the step; σ may be a row of the steps of the dual's coordinates.
    """

    instance: Instance
    r: Tensor
    y: Tensor
    sigma: Number
    tau: float
    theta: float

    @property
    def norm(self) -> float:
        """The bound of ‖K‖ that the steps are made for."""
        return float((torch.as_tensor(self.sigma).min() * self.tau) ** -0.5)

    @property
    def z_primal(self) -> Tensor:
        """r − τKᵀy."""
        return self.r - self.tau * self.instance.K.adjoint(self.y, self.instance.domain)

    @property
    def z_dual(self) -> Tensor:
        """y + σ(K(r + shift) + offset)."""
        return self.y + self.sigma * (self.instance.constant() + self.instance.K(self.r))


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
            If the iterations have problems of their own: they have no common solution.
        """
        one = instances[0]
        if any(other is not one for other in instances):
            raise ErgodualError(
                f"{type(self).__name__} differentiates at the solution of one problem, and these "
                "iterations have problems of their own; take Reverse()."
            )
        self.check(one)
        with torch.no_grad():
            plan = Plan.read(instances, steps, weights)
            sigma, tau, theta = plan.sigma[-1], plan.tau[-1], plan.theta[-1]
            x_hat, last = estimate(plan)
            point = FixedPoint(one, last.r[1], last.y[0], sigma, tau, theta)
        return self.attach(point, x_hat)

    def attach(self, point: FixedPoint, x_hat: Tensor) -> Tensor:
        """x̂ with the gradient of this rule at a fixed point."""
        inputs = Inputs([point.instance])
        return _Attached.apply(self, point, x_hat, inputs, *inputs.tensors.values())  # type: ignore[no-any-return,no-untyped-call]

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> Gradients:
        """From g, that in x̂: the gradients in the offsets and the problem's tensors."""
        raise NotImplementedError


class Neumann(AtSolution):
    """b steps of the reverse sweep (7)–(10), all with the last iterates and their derivatives.

    Nothing is stored. With b growing it becomes the derivative at the solution, where there is one:
    the partial sums of its Neumann series (Brauer, Lorenz, "Asymptotic analysis and truncated
    backpropagation for the unrolled primal-dual algorithm", EUSIPCO 2023).

    Parameters
    ----------
    b
        The number of reverse steps.

    Raises
    ------
    ErgodualError
        If b is below 1.
    """

    def __init__(self, b: int) -> None:
        if not isinstance(b, int) or b < 1:
            raise ErgodualError(
                f"The number of reverse steps is {b}; it must be a whole number, at least 1."
            )
        self.b = b

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> Gradients:
        """See :class:`AtSolution`."""
        one, r, y, sigma, tau, theta = point
        b, before = self.b, 2  # so that r^(k−1) and r^(k−2) are r, not 0
        depth = b + before
        alpha = [0.0] * (depth - 1) + [1.0]
        plan = Plan.uniform(one, depth, sigma, tau, theta, alpha)
        iterates = Trajectory(
            y.expand(b + 1, *y.shape),
            r.expand(b + 2, *r.shape),
            point.z_dual.expand(b, *y.shape) if one.F.keeps_input() else None,
            point.z_primal.expand(b, *r.shape) if one.G.keeps_input() else None,
        )
        return sweep_backward(plan, [Segment(before, depth, iterates)], before, g, wanted)


class OneStep(Neumann):
    """One reverse step at the last iterates, as if their start were constant.

    The derivative of a single iteration (Bolte, Pauwels, Vaiter, "One-step differentiation of
    iterative algorithms", NeurIPS 2023): good where the iteration converges fast.
    """

    def __init__(self) -> None:
        super().__init__(1)


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
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # torch refuses where one was changed in place
        if torch.is_grad_enabled():
            raise ErgodualError(
                f"{type(ctx.rule).__name__} gives first derivatives only; where create_graph is "
                "asked, take Tape() or Reverse() in Unrolled."
            )
        wanted = ctx.inputs.wanted(ctx.needs_input_grad[4:])
        found = ctx.rule.gradients(ctx.point, g, wanted)
        return None, None, None, None, *ctx.inputs.in_order(found)
