"""Gradients at a solution by the adjoint primal-dual iteration, run to a tolerance."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.errors import NotDifferentiableWarning
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.solving.at_solution import AtSolution, FixedPoint
from ergodual.solving.linearised import Linearised, ProxDerivative
from ergodual.tensors import column, norms, require

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-5}
EVERY = 16
"""Iterations between two looks at the residual."""


@dataclass(frozen=True)
class Run:
    """How the adjoint iteration of each sample ended.

    Attributes
    ----------
    residual
        What a step still moves (P, S) by, over their size, ``(batch,)``.
    estimate
        Of the distance to the limit, over their size, ``(batch,)``: the last move between two
        restarts, continued as a geometric series with the ratio of the last two. No bound.
    bound
        Of the error of ∂L/∂K as a matrix, S x̂ᵀ − y Pᵀ, in the Frobenius norm, ``(batch,)``: see
        :class:`Piggyback`; infinite where curvature is missing.
    iterations
        How many it took, in steps of 16, ``(batch,)``.
    converged
        Whether the residual is at most the tolerance, ``(batch,)``.
    """

    residual: Tensor
    estimate: Tensor
    bound: Tensor
    iterations: Tensor
    converged: Tensor


class Piggyback(AtSolution):
    """The derivative of the solution by an adjoint primal-dual iteration, with products alone.

    The sums P and S of :class:`Implicit` are the saddle point of a quadratic problem,

        min_P max_{−S}  ½⟨P, H_P P⟩ − ⟨g, P⟩ − ⟨KP, S⟩ − ½⟨S, H_D S⟩,

    with the second derivatives H_P of G and H_D of F* at the solution, and P and S in the ranges of
    M_P = (1 + τH_P)⁻¹ and M_D = (1 + σH_D)⁻¹, the derivatives of the two proxes. Its primal-dual
    step is P⁺ = M_P(P + τ(KᵀS + g)), S⁺ = M_D(S − σK(2P⁺ − P)), the derivative of the lower level's
    own (Bogensperger, Chambolle, Pock, "Convergence of a piggyback-style method for the
    differentiation of solutions of standard saddle-point problems", SIMODS 2022). It is run by the
    solver's method, Halpern's iteration with restarts, for every sample to a tolerance of its own,
    and takes the memory of the solver: a few iterates, for any operator and functions.

    With v = P − P⁺ and w = S − S⁺ the last step leaves ρ_P = −v/τ − Kᵀw and ρ_S = −w/σ − Kv of
    the system, and where H_P ≥ μ and H_D ≥ δ on those ranges the errors of P⁺ and S⁺ satisfy
    μ‖e_P‖² + δ‖e_S‖² ≤ ‖ρ_P‖²/μ + ‖ρ_S‖²/δ = b², so that ∂L/∂K is off by at most
    b (‖x̂‖/√δ + ‖y‖/√μ): the a-posteriori bound in the manner of Bogensperger, Ehrhardt, Pock,
    Salehi, Wong, "An adaptively inexact method for bilevel learning using primal-dual style
    differentiation", JMIV 2025. It is that of the linear system at the point that was found, and
    asks for a strongly convex G and a smooth F (``Huber``, ``SquaredL2``).

    At a kink, where :class:`Implicit` warns, nothing is said if the iteration converges: what comes
    is the slope of the side on which rounding left the iterates.

    Parameters
    ----------
    tol
        Of the residual, relative to the size of (P, S); 1e-8 in float64 and 1e-5 in float32 if
        None.
    max_iterations
        Where it ends in any case; each takes a product with K and one with Kᵀ.

    Attributes
    ----------
    report
        On the latest backward pass; None before the first.

    Raises
    ------
    ErgodualError
        If an argument is out of its range.

    Warns
    -----
    NotDifferentiableWarning
        In the backward pass, if a sample has not reached the tolerance, as may be where the
        derivative does not exist.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor(0.3))
    >>> problem = ed.Problem(F=ed.L1(weight), G=ed.SquaredL2(), K=ed.Gradient())
    >>> layer = ed.Solved(problem, adjoint=ed.Piggyback())
    >>> layer(torch.tensor([[0.1, -0.1, 0.0, 1.1, 0.9, 1.0]]))[0, 0].backward()
    >>> weight.grad
    tensor(0.3333)
    """

    def __init__(self, tol: float | None = None, max_iterations: int = 20_000) -> None:
        require(
            tol is None or 0 < tol < 1,
            f"Piggyback's tolerance is {tol}; it must be between 0 and 1.",
        )
        require(
            isinstance(max_iterations, int) and max_iterations >= 1,
            f"Piggyback's number of iterations is {max_iterations}; it must be a whole number, at "
            "least 1.",
        )
        self.tol, self.max_iterations = tol, max_iterations
        self.report: Run | None = None

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> Gradients:
        """See :class:`AtSolution`."""
        tol = TOLERANCE.get(g.dtype, 1e-5) if self.tol is None else self.tol
        at = Linearised.of(point)
        P, S, self.report = run(at, g, tol, self.max_iterations)
        left = ~self.report.converged
        if bool(left.any()):
            warnings.warn(
                f"the adjoint iteration of {int(left.sum())} of {len(left)} samples did not reach "
                f"{tol:g} within {self.max_iterations} iterations; the largest residual is "
                f"{float(self.report.residual.max()):.2g}: give Piggyback more iterations, or "
                "leave out samples that have no derivative.",
                NotDifferentiableWarning,
                stacklevel=2,
            )
        return point.collect(at.all_sums(P, S, g), g, wanted)


class State(NamedTuple):
    """What the iteration carries on, a row for each sample: the iterates, those of the last
    restart, the iterations since, the residual then and at the last look, and the last move between
    two restarts and its ratio to the one before.
    """

    P: Tensor
    S: Tensor
    P_anchor: Tensor
    S_anchor: Tensor
    since: Tensor
    begun: Tensor
    last: Tensor
    move: Tensor
    ratio: Tensor


def run(at: Linearised, g: Tensor, tol: float, limit: int) -> tuple[Tensor, Tensor, Run]:
    """P and S, and how they were found."""
    P, S = torch.zeros_like(at.point.r), torch.zeros_like(at.point.y)
    none = at.size(P, S)
    unknown, one = torch.full_like(none, math.inf), torch.ones_like(none)
    state = State(P, S, P, S, none, unknown, unknown, unknown, one)
    residual, estimate, bound = unknown, unknown, unknown
    iterations, open_, done = none.long(), one.bool(), 0
    while bool(open_.any()) and done < limit:
        count = min(EVERY, limit - done)
        state, stepped = _advance(at, g, state, count)
        done += count
        v, w = state.P - stepped[0], state.S - stepped[1]
        size = at.size(*stepped)
        moved = torch.where(size > 0, at.size(v, w) / size, 0.0)
        state = _restarted(at, state, stepped, moved, done)
        # samples that have ended stay as they were then
        P = torch.where(column(open_, P), stepped[0], P)
        S = torch.where(column(open_, S), stepped[1], S)
        residual = torch.where(open_, moved, residual)
        iterations = torch.where(open_, done, iterations)
        ended = open_ & ((moved <= tol) | (done >= limit))
        if bool(ended.any()):
            estimate = torch.where(ended, _estimate(state, size, moved), estimate)
            bound = torch.where(ended, _bound(at, v, w), bound)
        open_ = open_ & ~ended
    return P, S, Run(residual, estimate, bound, iterations, residual <= tol)


def _step(at: Linearised, g: Tensor, P: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
    one, sigma, tau = at.point.instance, at.point.sigma, at.point.tau
    P_next = at.M_P(P + tau * (one.K.adjoint(S, one.domain) + g))
    return P_next, at.M_D(S - sigma * one.K(2 * P_next - P))


def _advance(
    at: Linearised, g: Tensor, state: State, count: int
) -> tuple[State, tuple[Tensor, Tensor]]:
    """So many steps further, and what the last of them gave."""
    P, S = state.P.clone(), state.S.clone()
    stepped = _step(at, g, P, S)
    for i in range(count - 1):
        done = state.since + i
        share = (done + 1) / (done + 2)
        torch.lerp(state.P_anchor, P.lerp_(stepped[0], 2.0), column(share, P), out=P)
        torch.lerp(state.S_anchor, S.lerp_(stepped[1], 2.0), column(share, S), out=S)
        stepped = _step(at, g, P, S)
    return state._replace(P=P, S=S, since=state.since + count - 1), stepped


def _restarted(
    at: Linearised, state: State, stepped: tuple[Tensor, Tensor], moved: Tensor, done: int
) -> State:
    """Of the samples whose residual fell, or no longer does: see :class:`Restarted`."""
    fell = (moved <= 0.2 * state.begun) | ((moved <= 0.8 * state.begun) & (moved > state.last))
    restart = fell | (state.since >= 0.36 * done)
    in_P, in_S = column(restart, stepped[0]), column(restart, stepped[1])
    move = at.size(stepped[0] - state.P_anchor, stepped[1] - state.S_anchor)
    return State(
        torch.where(in_P, stepped[0], state.P),
        torch.where(in_S, stepped[1], state.S),
        torch.where(in_P, stepped[0], state.P_anchor),
        torch.where(in_S, stepped[1], state.S_anchor),
        torch.where(restart, 0.0, state.since),
        torch.where(restart, moved, state.begun),
        torch.where(restart, math.inf, moved),
        torch.where(restart, move, state.move),
        torch.where(restart & state.move.isfinite(), move / state.move, state.ratio),
    )


def _estimate(state: State, size: Tensor, moved: Tensor) -> Tensor:
    """See :class:`Run`; not below what a step moves, nor known before the second restart."""
    series = state.move * state.ratio / (1 - state.ratio)
    known = torch.where(state.ratio < 1, torch.maximum(series / size, moved), math.inf)
    return torch.where(moved > 0, known, 0.0)


def _bound(at: Linearised, v: Tensor, w: Tensor) -> Tensor:
    """Of the error of S x̂ᵀ − y Pᵀ, from what the last step moved P and S by."""
    point, one = at.point, at.point.instance
    smooth = one.F.smoothness()
    mu = _curvature(at.M_P, point.tau, one.G.strong_convexity(), v)
    delta = _curvature(at.M_D, point.sigma, 1 / smooth if smooth > 0 else 0.0, w)
    rho_P = norms(v / point.tau + one.K.adjoint(w, one.domain))
    rho_S = norms(w / point.sigma + one.K(v))
    in_P, in_S = mu.sqrt(), delta.sqrt()
    b = torch.hypot(_over(rho_P, in_P), _over(rho_S, in_S))
    return b * (_over(norms(one.estimate(point.r)), in_S) + _over(norms(point.y), in_P))


def _over(size: Tensor, by: Tensor) -> Tensor:
    """size/by, where 0 needs no curvature."""
    return torch.where(size > 0, size / by, 0.0)


def _curvature(M: ProxDerivative, step: Tensor | float, least: float, like: Tensor) -> Tensor:
    """The least second derivative in the range of M, ``(batch,)``; where M is no diagonal, the
    least of all.
    """
    if M.diagonal is None or not like[0:1].numel():
        return like.new_full((len(like),), least)
    found = torch.where(M.diagonal > 0, (1 / M.diagonal - 1) / step, math.inf)
    return found.flatten(1).amin(1).clamp(min=least)
