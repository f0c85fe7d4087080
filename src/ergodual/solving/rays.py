"""Problems that have no solution, told by a ray along which an energy runs away."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.functions import Function, Zero
from ergodual.instance import Instance
from ergodual.solving.certificates import Pending, Point
from ergodual.solving.feasible import dual_energy, nearest, restricted, shortest
from ergodual.tensors import column, dots, largest, norms, room

FIRST = 64
"""Iterations before the first look; the next ones are each at twice as many."""
SURE = 1e3
"""How many roundings an energy must rise by, and how much larger than r a radius must be."""
SMALL = 1e-3
"""Entries of a primal ray that are left out, relative to the largest."""
LEFT = 0.5
"""How much of a direction has to be left in the domain of G, far away."""
STEPS = (1e4, 1e8)
"""Where the energies F(Kr) + G(r) are looked at along a ray, relative to the size of r."""


class Rays(NamedTuple):
    """What was found of each sample of a batch.

    Attributes
    ----------
    infeasible
        Whether no r with ‖r‖ ≤ radius has a finite objective, ``(batch,)``.
    unbounded
        Whether the objective falls without end along t · primal, from every r where it is
        finite, ``(batch,)``.
    primal, dual
        The rays, of norm 1; 0 where there is none.
    radius
        ``(batch,)``; infinite where nothing is feasible at all.
    """

    infeasible: Tensor
    unbounded: Tensor
    primal: Tensor
    dual: Tensor
    radius: Tensor


class Watch:
    """Looks at the iterates of samples that are still unsolved, after 64, 128, 256, … iterations.

    Where there is no solution the iterates end up moving along a ray.
    """

    def __init__(self, pending: Pending, point: Point) -> None:
        self.r, self.y, self.next = point.r, point.y, FIRST
        nothing = pending.primal(torch.zeros_like(point.r), pending.c)
        self.feasible = nothing.isfinite()

    def at(self, rows: Tensor) -> None:
        """Some of the samples are left."""
        self.r, self.y, self.feasible = self.r[rows], self.y[rows], self.feasible[rows]

    def look(self, pending: Pending, point: Point, done: int) -> Rays | None:
        """Which samples have no solution; None where it is not time to look, or where all have one,
        as a finite gap shows.
        """
        if done < self.next or bool(point.gap.isfinite().all()):
            return None
        one, c = pending.instance, pending.c
        self.feasible |= pending.primal(point.r, c + one.K(point.r)).isfinite()
        moved_r, moved_y = point.r - self.r, point.y - self.y
        self.r, self.y, self.next = point.r, point.y, 2 * done
        size = torch.maximum(norms(point.r), norms(c) / pending.norm)
        infeasible = torch.zeros_like(self.feasible)
        dual, radius = torch.zeros_like(point.y), torch.full_like(size, math.inf)
        if not bool(self.feasible.all()):
            for d in (moved_y, point.y):
                found, ray, within = dual_ray(one, c, d, size, done)
                found = found & ~self.feasible & ~infeasible
                dual = torch.where(column(found, dual), ray, dual)
                radius, infeasible = torch.where(found, within, radius), infeasible | found
        primal, unbounded = torch.zeros_like(point.r), torch.zeros_like(infeasible)
        # what still moves a little leads out of a cone
        small = moved_r.abs() < SMALL * column(largest(moved_r), moved_r)
        for d in (moved_r, moved_r.masked_fill(small, 0.0)):
            found, ray = primal_ray(pending, point.r, d, done)
            primal = torch.where(column(found, primal), ray, primal)
            unbounded = unbounded | found
        return Rays(infeasible, unbounded, primal, dual, radius)


def dual_ray(
    one: Instance, c: Tensor, d: Tensor, size: Tensor, budget: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Whether nothing is feasible, as a ray near d shows; the ray, and up to which ‖r‖ it does.

    For every feasible x = c + Kr, ⟨d, x⟩ ≤ S_F(d) and ⟨−Kᵀd, r⟩ ≤ S_G(−Kᵀd) with the support
    functions S of the domains of F and G, the conjugates of their indicators, so that there is none
    if ⟨c, d⟩ exceeds the sum of both.
    """
    one = _of_domains(one)
    F, G = one.F, one.G
    wide = restricted(F, d)
    d = _of_length_1(d * wide)
    v = -one.K.adjoint(d, one.domain)
    d = d + shortest(
        lambda d: one.K.adjoint(d, one.domain),
        one.K,
        v - nearest(G, v),
        0.0,
        budget,
        lambda z: z * wide,
    )
    # that may have led out of a cone that is F's domain's
    d = _of_length_1(nearest(F, d))
    v = -one.K.adjoint(d, one.domain)
    p = nearest(G, v)
    rises = dual_energy(one, c, d, p)
    terms = dots(c.abs(), d.abs()) + F.conjugate(d).abs() + G.conjugate(p).abs()
    e = norms(v - p)
    radius = torch.where(e > 0, rises / (2 * e), math.inf)
    enough = SURE * room(d[0:1].numel(), d.dtype) * terms
    found = (rises > enough) & rises.isfinite() & (radius > SURE * size)
    return found, d, radius


