"""The restarted primal-dual method for :func:`~ergodual.solve`."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.solving.accelerated import Stretch, accelerated
from ergodual.solving.at_solution import FixedPoint
from ergodual.solving.certificates import EVERY, Pending, Point, best
from ergodual.solving.linear_solvers import Minres
from ergodual.solving.linearised import Linearised
from ergodual.solving.newton import free, newton, number_of, signature
from ergodual.solving.newton_step import newton_step
from ergodual.tensors import column, norms

ARRIVED = 4.0
"""By what the step of one variable grows at a restart where the other no longer moves, ..."""
FARTHEST = 1000.0
"""... while ω is within this factor of the first guess."""
EARLIEST = 256
"""Iterations before the first Newton step by products."""


ACCELERATED = 1024
"""Iterations after which Halpern's take over, unless the accelerated ones are asked for: where F is
piecewise linear they may be ten times ahead to small gaps.
"""


class Restarts(NamedTuple):
    """What :class:`Restarted` carries on.

    Attributes
    ----------
    r, y
        The iterates.
    r_other, y_other
        Their averages since the last restart; for Halpern's iteration what the last primal-dual
        step gave; for the accelerated one r̄, and nothing.
    r_anchor, y_anchor
        The iterates of the last restart.
    weight
        ω.
    since
        Iterations since then.
    growth
        By what σ has grown since then; 0 where the iterations are not accelerated.
    begun, last
        The error at the last restart, and when it was looked at last.
    seen, tried
        Signatures of the active set when it was looked at last, and of the one on which a Newton
        step was no help.
    attempted
        When a Newton step by products was tried last.
    """

    r: Tensor
    y: Tensor
    r_other: Tensor
    y_other: Tensor
    r_anchor: Tensor
    y_anchor: Tensor
    weight: Tensor
    since: Tensor
    growth: Tensor
    begun: Tensor
    last: Tensor
    seen: Tensor
    tried: Tensor
    attempted: Tensor


class Restarted:
    """The restarted primal-dual method, which converges linearly where F and G are piecewise linear
    or quadratic.

    Every sample restarts for itself, with a primal weight ω of its own (Applegate et al.,
    "Practical large-scale linear programming using primal-dual hybrid gradient", NeurIPS 2021): as
    soon as the error is a fifth of what it was at the last restart; when it is below four fifths
    and no longer falls; or when the iterations since then are 36 % of all. ω then moves half-way,
    on a logarithmic scale, to ‖Δy‖/‖Δr‖ of the last stretch.

    Parameters
    ----------
    kind
        ``"average"``: the iterates and their ergodic averages are compared, and the better point is
        what it restarts from. ``"halpern"``: z^{k+1} = (k+1)/(k+2) (2T(z^k) − z^k) + 1/(k+2) z^0
        with T the primal-dual step and z^0 the last restart (Lu, Yang, "Restarted Halpern PDHG for
        linear programming", 2024), which takes about half as many iterations. ``"accelerated"``:
        Algorithm 2 of Chambolle, Pock, JMIV 2011, for a strongly convex G, as of denoising, whose
        steps begin anew at each restart; without strong convexity it is their Algorithm 1. If None,
        this one where G is strongly convex and no Newton step by a matrix ends the work, for 1,024
        iterations, and else Halpern's.
    precondition
        Whether coordinates have steps of their own: the parts K_i of a stack in the proportion of
        1/‖K_i‖², so that the units of a part do not matter; for a matrix, those of 1/‖row‖ and
        1/‖column‖ (in the manner of Pock, Chambolle, ICCV 2011, and still scaled by the norm of
        what that makes of K), where rows differ much. If None, the parts of a stack have them.
    polish
        Whether a sample whose active set has settled tries a Newton step on it, which is the
        solution, to rounding, if the set is the right one and F and G are piecewise linear or
        quadratic. By a dense system of the set where :class:`Direct` fits; else by MINRES, with
        half as many products as the iterations before took at most.

    Raises
    ------
    ErgodualError
        If there is no such kind.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> x_tilde = torch.tensor([[0.5, 1.5, 0.5, -0.5]])
    >>> ed.solve(problem, x_tilde, method=ed.Restarted("average")).converged
    tensor([True])
    """

    def __init__(
        self,
        kind: Literal["average", "halpern", "accelerated"] | None = None,
        precondition: bool | None = None,
        polish: bool = True,
    ) -> None:
        if kind not in (None, "average", "halpern", "accelerated"):
            raise ErgodualError(
                f"Restarted's kind is {kind!r}; it must be 'average', 'halpern' or 'accelerated'."
            )
        self.kind, self.precondition, self.polish = kind, precondition, polish

    def start(self, pending: Pending, r: Tensor, y: Tensor, weight: Tensor | None) -> Restarts:
        """See :class:`Method`."""
        weight = pending.first_weight() if weight is None else weight
        unknown = torch.full_like(pending.unit, math.inf)
        none = torch.full_like(unknown, -1, dtype=torch.long)
        zero = torch.zeros_like(unknown)
        strongly = pending.mu > 0 and pending.matrix is None
        fast = self.kind == "accelerated" or (self.kind is None and strongly)
        growth = torch.full_like(zero, float(fast))
        return Restarts(r, y, r, y, r, y, weight, zero, growth, unknown, unknown, none, none, zero)

    def advance(self, pending: Pending, state: Restarts, iterations: int) -> Restarts:
        """See :class:`Method`."""
        if bool(state.growth.any()):
            stretch = Stretch(state.r, state.y, state.r_other, state.growth)
            r, y, bar, growth = accelerated(pending, stretch, state.weight, iterations)
            since = state.since + iterations
            return state._replace(r=r, y=y, r_other=bar, growth=growth, since=since)
        F, G, K = pending.instance.F, pending.instance.G, pending.instance.K
        r, y, r_other, y_other = (t.clone() for t in state[:4])
        sigma, tau = pending.steps(state.weight)
        halpern, since = self.kind in (None, "halpern"), state.since
        r_next, v = torch.empty_like(r), torch.empty_like(r)
        y_next, Ku = torch.empty_like(y), torch.empty_like(y)
        for i in range(iterations):
            # T(r, y): r⁺ = prox_{τG}(r − τKᵀy), y⁺ = prox_{σF*}(y + σ(c + K(2r⁺ − r)))
            K.adjoint_onto(r, y, -1.0, out=v, keep=0.0)
            G.prox_(torch.addcmul(r, v, tau, out=r_next), tau)
            r.lerp_(r_next, 2.0)
            K.forward_onto(pending.c, r, 1.0, out=Ku)
            F.prox_conjugate_(torch.addcmul(y, Ku, sigma, out=y_next), sigma)
            done = since + i
            if halpern:
                share = (done + 1) / (done + 2)
                torch.lerp(state.r_anchor, r, column(share, r), out=r)
                torch.lerp(state.y_anchor, y.lerp_(y_next, 2.0), column(share, y), out=y)
            else:
                (r, r_next), (y, y_next) = (r_next, r), (y_next, y)
                r_other.lerp_(r, column(1 / (done + 1), r))
                y_other.lerp_(y, column(1 / (done + 1), y))
        if halpern:
            r_other, y_other = r_next, y_next
        since = since + iterations
        return state._replace(r=r, y=y, r_other=r_other, y_other=y_other, since=since)

    def candidate(self, pending: Pending, state: Restarts, done: int) -> tuple[Restarts, Point]:
        """See :class:`Method`."""
        fast = bool(state.growth.any())
        other = state[:2] if fast else (state.r_other, state.y_other)
        point = pending.judge(*other)
        if self.kind == "average":
            point = best(point, pending.judge(state.r, state.y))
        state, point, landed = self._polished(pending, state, point, done)
        error, since = point.error, state.since
        fell = (error <= 0.2 * state.begun) | ((error <= 0.8 * state.begun) & (error > state.last))
        restart = landed | fell | (since >= 0.36 * max(1, done))
        growth = torch.where(restart, 1.0, state.growth) if fast else state.growth
        if fast and self.kind is None and done >= ACCELERATED:
            restart, growth = torch.ones_like(restart), torch.zeros_like(growth)
        in_r, in_y = column(restart, point.r), column(restart, point.y)
        return Restarts(
            torch.where(in_r, point.r, state.r),
            torch.where(in_y, point.y, state.y),
            torch.where(in_r, point.r, state.r_other),
            torch.where(in_y, point.y, state.y_other),
            torch.where(in_r, point.r, state.r_anchor),
            torch.where(in_y, point.y, state.y_anchor),
            torch.where(restart, self._moved(pending, state, point), state.weight),
            torch.where(restart, 0.0, since),
            growth,
            torch.where(restart, error, state.begun),
            torch.where(restart, math.inf, error),
            state.seen,
            state.tried,
            state.attempted,
        ), point

    def _polished(
        self, pending: Pending, state: Restarts, point: Point, done: int
    ) -> tuple[Restarts, Point, Tensor]:
        """At their Newton step, if that is nearer: samples whose active set is that of the last
        look.

        And which samples that is.
        """
        landed = torch.zeros_like(point.error, dtype=torch.bool)
        if not self.polish:
            return state, point, landed
        if pending.matrix is None:
            state, rows, found = self._by_products(pending, state, point, done)
        else:
            state, rows, found = self._by_matrix(pending, state, point, pending.matrix)
        if not len(rows):
            return state, point, landed
        some = Point(*(t[rows] for t in point))
        better = _better(pending.at(rows), some, found)
        found = found._replace(error=torch.where(better, found.error, math.inf))
        nearer = best(some, found)
        point = Point(*(t.index_copy(0, rows, new) for t, new in zip(point, nearer, strict=True)))
        # no set is tried again in vain, and products are not spent on one at every look
        tried = torch.where(better, state.tried[rows], state.seen[rows])
        helped = better & (found.error <= 0.2 * some.error)
        attempted = torch.where(helped, state.attempted[rows], float(done))
        state = state._replace(
            tried=state.tried.index_copy(0, rows, tried),
            attempted=state.attempted.index_copy(0, rows, attempted),
        )
        return state, point, landed.index_copy(0, rows, better)

    def _by_matrix(
        self, pending: Pending, state: Restarts, point: Point, matrix: Tensor
    ) -> tuple[Restarts, Tensor, Point]:
        """Dense systems, for samples whose set has settled and was not tried in vain."""
        sigma, tau = pending.steps(state.weight)
        D_P, D_D = free(pending.instance, pending.c, point.r, point.y, sigma, tau)
        seen = signature(D_P, D_D)
        settled = (seen == state.seen) & (seen != state.tried) & (point.error > pending.tol)
        rows, state = settled.nonzero()[:, 0], state._replace(seen=seen)
        if not len(rows):
            return state, rows, point
        some = pending.at(rows)
        at = (t[rows] for t in (point.r, point.y, sigma, tau, D_P, D_D))
        step = newton(some.instance, matrix, some.c, *at)
        return state, rows, some.judge(*step)

    def _by_products(
        self, pending: Pending, state: Restarts, point: Point, done: int
    ) -> tuple[Restarts, Tensor, Point]:
        """MINRES, for samples whose set has settled, each time that the iterations have doubled and
        with half as many products at most.
        """
        one = pending.instance
        # the set is compared with that of the look before, and to find it takes long
        early = done + EVERY < EARLIEST
        if early or one.F.per_sample is None or one.G.per_sample is None:
            return state, state.seen.new_zeros(0), point
        sigma, tau = pending.steps(state.weight)
        at = Linearised.of(FixedPoint(one, point.r, point.y, sigma, tau, 1.0))
        seen = number_of(at.active())
        settled = (seen == state.seen) & (point.error > pending.tol)
        settled &= (done >= EARLIEST) & (done >= 2 * state.attempted)
        rows, state = settled.nonzero()[:, 0], state._replace(seen=seen)
        if not len(rows):
            return state, rows, point
        some = pending.at(rows)
        r, y, sigma, tau = (t[rows] for t in (point.r, point.y, sigma, tau))
        there = FixedPoint(some.instance, r, y, sigma, tau, 1.0)
        at = Linearised.of(there)
        landed, _ = newton_step(there, at, Minres(1e-6, done // 2).prepare(at))
        return state, rows, some.judge(landed.r, landed.y)

    def _moved(self, pending: Pending, state: Restarts, point: Point) -> Tensor:
        """ω half-way to ‖Δy‖/‖Δr‖, where both moved.

        Where only one did, since the other has arrived, larger steps for that one.
        """
        dual, primal = point.y - state.y_anchor, point.r - state.r_anchor
        tiny = torch.finfo(dual.dtype).eps
        y_moved = norms(dual) > tiny * norms(point.y)
        r_moved = norms(primal) > tiny * norms(point.r)
        one_sided = state.weight * ARRIVED ** (y_moved.to(dual) - r_moved.to(dual))
        # no further, lest a variable that rounding holds be taken for one that has arrived
        far = (one_sided / pending.first_weight()).log().abs() > math.log(FARTHEST)
        one_sided = torch.where(far, state.weight, one_sided)
        both = (state.weight * pending.ratio(primal, dual)).sqrt()
        return torch.where(y_moved & r_moved, both, one_sided)


def _better(pending: Pending, old: Point, new: Point) -> Tensor:
    """Whether a Newton step helped: by the gap where there is one; else both the objective and the
    error must not rise, as a step of a nearly singular set may go far, to where the residual is
    small by itself.
    """
    K, c = pending.instance.K, pending.c
    before, after = (pending.primal(p.r, c + K(p.r)) for p in (old, new))
    lower = (after <= before) | (before.isinf() & after.isfinite()) | (new.error <= pending.tol)
    finite = old.gap.isfinite() & new.gap.isfinite()
    return torch.where(finite, new.gap < old.gap, lower) & (new.error < old.error)
