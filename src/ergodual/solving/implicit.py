"""The derivative of the solution itself, by the linear system that its active set leaves."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ergodual.errors import ErgodualError, NotDifferentiableWarning
from ergodual.instance import Instance
from ergodual.operators.norms import matrix_of
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.solving.active_set import least_norm, missed, solve_saddle
from ergodual.solving.certificates import Pending
from ergodual.solving.neumann import AtSolution, FixedPoint
from ergodual.solving.newton import free, free_beside, newton
from ergodual.tensors import Number, column, everywhere, largest

LANDED = {torch.float64: 1e-10, torch.float32: 1e-6}
"""Errors that rounding may leave where the active set is the right one; a kink this near to a
prox's argument counts as met.
"""
MOST = 2**26
"""Entries up to which K is set up as a matrix."""
SAME = 1e-3
"""Derivatives of a prox that differ by no more are the same."""


@dataclass(frozen=True)
class Report:
    """How the derivatives of a batch were found.

    Attributes
    ----------
    residual
        ‖M δ − g‖/‖g‖ of each sample's linear system, ``(batch,)``.
    settled
        Where a Newton step on the active set lands on a point with that same active set,
        ``(batch,)``.
    regular
        Where moreover the solution is unique and strictly complementary, so that its derivative
        exists, ``(batch,)``. Where x̂ = 0, as near silence, there may be a derivative in K and F,
        which is 0, and none in x̃ and G: only what is asked for counts.
    """

    residual: Tensor
    settled: Tensor
    regular: Tensor


class Implicit(AtSolution):
    """The derivative of the solution map, by the implicit function theorem on the active set.

    At a fixed point, let D_P and D_D be the diagonals of the derivatives of prox_{τG} and
    prox_{σF*}, I and J the coordinates where they are not 0, a = (1 − D_P)/(τ D_P) and e = (1 −
    D_D)/(σ D_D). The sums over the reverse sweep (7)–(9) for infinitely many iterations, P = τ Σ_k
    δ_P^k on I and S = σ Σ_k δ_D^k on J, solve

        a ⊙ P − K_JIᵀ S = g_I,      K_JI P + e ⊙ S = 0,

    and (10) becomes ∂L/∂K = S x̂ᵀ − y Pᵀ. For the paper's problem a = e = 0 and K_JI is square, so
    P = 0 and one system of the size of the active set is left. The steps σ and τ cancel.

    Parameters
    ----------
    otherwise
        What is done for samples whose active set has not settled (the solution is not accurate
        enough), or whose derivative does not exist, because the system is singular (the solution is
        not unique) or a bound is met with a zero multiplier (it is not strictly complementary):
        ``"least-squares"`` takes the solution of least norm and warns; ``"refuse"`` raises.

    Attributes
    ----------
    report
        On the latest backward pass; None before the first.

    Raises
    ------
    ErgodualError
        If ``otherwise`` is neither; in the backward pass, if F or G is not separable, or a
        derivative does not exist and is to be refused.
    """

    def __init__(self, otherwise: Literal["least-squares", "refuse"] = "least-squares") -> None:
        if otherwise not in ("least-squares", "refuse"):
            raise ErgodualError(
                f"Implicit's otherwise is {otherwise!r}; it must be 'least-squares' or 'refuse'."
            )
        self.otherwise = otherwise
        self.report: Report | None = None

    def check(self, one: Instance) -> None:
        """See :class:`AtSolution`."""
        if not (one.F.separable and one.G.separable):
            raise ErgodualError(
                "Implicit needs functions that are sums over coordinates; take Neumann(b) for "
                "others."
            )
        n, m = math.prod(one.domain), math.prod(one.codomain)
        if n * m > MOST:
            raise ErgodualError(
                f"Implicit sets K up as a matrix, which has {m} x {n} entries here, and at most "
                f"{MOST} are taken; take Neumann(b)."
            )

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> Gradients:
        """See :class:`AtSolution`."""
        one, r, y, sigma, tau, _ = point
        self.check(one)
        c, matrix, at = one.constant(), matrix_of(one.K, one.domain, one.like), (sigma, tau)
        free_at = D_P, D_D = free(one, c, r, y, *at)
        step = newton(one, matrix, c, r, y, *at, D_P, D_D)
        landed = LANDED.get(r.dtype, 1e-6)
        below, above = (free_beside(one, c, *step, *at, shift) for shift in (-landed, landed))
        kink, stays = ~_alike(below, above), _alike(free_at, below, above)
        P, S, residual, singular = _systems(
            matrix, free_at, at, g, self._silent(one, step, wanted, landed, matrix, below, above)
        )
        kink &= residual >= 0  # a sample that is silent has a derivative of 0
        residual = residual.clamp(min=0)
        settled = stays & ~singular
        if singular.any():  # no Newton step was taken, and the point itself must be the solution
            error = Pending.of(one, point.norm, 0.0, None).judge(*step).error
            settled |= stays & (error <= landed)
        self._account(Report(residual, settled, settled & ~singular & ~kink), singular)
        P, S = P.view_as(r), S.view_as(y)
        # the Newton point where that is nearer
        near_r = torch.where(column(settled, r), step[0], r)
        near_y = torch.where(column(settled, y), step[1], y)
        return self._collect(point, P, S, near_r, near_y, g, wanted)

    def _silent(
        self,
        one: Instance,
        step: tuple[Tensor, Tensor],
        wanted: Wanted,
        landed: float,
        matrix: Tensor,
        below: tuple[Tensor, Tensor],
        above: tuple[Tensor, Tensor],
    ) -> list[bool]:
        """Samples whose x̂ is 0 and stays so, since y can answer any small change of K."""
        silent = [False] * one.batch
        if one.shift is None or "shift" in wanted.names or id(one.G) in wanted.modules:
            return silent
        small = largest(one.shift + step[0]) <= landed * largest(one.shift)
        loose = ((below[0] > 0) | (above[0] > 0)).flatten(1)
        inner = ((below[1] > 0) & (above[1] > 0)).flatten(1)
        for i in small.nonzero()[:, 0].tolist():
            silent[i] = _full_rank(matrix[inner[i]][:, loose[i]])
        return silent

    def _collect(
        self,
        point: FixedPoint,
        P: Tensor,
        S: Tensor,
        r: Tensor,
        y: Tensor,
        g: Tensor,
        wanted: Wanted,
    ) -> Gradients:
        """The gradients that the sums P and S make, (10) among them, at r and y."""
        one, sigma, tau = point.instance, point.sigma, point.tau
        F, G, K = one.F, one.G, one.K
        kept_r = point.z_primal if G.keeps_input() else point.r
        kept_y = point.z_dual if F.keeps_input() else point.y
        KTS, found = K.adjoint(S, one.domain), Gradients(wanted)
        for f, vjp, kept, into, scale in (
            (G, G.prox_vjp, kept_r, P + tau * (KTS + g), tau),
            (F, F.prox_conjugate_vjp, kept_y, S - sigma * K(P), sigma),
        ):
            if id(f) in wanted.modules:
                found.add(f, vjp(kept, scale, into / scale, True)[1], 1.0)
        if id(K) in wanted.modules:
            totals = found.totals(K)
            K.gradients_onto(totals, S, one.estimate(r), 1.0)
            K.gradients_onto(totals, y, P, -1.0)
        found.add_named("offset", S)
        found.add_named("shift", g + KTS)
        return found

    def _account(self, report: Report, singular: Tensor) -> None:
        self.report = report
        unknown = ~report.regular
        if not unknown.any():
            return
        cases = (
            (
                ~report.settled & ~singular,
                "have an active set that has not settled (solve to a smaller tolerance)",
            ),
            (
                singular & unknown,
                "a singular system (the solution is not unique, or not accurate enough to tell)",
            ),
            (
                report.settled & unknown & ~singular,
                "a solution at a kink (it is not strictly complementary)",
            ),
        )
        listed = ", ".join(f"{int(which.sum())} {cause}" for which, cause in cases if which.any())
        said = (
            f"{int(unknown.sum())} of {len(unknown)} samples have no derivative that is known: "
            f"{listed}"
        )
        if self.otherwise == "refuse":
            raise ErgodualError(
                f"{said}; leave these samples out, or give Implicit('least-squares')."
            )
        warnings.warn(
            f"{said}; theirs are those of least norm where there is no one solution.",
            NotDifferentiableWarning,
            stacklevel=2,
        )


def _systems(
    matrix: Tensor,
    free_at: tuple[Tensor, Tensor],
    at: tuple[Number, float],
    g: Tensor,
    silent: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """P and S, flat, of each sample's system, its residual (−1 where x̂ is silent), and where it is
    singular."""
    (D_P, D_D), (sigma, tau), flat = (t.flatten(1) for t in free_at), at, g.flatten(1)
    sigmas = torch.as_tensor(sigma, dtype=g.dtype, device=g.device).expand(D_D.shape[1])
    P, S = torch.zeros_like(D_P), torch.zeros_like(D_D)
    residual = g.new_zeros(len(g))
    singular = torch.zeros_like(residual, dtype=torch.bool)
    for i in range(len(g)):
        if silent[i]:
            residual[i] = -1
            continue
        free_r, free_y = D_P[i].nonzero()[:, 0], D_D[i].nonzero()[:, 0]
        if not len(free_r):  # nothing can move, but where y is not unique it may leap
            singular[i] = len(free_y) > 0
            continue
        a = (1 - D_P[i, free_r]) / (tau * D_P[i, free_r])
        e = (1 - D_D[i, free_y]) / (sigmas[free_y] * D_D[i, free_y])
        system = matrix[free_y][:, free_r], a, e, flat[i, free_r], torch.zeros_like(e)
        found = solve_saddle(*system)
        if found is None or not missed(*system, *found) <= torch.finfo(g.dtype).eps ** 0.4:
            singular[i], found = True, least_norm(*system)
        residual[i] = missed(*system, *found)
        P[i, free_r], S[i, free_y] = found[0], -found[1]
    return P, S, residual, singular


def _alike(one: tuple[Tensor, ...], *others: tuple[Tensor, ...]) -> Tensor:
    """Whether the diagonals of each sample are, coordinate by coordinate, those of one of the
    others.
    """
    near = [
        everywhere(torch.stack([(a - b).abs() <= SAME for b in of]).any(0))
        for a, *of in zip(one, *others, strict=True)
    ]
    return torch.stack(near).all(0)


def _full_rank(A: Tensor) -> bool:
    """Whether the columns are independent."""
    return int(torch.linalg.matrix_rank(A)) == A.shape[1]
