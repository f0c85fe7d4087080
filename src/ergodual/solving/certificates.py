"""Samples of a batch while they are being solved: what is known of each, and its certificate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.consistency import require_consistent
from ergodual.errors import ErgodualError
from ergodual.functions import Function
from ergodual.instance import Instance
from ergodual.operators.norms import matrix_of
from ergodual.solving.feasible import dual_energy, shares
from ergodual.solving.newton import applies
from ergodual.solving.scales import Scales, steps_of
from ergodual.tensors import as_step, column, dots, largest, norms, total

FLAT, FAR = 100.0, 10.0
"""From which ratio of its curvatures on a function has directions that it hardly bends in, and how
long a step is then, over the largest curvature's inverse.
"""
EVERY = 32
"""Iterations between two looks at the error, each of which costs as much as one or two iterations.
"""


class Point(NamedTuple):
    """A primal and a dual iterate of each sample, and its certificate.

    Attributes
    ----------
    r, y
        ``(batch, *domain)`` and ``(batch, *codomain)``.
    gap
        The duality gap, ``(batch,)``; infinite where one of the two energies is.
    error
        What is compared with the tolerance, ``(batch,)``: see :class:`Pending`.
    """

    r: Tensor
    y: Tensor
    gap: Tensor
    error: Tensor


@dataclass(frozen=True)
class Pending:
    """Samples of a batch that are still to be solved.

    The error of a point (r, y) is its duality gap over F(c) + G(0), what doing nothing costs, with
    c = K shift + offset; where that is 0 or infinite, the gap itself. Where the gap is infinite,
    because F or G* is ∞ just beside a solution, it is the fixed-point residual
    √(ω ‖r − prox_{τG}(r − τKᵀy)‖² + ‖y − prox_{σF*}(y + σ(c + Kr))‖²/ω) over √(2ω) ‖c‖/‖K‖,
    σ = ω/‖K‖, τ = 1/(ω‖K‖), with an ω that depends on the problem alone. In the place of ‖c‖ is
    what F would move c by, and ‖Kr‖ of where G would move r = 0, if they are larger; 1 where all
    are 0. So neither a large constant in x̃, which K does not see, nor a y that grows because
    nothing is feasible makes it small.

    Without a shift r = 0 is no estimate, and what it costs, as ‖b‖²/2, says nothing of what the
    solution does. There the gap is over |F(c + Kr) + G(r)|, the objective at the point, and the
    residual over √(2ω) ‖c + Kr‖/‖K‖, if those are smaller or r = 0 costs nothing or ∞; but over no
    less than tol times what r = 0 costs, nor than where rounding would decide. And the smaller of
    both counts: bounds of G that are far away make the gap as useless as none. Where the gap is
    infinite, the energies must also agree, to the tolerance, once −Kᵀy is moved into the domain of
    G*, as solvers of linear programs ask for.

    Attributes
    ----------
    instance
        The problems.
    norm
        At least ‖K‖; for K = 0, 1.
    tol
        A sample is solved when its error is not above this.
    scales
        Steps for each coordinate.
    matrix
        K as a matrix of flattened samples, where Newton steps can be taken.
    c, seen, unit, residual_weight
        c, ``(batch, *codomain)``; what is in the place of ‖c‖/‖K‖, what the gap is relative to, and
        the ω of the residual, ``(batch,)``.
    mu, delta
        G − ½ μ‖·‖² and F* − ½ δ‖·‖² are convex.
    """

    instance: Instance
    norm: float
    tol: float
    scales: Scales | None
    matrix: Tensor | None
    c: Tensor
    seen: Tensor
    unit: Tensor
    residual_weight: Tensor
    mu: float
    delta: float

    @staticmethod
    def of(instance: Instance, norm: float, tol: float, scales: Scales | None) -> Pending:
        """All samples of an instance.

        Raises
        ------
        ErgodualError
            If c is not finite.
        """
        c = instance.constant()
        if not c.isfinite().all():
            raise ErgodualError(
                "K times the observations is not finite; scale them, or K, down, or give float64."
            )
        matrix = (
            matrix_of(instance.K, instance.domain, instance.like) if applies(instance) else None
        )
        smooth = instance.F.smoothness()
        mu, delta = instance.G.strong_convexity(), 1 / smooth if smooth > 0 else 0.0
        ones = torch.ones_like(norms(c))
        seen = _size_seen(instance, c) / norm
        known = Pending(instance, norm, tol, scales, matrix, c, seen, ones, ones, mu, delta)
        cost = known.primal(instance.zeros_primal(), c)
        unit = torch.where((cost > 0) & cost.isfinite(), cost, 1.0)
        return replace(known, unit=unit, residual_weight=known._guess())

    def at(self, rows: Tensor) -> Pending:
        """Some of the samples."""
        return replace(
            self,
            instance=self.instance.at(rows),
            c=self.c[rows],
            seen=self.seen[rows],
            unit=self.unit[rows],
            residual_weight=self.residual_weight[rows],
        )

    def steps(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`~ergodual.solving.scales.steps_of`."""
        return steps_of(self.instance, self.norm, self.scales, weight)

    def ratio(self, r: Tensor, y: Tensor) -> Tensor:
        """‖y‖/‖r‖ in the norms in which the steps are alike for all coordinates, ``(batch,)``.

        Not a number or infinite where r = 0.
        """
        if self.scales is not None:
            r, y = r * self.scales.primal.rsqrt(), y * self.scales.dual.rsqrt()
        return norms(y) / norms(r)

    def judge(self, r: Tensor, y: Tensor) -> Point:
        """A point with its certificate; rounding may make a gap negative, which counts as 0."""
        F, G, K = self.instance.F, self.instance.G, self.instance.K
        Kr, v = K(r), -K.adjoint(y, self.instance.domain)
        require_consistent(r, Kr, y, -v, self.norm)
        Kx = self.c + Kr
        negative_dual = -dual_energy(self.instance, self.c, y, v)
        primal, rounded = self.primal(r, Kx), dots(self.c.abs(), y.abs())
        # of a dual point outside of the domains, a multiple may be inside
        known = negative_dual.isfinite()
        if not bool(known.all()):
            share = shares(self.instance, y, v)
            near = dual_energy(self.instance, self.c, y * column(share, y), v * column(share, v))
            negative_dual = torch.where(known | (share == 0), negative_dual, -near)
        gap = primal + negative_dual
        if bool((gap < 0).any()):
            terms = (lambda: F.value(Kx), lambda: G.value(r), lambda: F.conjugate(y))
            sizes = [_or_infinite(term, Kx).abs() for term in terms]
            _require_duality(gap, primal, sum(sizes, rounded))
        gap = gap.clamp(min=0).nan_to_num(nan=math.inf, posinf=math.inf)
        error = gap / self._at_stake(primal, rounded)
        if self.instance.shift is None:
            residual = self._residual(r, Kx, y, v)
            apart = torch.where(gap.isinf(), self._apart(y, v, primal, rounded), 0.0)
            error = torch.minimum(error, torch.maximum(residual, apart))
            # what costs more than r = 0 is no solution, however small its residual
            worse = (primal > 1.01 * self.unit) & primal.isfinite() & (self.unit != 1)
            error = torch.where(worse & (error <= self.tol), 1.0, error)
        elif not (known & gap.isfinite()).all():
            residual = self._residual(r, Kx, y, v)
            error = torch.where(known & gap.isfinite(), error, torch.minimum(error, residual))
        return Point(r, y, gap, error)

    def nearest_dual(self, Kx: Tensor | None = None) -> Tensor:
        """A subgradient of F at Kx, or at c, the dual of r = 0; 0 where F is infinite there."""
        return _limit(self.instance.F.prox_conjugate, self.c if Kx is None else Kx)

    def first_weight(self) -> Tensor:
        """ω ∼ ‖y‖/‖r‖ of a solution, guessed from a dual point and the primal answer to it."""
        if self.scales is None:
            return self.residual_weight
        y = self.nearest_dual()
        ratio = self.ratio(self._answer(y), y)
        return torch.where(ratio.isfinite() & (ratio > 0), ratio, self.residual_weight)

    def primal(self, r: Tensor, Kx: Tensor) -> Tensor:
        """F(Kx) + G(r), with Kx = c + Kr."""
        return _or_infinite(lambda: self.instance.F.value(Kx) + self.instance.G.value(r), Kx)

    def _at_stake(self, primal: Tensor, rounded: Tensor) -> Tensor:
        """What a gap is relative to, ``(batch,)``; see the class."""
        if self.instance.shift is not None:
            return self.unit
        # of an r = 0 that costs nothing, or has no cost, only the objective at the point is left
        costs = self.unit != 1
        least = torch.where(costs, self.tol * self.unit, 0.0)
        stake = torch.maximum(primal.abs(), torch.maximum(least, self._roundings(10) * rounded))
        alone = torch.where((stake > 0) & stake.isfinite(), stake, self.unit)
        return torch.where(costs, torch.minimum(stake, self.unit), alone)

    def _roundings(self, count: float) -> float:
        """So many, over the tolerance: what is relative to less than this would be noise."""
        eps = torch.finfo(self.c.dtype).eps
        return count * eps / max(self.tol, eps)

    def _residual(self, r: Tensor, Kx: Tensor, y: Tensor, v: Tensor) -> Tensor:
        weight, size = self.residual_weight, self.seen
        if self.instance.shift is None:
            left, primal = norms(Kx) / self.norm, self.primal(r, Kx)
            # where b is met to the tolerance, nothing is left that could be relative to it
            met = primal <= self.tol**2 * self.unit
            met |= primal.isinf() & (left <= self.tol * norms(self.c) / self.norm)
            left = torch.maximum(left, self._roundings(4) * size)
            size = torch.where(met, size, torch.minimum(left, size))
        sigma = column(as_step(weight / self.norm), y)
        tau = column(as_step(1 / (self.norm * weight)), r)
        moved_r = self.instance.G.prox(r + tau * v, tau) - r
        moved_y = self.instance.F.prox_conjugate(y + sigma * Kx, sigma) - y
        # what rounding hides of a move, where y is very large, counts too
        eps = torch.finfo(r.dtype).eps
        moved_r, moved_y = moved_r.abs() + eps * r.abs(), moved_y.abs() + eps * y.abs()
        moved = (weight * total(moved_r.square()) + total(moved_y.square()) / weight).sqrt()
        return moved / torch.where(size > 0, (2 * weight).sqrt() * size, 1.0)

    def _apart(self, y: Tensor, v: Tensor, primal: Tensor, rounded: Tensor) -> Tensor:
        """How far the energies are apart where v is moved into the domain of G*, of what the gap is
        relative to, or a millionth of what r = 0 costs; 0 where one is infinite all the same.

        The residual alone measures x: beside data of a large weight, a little of x costs much.
        """
        near = self.instance.G.prox_conjugate(v, torch.finfo(v.dtype).tiny ** 0.5)
        apart = (primal - dual_energy(self.instance, self.c, y, near)).abs()
        relative = apart / torch.maximum(self._at_stake(primal, rounded), 1e-6 * self.unit)
        return relative.nan_to_num(0.0, posinf=0.0)

    def _guess(self) -> Tensor:
        one, y = self.instance, self.nearest_dual()
        silent = norms(y) == 0
        if bool(silent.any()):  # F is least, or infinite, at c: its slope where F or G leads
            to, r = _aims(one, self.c)
            r = torch.where(
                column(norms(r) > 0, r), r, one.K.adjoint(to, one.domain) / self.norm**2
            )
            Kx = one.F.prox(self.c + one.K(r), torch.finfo(r.dtype).tiny ** 0.5)
            y = torch.where(column(silent, y), self.nearest_dual(Kx), y)
        r = self._answer(y)
        y_norm, r_norm, seen = norms(y), norms(r), self.seen
        # an infinite F leaves the slope of G as the scale of Kᵀy, and a G that bounds nothing what
        # K sees of x̃ as that of r
        if one.shift is None:
            at = one.K.adjoint(self.c, one.domain) / self.norm**2
        else:
            at = one.shift * column((seen / norms(one.shift)).nan_to_num(0.0), one.shift)
        slope = norms(_limit(one.G.prox_conjugate, at)) / self.norm
        y_norm, r_norm = (
            torch.where(y_norm > 0, y_norm, slope),
            torch.where(r_norm > 0, r_norm, seen),
        )
        return torch.where((y_norm > 0) & (r_norm > 0), y_norm / r_norm, 1.0)

    def _answer(self, y: Tensor) -> Tensor:
        """A primal answer to y; without a shift, of the size of x at most, as bounds of G may be
        far away.
        """
        one = self.instance
        r = _led(one.G, -one.K.adjoint(y, one.domain))
        if one.shift is not None:
            return r
        return r * column((self.seen / norms(r)).nan_to_num(1.0).clamp(max=1), r)


