"""The forward sweep (3)–(5) of Brauer, Lorenz 2019 on buffers that the caller chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.errors import ErgodualError, NotFiniteError
from ergodual.functions import Function
from ergodual.operators import Layout, Operator
from ergodual.primal_dual.steps import Steps
from ergodual.problem import Instance
from ergodual.tensors import Number


class Plan:
    """What d iterations are made of, in numbers that were read to the host once.

    Parameters
    ----------
    instances
        The problem of each iteration; all have the same offsets, domain and codomain.
    sigma, tau, theta, alpha
        σ_k (or, by the parts of a stack, a row of them for the dual's coordinates), τ_k, θ_k and
        the averaging weights α_k.
    parts
        The sizes of a stack's parts where each has a σ of its own.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        sigma: Sequence[Number],
        tau: Sequence[float],
        theta: Sequence[float],
        alpha: Sequence[float],
        parts: list[int] | None = None,
    ) -> None:
        self.instances, self.depth = instances, len(instances)
        self.sigma, self.tau, self.theta, self.alpha = sigma, tau, theta, alpha
        self.parts = parts

    @staticmethod
    def read(instances: Sequence[Instance], steps: Steps, weights: Tensor) -> Plan:
        """From tensors, one read each, so that no sweep waits for a device.

        Raises
        ------
        NotFiniteError
            If a step size is not positive and finite, as learned ones become that leave the range
            of the floating-point numbers.
        """
        sigma, tau = steps.sigma.tolist(), steps.tau.tolist()
        by_part = steps.sigma.ndim == 2
        for name, values in (("sigma", sum(sigma, []) if by_part else sigma), ("tau", tau)):
            for value in values:
                if not 0 < value < math.inf:
                    raise NotFiniteError(
                        f"A step size {name} is {value}; it must be positive and finite."
                    )
        parts = None
        if by_part:
            parts = part_sizes(instances[0], steps.sigma.shape[1])
            repeats = torch.tensor(parts, device=steps.sigma.device)
            sigma = list(steps.sigma.detach().repeat_interleave(repeats, 1).unbind())
        return Plan(instances, sigma, tau, steps.theta.tolist(), weights.tolist(), parts)

    @staticmethod
    def uniform(
        instance: Instance,
        depth: int,
        sigma: Number,
        tau: float,
        theta: float = 1.0,
        alpha: Sequence[float] | None = None,
    ) -> Plan:
        """One problem and the same numbers throughout; no average unless α is given."""
        alpha = [0.0] * depth if alpha is None else alpha
        return Plan([instance] * depth, [sigma] * depth, [tau] * depth, [theta] * depth, alpha)

    @cached_property
    def stretches(self) -> list[tuple[int, int]]:
        """Where consecutive iterations with one operator start and stop."""
        K = [instance.K for instance in self.instances]
        borders = [0, *(k for k in range(1, self.depth) if K[k] is not K[k - 1]), self.depth]
        return list(pairwise(borders))

    @cached_property
    def start_of(self) -> list[int]:
        """Of each iteration, where its stretch starts."""
        return [start for start, stop in self.stretches for _ in range(start, stop)]

    @cached_property
    def begins(self) -> list[bool]:
        """Of each iteration, whether it begins a stretch."""
        return [start == k for k, start in enumerate(self.start_of)]

    @cached_property
    def joins(self) -> list[bool]:
        """Of each iteration: whether K shift is known to its neighbours, and products are joined.

        Where passes over the dual variable cost as much as products, that does not pay.
        """
        found: list[bool] = []
        for start, stop in self.stretches:
            joins = self.instances[start].K.joins_products and stop - start > 1
            found += [joins] * (stop - start)
        return found


def part_sizes(instance: Instance, parts: int) -> list[int]:
    """How many coordinates of the dual each part of a stack has."""
    layout = instance.K.layout(instance.domain)
    if not isinstance(layout, list) or len(layout) != parts:
        given = len(layout) if isinstance(layout, list) else "no"
        raise ErgodualError(
            f"There are dual steps for {parts} parts, and the operator has {given} parts; give one "
            "step for each part of the Stack."
        )
    return [size_of(part) for part in layout]


def size_of(layout: Layout) -> int:
    """Coordinates of a part, whose own parts may be parts."""
    return sum(map(size_of, layout)) if isinstance(layout, list) else math.prod(layout)


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
        y[0] = 0
        r[:2] = 0
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
        plan = self.plan
        for at, k in enumerate(range(start, stop)):
            one, sigma, tau, alpha = plan.instances[k], plan.sigma[k], plan.tau[k], plan.alpha[k]
            dual, previous, primal = y[at + 1], r[at + 1], r[at + 2]
            if k == 0:  # r̄^0 = 0 and y^0 = 0
                torch.mul(self._constant(0), sigma, out=dual)
            else:
                torch.lerp(r[at], previous, 1 + plan.theta[k - 1], out=self._r_bar)
                self._ascend(k, y[at], dual)
            if z_dual is not None:
                z_dual[at] = dual
            one.F.prox_conjugate_(dual, sigma)
            one.K.adjoint_onto(previous, dual, -tau, out=primal)
            if z_primal is not None:
                z_primal[at] = primal
            one.G.prox_(primal, tau)
            if x_hat is not None and alpha:
                x_hat.add_(primal, alpha=alpha)

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

    def _ascend(self, k: int, y: Tensor, out: Tensor) -> None:
        """y + σ (K(shift + r̄) + offset)."""
        one, sigma, r_bar = self.plan.instances[k], self.plan.sigma[k], self._r_bar
        added = one.offset
        if self.plan.joins[k]:
            added = self._constant(k)
        elif one.shift is not None:
            r_bar.add_(one.shift)
        base = y
        if added is not None:
            base = out
            if isinstance(sigma, Tensor):
                torch.addcmul(y, added, sigma, out=out)
            else:
                torch.add(y, added, alpha=sigma, out=out)
        one.K.forward_onto(base, r_bar, sigma, out=out)

    def _constant(self, k: int) -> Tensor:
        one = self.plan.instances[k]
        if not self.plan.joins[k]:
            return one.constant()
        if self._known is None or self._known[0] is not one.K:
            self._known = one.K, one.constant()
        return self._known[1]


def estimate(plan: Plan) -> tuple[Tensor, Trajectory]:
    """x̂ and the last iterates, of which alone it keeps; for use without gradients."""
    x_hat = start_of_average(plan.instances[0])
    state = Trajectory.empty(plan, 0)
    return x_hat, Iteration(plan).skip(0, plan.depth, state, x_hat)


def start_of_average(one: Instance) -> Tensor:
    """What Σ_k α_k r^k is added to: the shift, or 0."""
    return one.zeros_primal() if one.shift is None else one.shift.clone()
