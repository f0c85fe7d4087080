"""What is found of each sample of a batch."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.solving.certificates import Pending, Point
from ergodual.solving.feasible import dual_bound
from ergodual.solving.rays import Rays
from ergodual.tensors import norms

LEAST, SPARE = 50, 0.1
"""Products for a certificate at least, else a quarter of the iterations; and by how much of the
tolerance it may be widened for the sake of its radius.
"""


@dataclass(frozen=True)
class Solution:
    """What :func:`~ergodual.solve` found, for each sample of the batch.

    Attributes
    ----------
    x
        The estimate, ``(batch, *domain)``: x̃ + r of :class:`~ergodual.Problem`, r of
        :class:`~ergodual.InverseProblem`.
    r, y
        The primal and the dual solution, ``(batch, *domain)`` and ``(batch, *codomain)``; r is
        exact where x̂ − x̃ would be rounded.
    gap
        F(c + Kr) + G(r) − (⟨c, ŷ⟩ − F*(ŷ) − G*(−Kᵀŷ)) ≥ 0, c = K shift + offset, ``(batch,)``: no
        other r, with ‖r‖ ≤ radius, has an objective lower by more than this. Infinite where F is ∞
        at c + Kr, or no ŷ was found.
    certificate
        ŷ, ``(batch, *codomain)``: y, or where the domains of F* and G* ask for it y scaled or moved
        into them; see :func:`~ergodual.solving.feasible.dual_bound`.
    radius
        ``(batch,)``: infinite, but where Kᵀŷ is in the domain of G* but for a small e, with which
        the gap has grown by ‖e‖ radius.
    error
        What was compared with the tolerance: the gap over F(c) + G(0) (the gap itself where that is
        0 or infinite), or, where the gap is infinite, the relative fixed-point residual of a
        primal-dual step. Of an :class:`~ergodual.InverseProblem`, where r = 0 is no estimate, the
        gap over the objective itself or that residual, whichever is smaller.
    iterations
        How many it took, in steps of 32.
    converged
        Whether error ≤ tolerance.
    weight
        The primal weight ω ∼ ‖y‖/‖r‖ that the method ended with, ``(batch,)``.
    infeasible, unbounded
        Samples that have no solution, ``(batch,)``: of which no r with ‖r‖ ≤ radius has a finite
        objective, or of which it falls without end, from every r where it is finite.
    primal_ray, dual_ray
        What shows it, of norm 1: the objective falls along r + t · primal_ray; or ⟨c, d⟩ > S_F(d) +
        S_G(−Kᵀd) for d = dual_ray and the support functions S of the domains of F and G. 0 for
        other samples; None where there are none.
    """

    x: Tensor
    r: Tensor
    y: Tensor
    gap: Tensor
    certificate: Tensor
    radius: Tensor
    error: Tensor
    iterations: Tensor
    converged: Tensor
    weight: Tensor
    infeasible: Tensor
    unbounded: Tensor
    primal_ray: Tensor | None = None
    dual_ray: Tensor | None = None

    @property
    def status(self) -> list[str]:
        """Of each sample: ``"solved"``, ``"infeasible"``, ``"unbounded"`` or ``"unsolved"``."""
        names = ("solved", "infeasible", "unbounded")
        known = torch.stack([self.converged, self.infeasible, self.unbounded], 1).tolist()
        return [names[of.index(True)] if True in of else "unsolved" for of in known]

    def __repr__(self) -> str:  # in a line, since the tensors would fill pages
        counts = ", ".join(f"{count} {name}" for name, count in Counter(self.status).items())
        gap, most = max(self.gap.tolist(), default=0.0), max(self.iterations.tolist(), default=0)
        shape = tuple(self.x.shape)
        return f"Solution(x of {shape}: {counts}; gap {gap:.2g} and {most} iterations at most)"


class Start(NamedTuple):
    """Where to start from: r, y and ω as :class:`Solution` has them."""

    r: Tensor
    y: Tensor
    weight: Tensor


class Found:
    """The solutions so far."""

    def __init__(self, pending: Pending, weight: Tensor) -> None:
        one = pending.instance
        self.pending = pending
        self.r, self.y = one.zeros_primal(), one.zeros_dual()
        self.gap = torch.full_like(pending.unit, math.inf)
        self.error = self.gap.clone()
        self.iterations = torch.zeros_like(self.gap, dtype=torch.long)
        self.weight = weight.clone()
        self.rays: Rays | None = None

    def take(self, rows: Tensor, point: Point, weight: Tensor, done: int, which: Tensor) -> None:
        """The points of those samples that have ended."""
        rows = rows[which]
        into = (self.r, self.y, self.gap, self.error, self.weight)
        for to, of in zip(into, (*point, weight), strict=True):
            to[rows] = of[which]
        self.iterations[rows] = done

    def show(self, rows: Tensor, rays: Rays, which: Tensor) -> None:
        """The rays of those samples that have no solution."""
        if not bool(which.any()):
            return
        if self.rays is None:
            none = torch.zeros_like(self.gap, dtype=torch.bool)
            r, y = torch.zeros_like(self.r), torch.zeros_like(self.y)
            self.rays = Rays(none, none.clone(), r, y, torch.full_like(self.gap, math.inf))
        for to, of in zip(self.rays, rays, strict=True):
            to[rows[which]] = of[which]

    def solution(self) -> Solution:
        """All of them."""
        pending, r = self.pending, self.r
        primal = pending.primal(r, pending.c + pending.instance.K(r))
        least = torch.minimum(primal, pending.unit).nan_to_num(posinf=0.0)
        asked = primal.isfinite() & self.gap.isinf()  # else no bound makes a gap
        budget = max([LEAST, *(self.iterations // 4).tolist()]) if bool(asked.any()) else 0
        spare = SPARE * pending.tol * least
        bound = dual_bound(pending.instance, pending.c, self.y, norms(r), spare, budget)
        gap = (primal - bound.energy).clamp(min=0).nan_to_num(nan=math.inf, posinf=math.inf)
        none = torch.zeros_like(self.gap, dtype=torch.bool)
        rays = self.rays
        shown = (none, none) if rays is None else (rays.infeasible, rays.unbounded)
        radius = bound.radius
        if rays is not None:
            radius = torch.where(rays.infeasible, rays.radius, radius)
        return Solution(
            pending.instance.estimate(r),
            r,
            self.y,
            torch.where(self.gap.isfinite(), self.gap, gap),
            bound.y,
            radius,
            self.error,
            self.iterations,
            (self.error <= pending.tol) & ~(shown[0] | shown[1]),
            self.weight,
            *shown,
            *(() if rays is None else (rays.primal, rays.dual)),
        )


def said(solution: Solution, tol: float, limit: int) -> str:
    """What is to be said of the samples without a solution."""
    count = len(solution.error)
    cases = (
        (solution.infeasible, "of {} problems are infeasible: no r has a finite objective"),
        (solution.unbounded, "of {} problems are unbounded: the objective falls without end"),
    )
    parts = [
        f"{int(which.sum())} {text.format(count)} (see solution.status and its rays)"
        for which, text in cases
        if bool(which.any())
    ]
    left = ~(solution.converged | solution.infeasible | solution.unbounded)
    if bool(left.any()):
        parts.append(
            f"{int(left.sum())} of {count} problems did not reach {tol:g} within {limit} "
            f"iterations; the largest error is {float(solution.error[left].max()):.2g}"
        )
    return "; ".join(parts) + "."
