"""What a sweep is made of, as numbers and as runs of iterations with one operator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError, NotFiniteError
from ergodual.functions import Function
from ergodual.functions.sums import flat_shape, takes_steps_by_part
from ergodual.instance import Instance
from ergodual.operators import Operator
from ergodual.primal_dual.entropy import Entropic
from ergodual.primal_dual.steps import Steps
from ergodual.tensors import Number, revealed

RANGES = {
    "sigma": (0.0, math.inf),
    "tau": (0.0, math.inf),
    "theta": (-1.0, math.inf),
    "rho": (0.0, 2.0),
}
"""What the numbers of an iteration lie between."""


class Plan:
    """What d iterations are made of, in numbers that were read to the host once.

    Parameters
    ----------
    instances
        The problem of each iteration; all have the same offsets, domain and codomain.
    sigma, tau, theta, alpha
        σ_k, τ_k, θ_k and the averaging weights α_k. Where parts or coordinates have steps of their
        own, σ_k and τ_k are tensors of the shape of a sample.
    parts
        The sizes of a stack's parts where each has a σ of its own.
    rho
        ρ_k where iterations are relaxed.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        sigma: Sequence[Number],
        tau: Sequence[Number],
        theta: Sequence[float],
        alpha: Sequence[float],
        parts: list[int] | None = None,
        rho: Sequence[float] | None = None,
    ) -> None:
        self.instances, self.depth = instances, len(instances)
        self.sigma, self.tau, self.theta, self.alpha = sigma, tau, theta, alpha
        self.parts, self.rho = parts, rho

    @staticmethod
    def read(instances: Sequence[Instance], steps: Steps, weights: Tensor) -> Plan:
        """From tensors, one read each, so that no sweep waits for a device.

        Raises
        ------
        NotFiniteError
            If a step size is not positive and finite, θ not above −1 and finite, or ρ not between 0
            and 2, as learned ones become that leave their range.
        """
        require_steps(steps)
        sigma, tau, parts = as_met(instances, steps)
        theta, rho = steps.theta.tolist(), None if steps.rho is None else steps.rho.tolist()
        read = [t.tolist() if t.ndim == 1 else list(t.detach().unbind()) for t in (sigma, tau)]
        return Plan(instances, read[0], read[1], theta, weights.tolist(), parts, rho)

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

    @property
    def entropic(self) -> bool:
        """Whether entropies measure the steps."""
        return isinstance(self.instances[0].G, Entropic)

    @property
    def general(self) -> bool:
        """Whether iterations are relaxed, coordinates have steps of their own, or entropies measure
        them.
        """
        own = isinstance(self.tau[0], Tensor) or (
            isinstance(self.sigma[0], Tensor) and self.parts is None
        )
        return own or self.rho is not None or self.entropic

    @cached_property
    def reversed(self) -> list[Operator]:
        """What the reverse sweep multiplies by in each iteration."""
        made = {id(one.K): one.K.reversed() for one in self.instances}
        return [made[id(one.K)] for one in self.instances]

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
    def ends(self) -> list[bool]:
        """Of each iteration, whether it ends a stretch."""
        return [*self.begins[1:], True]

    @cached_property
    def lead(self) -> list[float]:
        """θ before each iteration; before the first, where r̄ = r = 0, any number will do."""
        return [self.theta[0], *self.theta[:-1]]

    def runs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What the iterations first .. last − 1 share with each stretch."""
        for start, stop in self.stretches:
            start, stop = max(start, first), min(stop, last)
            if start < stop:
                yield start, stop

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


def require_steps(steps: Steps) -> None:
    """That step sizes are positive, θ above −1 and ρ between 0 and 2, and all finite."""
    for name, t in zip(Steps._fields, steps, strict=True):
        if t is None:
            continue
        (least, most), t = RANGES[name], revealed(t).detach()
        # of many the extremes, which nan is too
        for value in t.tolist() if t.ndim == 1 else [float(t.amin()), float(t.amax())]:
            if not least < value < most:
                ends = "finite" if most == math.inf else f"below {most:g}"
                raise NotFiniteError(
                    f"A step size {name} is {value}; it must be above {least:g} and {ends}."
                )


def as_met(instances: Sequence[Instance], steps: Steps) -> tuple[Tensor, Tensor, list[int] | None]:
    """σ and τ as they meet y and r: one for each iteration, or of every coordinate of a sample;
    and the sizes of a stack's parts where these have a σ of their own.

    Raises
    ------
    ErgodualError
        If they are neither, or a function takes no such steps.
    """
    one, (sigma, tau, *_) = instances[0], steps
    layout = one.K.layout(one.domain) if sigma.ndim == 2 else one.codomain
    parts = None
    if isinstance(layout, list) and len(layout) == sigma.shape[1]:
        parts = part_sizes(instances, sigma.shape[1])
        sigma = sigma.repeat_interleave(torch.tensor(parts, device=sigma.device), 1)
    elif sigma.ndim > 1:
        sigma = _of_coordinates("sigma", sigma, one.codomain, [each.F for each in instances])
    if tau.ndim > 1:
        tau = _of_coordinates("tau", tau, one.domain, [each.G for each in instances])
    return sigma, tau, parts


def _of_coordinates(name: str, steps: Tensor, sample: Size, functions: list[Function]) -> Tensor:
    own = steps.shape[1:]
    pairs = zip(own, sample, strict=False)
    if len(own) != len(sample) or any(size not in (1, n) for size, n in pairs):
        raise ErgodualError(
            f"The steps {name} have shape {tuple(own)} in each iteration, and what they meet has "
            f"samples of shape {tuple(sample)}; give one number, one for each coordinate, or one "
            "sigma for each part of a Stack."
        )
    for f in {id(f): f for f in functions}.values():
        if not f.separable:
            raise ErgodualError(
                f"There are steps {name} for each coordinate, and {type(f).__name__} is no sum "
                "over coordinates; give one number, or one sigma for each part of a Stack."
            )
    return steps.expand(-1, *sample)


def part_sizes(instances: Sequence[Instance], parts: int) -> list[int]:
    """How many coordinates of the dual each part of a stack has.

    Raises
    ------
    ErgodualError
        If other operators are no stacks of so many parts, or of parts of other sizes, or F is no
        sum over them.
    """
    found: list[int] = []
    for one in {id(one): one for one in instances}.values():
        layout = one.K.layout(one.domain)
        if not isinstance(layout, list) or len(layout) != parts:
            given = len(layout) if isinstance(layout, list) else "no"
            raise ErgodualError(
                f"There are dual steps for {parts} parts, and the operator has {given} parts; give "
                "one step for each part of the Stack."
            )
        if not takes_steps_by_part(one.F):
            raise ErgodualError(
                f"There are dual steps for {parts} parts, and {type(one.F).__name__} is no sum "
                "over them; give SeparableSum with a function for each part, or one dual step."
            )
        sizes = [math.prod(flat_shape(part)) for part in layout]
        if found and sizes != found:
            raise ErgodualError(
                f"The parts of the iterations' stacks have {found} and {sizes} coordinates; dual "
                "steps by part need the same in all of them."
            )
        found = sizes
    return found
