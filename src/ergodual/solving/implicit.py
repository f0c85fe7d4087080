"""The derivative of the solution itself, by the linear system that its active set leaves."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ergodual.errors import ErgodualError, NotDifferentiableWarning
from ergodual.primal_dual.backward import Wanted
from ergodual.problem import Problem
from ergodual.solving.active_set import least_norm, missed, solve_saddle
from ergodual.solving.certificates import Lower
from ergodual.solving.neumann import AtSolution, FixedPoint
from ergodual.solving.newton import free, free_beside, matrix_of, newton

LANDED = {torch.float64: 1e-10, torch.float32: 1e-6}
"""Errors that rounding may leave where the active set is the right one; a kink this near to a prox's argument counts as met."""
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
        Where a Newton step on the active set lands on a point with that same active set, ``(batch,)``.
    regular
        Where moreover the solution is unique and strictly complementary, so that its derivative exists, ``(batch,)``. Where x̂ = 0,
        as near silence, there may be a derivative in K and F, which is 0, and none in x̃ and G: only what is asked for counts.
    """

    residual: Tensor
    settled: Tensor
    regular: Tensor


class Implicit(AtSolution):
    """The derivative of the solution map, by the implicit function theorem on the active set.

    At a fixed point, let D_P and D_D be the diagonals of the derivatives of prox_{τG} and prox_{σF*}, I and J the coordinates where
    they are not 0, a = (1 − D_P)/(τ D_P) and e = (1 − D_D)/(σ D_D). The sums over the reverse sweep (7)–(9) for infinitely many
    iterations, P = τ Σ_k δ_P^k on I and S = σ Σ_k δ_D^k on J, solve

        a ⊙ P − K_JIᵀ S = g_I,      K_JI P + e ⊙ S = 0,

    and (10) becomes ∂L/∂K = S x̂ᵀ − y Pᵀ. For the paper's problem a = e = 0 and K_JI is square, so P = 0 and one system of the size of
    the active set is left. The steps σ and τ cancel.

    Parameters
    ----------
    otherwise
        What is done for samples whose active set has not settled (the solution is not accurate enough), or whose derivative does not
        exist, because the system is singular (the solution is not unique) or a bound is met with a zero multiplier (it is not
        strictly complementary): ``"least-squares"`` takes the solution of least norm and warns; ``"refuse"`` raises.

    Attributes
    ----------
    report
        On the latest backward pass; None before the first.

    Raises
    ------
    ErgodualError
        If ``otherwise`` is neither; in the backward pass, if F or G is not separable, or a derivative does not exist and is to be refused.
    """

    def __init__(self, otherwise: Literal["least-squares", "refuse"] = "least-squares") -> None:
        if otherwise not in ("least-squares", "refuse"):
            raise ErgodualError(
                f"Implicit's otherwise is {otherwise!r}; it must be 'least-squares' or 'refuse'."
            )
        self.otherwise = otherwise
        self.report: Report | None = None

    def check(self, problem: Problem) -> None:
        """See :class:`AtSolution`."""
        if not (problem.F.separable and problem.G.separable):
            raise ErgodualError(
                "Implicit needs functions that are sums over coordinates; take Neumann(b) for others."
            )

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> tuple[Tensor | None, ...]:
        """See :class:`AtSolution`."""
        problem, x_tilde, r, y, sigma, tau, _ = point
        self.check(problem)
        F, G, K = problem.F, problem.G, problem.K
        Kx, matrix, at = K(x_tilde), matrix_of(K), (sigma, tau)
        D_P, D_D = free(problem, Kx, r, y, *at)
        step, landed = newton(problem, matrix, Kx, r, y, *at, D_P, D_D), LANDED.get(r.dtype, 1e-6)
        below, above = (free_beside(problem, Kx, *step, *at, shift) for shift in (-landed, landed))
        kink, stays = ~_alike(below, above), _alike((D_P, D_D), below, above)
        loose, inner = (below[0] > 0) | (above[0] > 0), (below[1] > 0) & (above[1] > 0)
        zero = ((x_tilde + step[0]).abs().amax(-1) <= landed * x_tilde.abs().amax(-1)) & (
            not (wanted.x_tilde or wanted.G)
        )
        P, S, residual, singular = (
            torch.zeros_like(r),
            torch.zeros_like(y),
            r.new_zeros(len(r)),
            torch.zeros_like(kink),
        )
        for i in range(len(r)):
            if zero[i] and _full_rank(
                matrix[inner[i]][:, loose[i]]
            ):  # then y can answer any small change of K, and x̂ stays 0
                kink[i] = False
                continue
            free_r, free_y = D_P[i].nonzero()[:, 0], D_D[i].nonzero()[:, 0]
            if not len(free_r):  # nothing can move, but where y is not unique it may leap
                singular[i] = len(free_y) > 0
                continue
            a, e = (
                (1 - D_P[i, free_r]) / (tau * D_P[i, free_r]),
                (1 - D_D[i, free_y]) / (sigma * D_D[i, free_y]),
            )
            system = matrix[free_y][:, free_r], a, e, g[i, free_r], torch.zeros_like(e)
            found = solve_saddle(*system)
            if found is None or not missed(*system, *found) <= torch.finfo(r.dtype).eps ** 0.4:
                singular[i], found = True, least_norm(*system)
            residual[i] = missed(*system, *found)
            P[i, free_r], S[i, free_y] = found[0], -found[1]
        settled = stays & ~singular
        if singular.any():  # no Newton step was taken, and the point itself must be the solution
            settled |= stays & (
                Lower(problem, x_tilde, point.norm, 0.0).judge(*step).error <= landed
            )
        self._account(Report(residual, settled, settled & ~singular & ~kink), singular)
        kept_r, kept_y = (
            z if f.derivative_from == "input" else p
            for f, z, p in ((G, point.z_primal, r), (F, point.z_dual, y))
        )
        KTS = K.adjoint(S)
        _, in_G = G.prox_vjp(kept_r, tau, P + tau * (KTS + g), wanted.G)
        _, in_F = F.prox_conjugate_vjp(kept_y, sigma, S - sigma * K(P), wanted.F)
        r, y = (
            torch.where(settled[:, None], new, old) for new, old in zip(step, (r, y), strict=True)
        )  # where that is nearer
        in_K = K.gradients(S, x_tilde + r), K.gradients(y, P)
        return (
            g + KTS if wanted.x_tilde else None,
            *(a - b if wanted.K else None for a, b in zip(*in_K, strict=True)),
            *_over(in_F, sigma, len(F.tensors())),
            *_over(in_G, tau, len(G.tensors())),
        )

    def _account(self, report: Report, singular: Tensor) -> None:
        self.report = report
        unknown = ~report.regular
        if not unknown.any():
            return
        causes = {
            "have an active set that has not settled (solve to a smaller tolerance)": ~report.settled
            & ~singular,
            "a singular system (the solution is not unique, or not accurate enough to tell)": singular
            & unknown,
            "a solution at a kink (it is not strictly complementary)": report.settled
            & unknown
            & ~singular,
        }
        told = ", ".join(
            f"{int(which.sum())} {cause}" for cause, which in causes.items() if which.any()
        )
        said = f"{int(unknown.sum())} of {len(unknown)} samples have no derivative that is known: {told}"
        if self.otherwise == "refuse":
            raise ErgodualError(
                f"{said}; leave these samples out, or give Implicit('least-squares')."
            )
        warnings.warn(
            f"{said}; theirs are those of least norm where there is no one solution.",
            NotDifferentiableWarning,
            stacklevel=2,
        )


def _alike(one: tuple[Tensor, ...], *others: tuple[Tensor, ...]) -> Tensor:
    """Whether the diagonals of each sample are, coordinate by coordinate, those of one of the others."""
    near = [
        torch.stack([(a - b).abs() <= SAME for b in of]).any(0).all(-1)
        for a, *of in zip(one, *others, strict=True)
    ]
    return torch.stack(near).all(0)


def _full_rank(A: Tensor) -> bool:
    """Whether the columns are independent."""
    return int(torch.linalg.matrix_rank(A)) == A.shape[1]


def _over(found: tuple[Tensor | None, ...], step: float, count: int) -> list[Tensor | None]:
    """Parameter gradients from a sum that was scaled by the step; None for each where none were wanted."""
    return [None if t is None else t / step for t in found] if found else [None] * count