def best(one: Point, other: Point) -> Point:
    """For each sample the point with the smaller error."""
    better = other.error < one.error
    return Point(
        torch.where(column(better, one.r), other.r, one.r),
        torch.where(column(better, one.y), other.y, one.y),
        torch.where(better, other.gap, one.gap),
        torch.where(better, other.error, one.error),
    )


def _require_duality(gap: Tensor, primal: Tensor, size: Tensor) -> None:
    """That no primal energy is below a dual one by more than rounding in terms of this size."""
    slack = (2 * size + gap.abs()) * 1e4 * torch.finfo(gap.dtype).eps
    wrong = (gap < -slack) & gap.isfinite()
    if bool(wrong.any()):
        raise ErgodualError(
            "F's or G's value and conjugate contradict each other: a primal energy of "
            f"{float(primal[wrong][0]):.6g} lies below the dual one by "
            f"{-float(gap[wrong][0]):.6g}; test both with ed.check_function."
        )


def _or_infinite(energy: Callable[[], Tensor], like: Tensor) -> Tensor:
    """An energy of each sample; infinite, so that a residual certifies, of a prox alone."""
    try:
        return energy()
    except NotImplementedError:
        return like.new_full((len(like),), math.inf)


def _size_seen(one: Instance, c: Tensor) -> Tensor:
    """The size of Kr that the data ask for, ``(batch,)``: that of c; or by how much F would move
    it, and K r where G would have r = 0 go, which are what there is of a scale where c is 0.
    """
    to, r = _aims(one, c)
    return torch.stack([norms(c), norms(to), norms(one.K(r))]).nan_to_num(0.0, posinf=0.0).amax(0)


