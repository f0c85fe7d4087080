"""The forward sweep (3)–(5) of Brauer, Lorenz 2019 on buffers that the caller chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.functions import Function
from ergodual.instance import Instance
from ergodual.operators import Operator
from ergodual.primal_dual.plan import Plan
from ergodual.primal_dual.tape import iterations
from ergodual.tensors import Number


class Trajectory(NamedTuple):
    """The iterates of a stretch of iterations start + 1 .. stop, stacked.

    Attributes
    ----------
    y
        y^start .. y^stop.
    r
        r^(start−1) .. r^stop.
    z_dual, z_primal
        The arguments of the proxes of iterations start + 1 .. stop, for functions whose derivative
        needs them.
    """

    y: Tensor
    r: Tensor
    z_dual: Tensor | None
    z_primal: Tensor | None

    @staticmethod
    def empty(plan: Plan, length: int) -> Trajectory:
        """Room for so many iterations, from r^(−1) = r^0 = 0 and y^0 = 0."""
        one = plan.instances[0]
        y = one.like.new_empty((length + 1, one.batch, *one.codomain))
        r = one.like.new_empty((length + 2, one.batch, *one.domain))
        y[0].zero_()
        r[:2].zero_()
        # a state without iterations keeps no argument, and need not ask, which may scan weights
        inputs = [bool(length) and any(f.keeps_input() for f in fs) for fs in _functions(plan)]
        return Trajectory(
            y,
            r,
            torch.empty_like(y[1:]) if inputs[0] else None,
            torch.empty_like(r[2:]) if inputs[1] else None,
        )


def _functions(plan: Plan) -> tuple[list[Function], list[Function]]:
    """All F and all G, each once."""
    different = {id(one): one for one in plan.instances}.values()
    return [one.F for one in different], [one.G for one in different]


class Iteration:
    """(3)–(5) for one batch; every product and prox writes in place.

    The product is K(shift + r̄^(k−1)) + offset. Where iterations share it, c = K shift + offset is
    computed once and rides on the pass that copies y^(k−1); the first iteration needs no product
    but that.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        one = plan.instances[0]
        self._r_bar = one.like.new_empty((one.batch, *one.domain))
        self._known: tuple[Operator, Tensor] | None = None

    def advance(
        self,
        start: int,
        stop: int,
        y: Sequence[Tensor],
        r: Sequence[Tensor],
        z_dual: Tensor | None = None,
        z_primal: Tensor | None = None,
        x_hat: Tensor | None = None,
    ) -> None:
        """Iterations start + 1 .. stop.

        Parameters
        ----------
        start, stop
            How many iterations are done before and after.
        y, r
            The buffers of y^start .. y^stop and r^(start−1) .. r^stop, of which the first one and
            the first two are read. All of y may be one buffer, and those of r two that take turns.
        z_dual, z_primal
            Where the arguments of the proxes go.
        x_hat
            α_k r^k is added to it.
        """
        plan, r_bar = self.plan, self._r_bar
        for begin, end in plan.runs(start, stop):
            K, shift, added, *_ = plan.instances[begin][2:]
            if plan.joins[begin]:
                shift, added = None, self._constant(begin)
            for k in range(begin, end):
                one, sigma, tau, at = plan.instances[k], plan.sigma[k], plan.tau[k], k - start
                base, dual, previous, primal = y[at], y[at + 1], r[at + 1], r[at + 2]
                if k == 0:  # r̄^0 = 0 and y^0 = 0
                    torch.mul(self._constant(0), sigma, out=dual)
                else:
                    torch.lerp(r[at], previous, 1 + plan.theta[k - 1], out=r_bar)
                    if shift is not None:
                        r_bar.add_(shift)
                    if added is not None:
                        base = _add_scaled(base, added, sigma, dual)
                    K.forward_onto(base, r_bar, sigma, out=dual)
                if z_dual is not None:
                    z_dual[at] = dual
                one.F.prox_conjugate_(dual, sigma)
                K.adjoint_onto(previous, dual, -tau, out=primal)
                if z_primal is not None:
                    z_primal[at] = primal
                one.G.prox_(primal, tau)
                if x_hat is not None and plan.alpha[k]:
                    x_hat.add_(primal, alpha=plan.alpha[k])

    def record(
        self, start: int, stop: int, trajectory: Trajectory, x_hat: Tensor | None = None
    ) -> None:
        """Iterations start + 1 .. stop into a trajectory that begins with the iterates so far."""
        y, r, z_dual, z_primal = trajectory
        self.advance(start, stop, y.unbind(), r.unbind(), z_dual, z_primal, x_hat)

    def skip(self, start: int, stop: int, state: Trajectory, x_hat: Tensor) -> Trajectory:
        """Iterations start + 1 .. stop; the last iterates take the place of ``state``'s."""
        y, (older, newer) = state.y[0], state.r.unbind()
        length = stop - start
        buffers = [(older, newer)[i % 2] for i in range(length + 2)]
        self.advance(start, stop, [y] * (length + 1), buffers, x_hat=x_hat)
        return state._replace(r=state.r.flip(0)) if length % 2 else state

    def _constant(self, k: int) -> Tensor:
        one = self.plan.instances[k]
        if not self.plan.joins[k]:
            return one.constant()
        if self._known is None or self._known[0] is not one.K:
            self._known = one.K, one.constant()
        return self._known[1]


def _add_scaled(base: Tensor, x: Tensor, scale: Number, out: Tensor) -> Tensor:
    if not isinstance(scale, Tensor):
        return torch.add(base, x, alpha=scale, out=out)
    return torch.addcmul(base, x, scale, out=out)


def estimate(plan: Plan) -> tuple[Tensor, Trajectory]:
    """x̂ and the last iterates, of which alone it keeps; for use without gradients."""
    if plan.general:
        return _general(plan)
    x_hat = start_of_average(plan.instances[0])
    state = Trajectory.empty(plan, 0)
    return x_hat, Iteration(plan).skip(0, plan.depth, state, x_hat)


def _general(plan: Plan) -> tuple[Tensor, Trajectory]:
    x_hat = start_of_average(plan.instances[0])
    found = iterations(plan.instances, plan.sigma, plan.tau, plan.theta, plan.rho)
    for made, alpha in zip(found, plan.alpha, strict=True):
        x_hat.add_(made.primal, alpha=alpha)
    return x_hat, Trajectory(made.dual[None], torch.stack([made.r, made.primal]), None, None)


def start_of_average(one: Instance) -> Tensor:
    """What Σ_k α_k r^k is added to: the shift, or 0."""
    return one.zeros_primal() if one.shift is None else one.shift.clone()
