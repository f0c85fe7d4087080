"""Gradients at a solution, from the last iterates alone: by reverse steps that stand still there, and what all such rules share."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ergodual.errors import ErgodualError
from ergodual.primal_dual.backward import Segment, Wanted, sweep_backward, wanted_of
from ergodual.primal_dual.forward import Numbers, Trajectory, estimate
from ergodual.primal_dual.steps import Steps
from ergodual.problem import Problem


class FixedPoint(NamedTuple):
    """Iterates that a primal-dual step leaves where they are, nearly: r = prox_{τG}(z_P) and y = prox_{σF*}(z_D).

    Attributes
    ----------
    problem, x_tilde
        What was solved.
    r, y
        ``(batch, n)`` and ``(batch, m)``.
    sigma, tau, theta
        Of the step.
    """

    problem: Problem
    x_tilde: Tensor
    r: Tensor
    y: Tensor
    sigma: float
    tau: float
    theta: float

    @property
    def norm(self) -> float:
        """The bound of ‖K‖ that the steps are made for."""
        return float((self.sigma * self.tau) ** -0.5)

    @property
    def z_primal(self) -> Tensor:
        """r − τKᵀy."""
        return self.r - self.tau * self.problem.K.adjoint(self.y)

    @property
    def z_dual(self) -> Tensor:
        """y + σK(x̃ + r)."""
        return self.y + self.sigma * self.problem.K(self.x_tilde + self.r)


class AtSolution:
    """A rule for gradients that needs the solution and nothing of the way there.

    In ``Unrolled`` it takes the last iterates for the solution, and an average of iterates for one of their copies; in ``Solved`` it has
    the solution. Differentiable once.
    """

    def check(self, problem: Problem) -> None:
        """Raise :class:`ErgodualError` if this rule cannot serve the problem."""

    def __call__(self, problem: Problem, x_tilde: Tensor, steps: Steps, weights: Tensor) -> Tensor:
        """x̂ of the iterations, with a gradient in x̃ and the problem's tensors that is right at their limit."""
        with torch.no_grad():
            numbers = Numbers.read(steps, weights)
            x_hat, last = estimate(problem, x_tilde, numbers)
            point = FixedPoint(
                problem,
                x_tilde.detach(),
                last.r[1],
                last.y[0],
                numbers.sigma[-1],
                numbers.tau[-1],
                numbers.theta,
            )
        return self.attach(point, x_tilde, x_hat)

    def attach(self, point: FixedPoint, x_tilde: Tensor, x_hat: Tensor) -> Tensor:
        """x̂ with the gradient of this rule at a fixed point."""
        return _Attached.apply(self, point, x_hat, x_tilde, *point.problem.tensors())  # type: ignore[no-any-return,no-untyped-call]

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> tuple[Tensor | None, ...]:
        """From g, that in x̂: the gradients in x̃ and the problem's tensors, each None where it is not wanted."""
        raise NotImplementedError


class Neumann(AtSolution):
    """b steps of the reverse sweep (7)–(10), all with the last iterates and their prox derivatives; nothing is stored.

    With b growing it becomes the derivative at the solution, where there is one: the partial sums of its Neumann series (Brauer,
    Lorenz, "Asymptotic analysis and truncated backpropagation for the unrolled primal-dual algorithm", EUSIPCO 2023).

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
        if b < 1:
            raise ErgodualError(f"The number of reverse steps is {b}; it must be at least 1.")
        self.b = b

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> tuple[Tensor | None, ...]:
        """See :class:`AtSolution`."""
        problem, x_tilde, r, y, sigma, tau, theta = point
        b, before = self.b, 2  # so that r^(k−1) and r^(k−2) are r, not 0
        numbers = Numbers(
            [sigma] * (b + before), [tau] * (b + before), theta, [0.0] * (b + before - 1) + [1.0]
        )
        inputs = [f.derivative_from == "input" for f in (problem.F, problem.G)]
        iterates = Trajectory(
            y.expand(b + 1, *y.shape),
            r.expand(b + 2, *r.shape),
            point.z_dual.expand(b, *y.shape) if inputs[0] else None,
            point.z_primal.expand(b, *r.shape) if inputs[1] else None,
        )
        found = sweep_backward(
            problem, x_tilde, numbers, [Segment(before, b + before, iterates)], before, g, wanted
        )
        return found[0], *found[5:]


class OneStep(Neumann):
    """One reverse step at the last iterates: the derivative of a single iteration, as if its start were constant.

    Bolte, Pauwels, Vaiter, "One-step differentiation of iterative algorithms", NeurIPS 2023: good where the iteration converges fast.
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
        x_tilde: Tensor,
        *tensors: Tensor,
    ) -> Tensor:
        ctx.rule, ctx.point = rule, point._replace(x_tilde=point.x_tilde[:0])
        ctx.save_for_backward(x_tilde, *tensors)
        return x_hat.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        point = ctx.point._replace(x_tilde=ctx.saved_tensors[0])
        wanted = wanted_of(
            point.problem,
            (ctx.needs_input_grad[3], False, False, False, False),
            ctx.needs_input_grad[4:],
        )
        return None, None, None, *ctx.rule.gradients(point, g, wanted)
