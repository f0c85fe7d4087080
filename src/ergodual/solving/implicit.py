"""The derivative of the solution itself, by the linear system that its active set leaves."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ergodual.errors import ErgodualError, NotDifferentiableWarning
from ergodual.instance import Instance
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.solving.at_solution import AtSolution, FixedPoint
from ergodual.solving.linear_solvers import Direct, LinearSolver, Minres, Solve, fits
from ergodual.solving.linearised import SAME, Linearised
from ergodual.solving.newton_step import newton_step
from ergodual.solving.uniqueness import leaves_unique, stays_silent
from ergodual.tensors import column, everywhere

LANDED = {torch.float64: 1e-10, torch.float32: 1e-6}
"""Errors that rounding may leave where the active set is the right one; a kink this near to a
prox's argument counts as met.
"""


@dataclass(frozen=True)
class Report:
    """How the derivatives of a batch were found.

    Attributes
    ----------
    residual
        How much of g is left by the solution of each sample's linear system, relative to it,
        ``(batch,)``.
    settled
        Where a Newton step on the active set lands on a point with that same active set,
        ``(batch,)``.
    regular
        Where moreover the derivative that is asked for exists: the solution is unique, strictly
        complementary, and, as far as the derivative depends on it, so is y, ``(batch,)``. Where
        rows of K are redundant there may be one in x̃ and F, and none in K.
    """

    residual: Tensor
    settled: Tensor
    regular: Tensor


class Implicit(AtSolution):
    """The derivative of the solution map, by the implicit function theorem on the active set.

    At a fixed point, with M_P and M_D the derivatives of prox_{τG} and prox_{σF*}, the sums over
    the reverse sweep (7)–(9) for infinitely many iterations, P = τ Σ_k δ_P^k and S = σ Σ_k δ_D^k,
    solve

        P = M_P (P + τ(KᵀS + g)),      S = M_D (S − σKP),

    and (10) becomes ∂L/∂K = S x̂ᵀ − y Pᵀ. For functions that are sums over coordinates M_P and M_D
    are diagonal, and with I and J the coordinates where they are not 0, a = (1 − M_P)/(τ M_P) and
    e = (1 − M_D)/(σ M_D), this is a ⊙ P − K_JIᵀ S = g_I, K_JI P + e ⊙ S = 0. For the paper's
    problem a = e = 0 and K_JI is square, so P = 0 and one system of the size of the active set is
    left. The steps σ and τ cancel.

    Parameters
    ----------
    otherwise
        What is done for samples whose active set has not settled (the solution is not accurate
        enough), or whose derivative does not exist, because the solution is not unique or a bound
        is met with a zero multiplier (it is not strictly complementary): ``"least-squares"`` takes
        the solution of least norm and warns; ``"refuse"`` raises.
    solver
        ``Direct()``, a factorisation for each sample; or ``Minres()``, which needs products alone
        and so serves any operator, groups and other functions, and images. If None, the former
        where it fits: functions that are sums over coordinates, at most 2048 coordinates of x and
        of Kx.

    Attributes
    ----------
    report
        On the latest backward pass; None before the first.

    Raises
    ------
    ErgodualError
        If ``otherwise`` is neither, or Direct does not fit; in the backward pass, if a derivative
        does not exist and is to be refused.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4, torch.float64))
    >>> layer = ed.Solved(problem, adjoint=ed.Implicit())
    >>> x_tilde = torch.tensor([[0.5, 1.5, 0.5, -0.5]], dtype=torch.float64)
    >>> layer(x_tilde).square().sum().backward()
    >>> layer.adjoint.report.regular  # the derivative exists
    tensor([True])
    """

    def __init__(
        self,
        otherwise: Literal["least-squares", "refuse"] = "least-squares",
        solver: LinearSolver | None = None,
    ) -> None:
        if otherwise not in ("least-squares", "refuse"):
            raise ErgodualError(
                f"Implicit's otherwise is {otherwise!r}; it must be 'least-squares' or 'refuse'."
            )
        if isinstance(solver, type) or not (solver is None or hasattr(solver, "prepare")):
            raise ErgodualError(
                f"Implicit's solver is {solver!r}; give ed.Direct() or ed.Minres()."
            )
        self.otherwise, self.solver = otherwise, solver
        self.report: Report | None = None

    def check(self, one: Instance) -> None:
        """See :class:`AtSolution`."""
        if self.solver is not None:
            self.solver.check(one)

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> Gradients:
        """See :class:`AtSolution`."""
        solver = self.solver or (Direct() if fits(point.instance) else Minres())
        at = Linearised.of(point)
        solve = solver.prepare(at)
        landed, lands = _newton(point, at, solve)
        # whether the active set is the same a rounding further in and out
        below, above = (Linearised.beside(landed, s) for s in _roundings(point.r))
        prints = [each.fingerprint() for each in (at, below, above)]
        kink, stays = ~_alike(prints[1], prints[2]), _alike(*prints)
        system = solve(g, torch.zeros_like(point.y), 0.0)
        silent = stays_silent(landed, below, above, wanted)
        P, S = (torch.where(column(silent, t), 0.0, t) for t in (system.P, system.S))
        unique = leaves_unique(at, solve, system, wanted) | silent
        settled = stays & lands
        # the Newton point where that is nearer
        near = FixedPoint(*point)._replace(
            r=torch.where(column(settled, point.r), landed.r, point.r),
            y=torch.where(column(settled, point.y), landed.y, point.y),
        )
        residual = torch.where(silent, 0.0, system.residual)
        regular = settled & unique & (~kink | silent)
        self._account(Report(residual, settled, regular), unique)
        return near.collect(at.all_sums(P, S, g), g, wanted)

    def _account(self, report: Report, unique: Tensor) -> None:
        self.report = report
        unknown = ~report.regular
        if not unknown.any():
            return
        cases = (
            (
                ~report.settled & unique,
                "have an active set that has not settled (solve to a smaller tolerance)",
            ),
            (
                ~unique,
                "a singular system (the solution is not unique, or not accurate enough to tell)",
            ),
            (
                report.settled & unknown & unique,
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


def _newton(point: FixedPoint, at: Linearised, solve: Solve) -> tuple[FixedPoint, Tensor]:
    """Where a Newton step from here lands, and whether there is such a place: if a primal-dual step
    moves nothing beyond rounding it is here.
    """
    landed, lands = newton_step(point, at, solve, enough=1e-4)
    there = at.size(*at.moved()) <= _roundings(point.r)[1] * at.size(point.r, point.y)
    return landed, lands | there


def _roundings(like: Tensor) -> tuple[float, float]:
    landed = LANDED.get(like.dtype, 1e-6)
    return -landed, landed


def _alike(one: tuple[Tensor, ...], *others: tuple[Tensor, ...]) -> Tensor:
    """Whether the fingerprints of each sample are, entry by entry, those of one of the others."""
    near = [
        everywhere(torch.stack([(a - b).abs() <= SAME for b in of]).any(0))
        for a, *of in zip(one, *others, strict=True)
    ]
    return torch.stack(near).all(0)