def _of_domains(one: Instance) -> Instance:
    """The problem whose solutions are all that is feasible."""
    F, G = (f.domain_indicator() or Zero() for f in (one.F, one.G))
    return one._replace(F=F, G=G)


def _of_length_1(d: Tensor) -> Tensor:
    length = norms(d)
    return d / column(torch.where(length > 0, length, 1.0), d)


def primal_ray(pending: Pending, r: Tensor, d: Tensor, budget: int) -> tuple[Tensor, Tensor]:
    """Whether the objective falls in proportion to t along t d, up to 10⁸ times the size of r, so
    that it does so from wherever it is finite; and d, of norm 1.

    d is moved first to where it leads into the domains of F and G for all t, but for rounding.
    """
    one, c = pending.instance, pending.c
    least = dual_energy(one, c, torch.zeros_like(c), torch.zeros_like(r))
    asked = ~least.isfinite() & (norms(d) > 0)  # −inf F − inf G is a bound already
    if not bool(asked.any()):
        return asked, torch.zeros_like(d)
    domains, size = _of_domains(one), torch.maximum(norms(r), norms(c) / pending.norm)
    steps = [column(step * size, d) for step in STEPS]
    d = _within(domains.G, _of_length_1(d), steps[1])
    Kd = one.K(d)
    wrong = Kd - _within(domains.F, Kd, steps[1])
    if bool((wrong != 0).any()):
        free = (d != 0).to(d)
        tight = ((Kd - wrong).abs() <= SMALL * column(largest(Kd), Kd)).to(d)
        tight = tight * restricted(domains.F, Kd)
        d = d - shortest(
            lambda d: tight * one.K(d),
            lambda y: one.K.adjoint(tight * y, one.domain),
            tight * wrong,
            0.0,
            budget,
            lambda z: z * free,
        )
        d = _of_length_1(_within(domains.G, d, steps[1]))
    # of bounds on both sides next to nothing is left
    asked = asked & (norms(d) > LEFT)
    room_F = SURE * torch.finfo(d.dtype).eps * pending.norm
    energies = []
    for step in steps:
        Kr = one.K(step * d)
        near = _into(domains.F, Kr)
        inside = norms(Kr - near) <= room_F * step.flatten()
        energies.append(torch.where(inside, pending.primal(step * d, near), math.inf))
    near, far = energies
    falls = (near < 0) & (far <= 0.5 * STEPS[1] / STEPS[0] * near) & far.isfinite()
    return asked & falls, d


def _into(indicator: Function, z: Tensor) -> Tensor:
    """The nearest point of a domain."""
    return indicator.prox(z, torch.finfo(z.dtype).tiny ** 0.5)


def _within(indicator: Function, d: Tensor, step: Tensor) -> Tensor:
    """What is left of a direction where a step of this length is brought back into a domain."""
    step = column(step.flatten(), d)
    return _into(indicator, step * d) / step