def _aims(one: Instance, c: Tensor) -> tuple[Tensor, Tensor]:
    """By how much F alone would move c, and where G alone would have r; 0 where that has no end."""
    to = _limit(lambda z, step: one.F.prox(z / step, step), c)
    moved = torch.where(column(norms(to) > 0, c), to - c, 0.0)
    return moved, _led(one.G, one.zeros_primal())


def _led(G: Function, slope: Tensor) -> Tensor:
    """Where G − ⟨slope, ·⟩ alone would have r go; 0 where that has no end.

    Of a smooth G with directions that it hardly bends in, as of a blur, a step from 0 that is long
    beside its largest curvature: to its minimum such directions go so far that all else would be
    small beside it.
    """
    smooth, convex = G.smoothness(), G.strong_convexity()
    if math.isfinite(smooth) and smooth > FLAT * convex:
        step = FAR / smooth
        return G.prox(step * slope, step)
    return _limit(G.prox, slope)


def _limit(prox: Callable[[Tensor, Tensor], Tensor], z: Tensor) -> Tensor:
    """prox(t z, t) for large t, where that does not grow with t, else 0.

    For the prox of f*, a subgradient of f at z. An f in small units has large slopes, which need a
    larger t; there, what may be rounding is none.
    """
    far_away = torch.finfo(z.dtype).eps ** -0.5  # where Moreau's identity still has half the digits
    t = column(as_step(far_away / largest(z).clamp(min=torch.finfo(z.dtype).tiny ** 0.5)), z)
    found, noise = torch.zeros_like(z), 0.0
    open_ = torch.ones(len(z), dtype=torch.bool, device=z.device)
    for _ in range(3):
        near, far = prox(t * z, t), prox(10 * t * z, 10 * t)
        size = norms(far)
        ended = open_ & (size < 2 * norms(near)) & (size > noise * norms(10 * t * z))
        found = torch.where(column(ended, z), far, found)
        open_ = open_ & ~ended
        if not bool(open_.any()):
            break
        t, noise = 1000 * t, 100 * torch.finfo(z.dtype).eps
    return found
