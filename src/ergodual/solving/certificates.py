"""The lower-level problems of a batch while they are being solved: what is known of each, and how far it is from a solution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.primal_dual.steps import SAFETY
from ergodual.problem import Problem
from ergodual.solving.newton import applies, matrix_of


class Point(NamedTuple):
    """A primal and a dual iterate of each sample, and its certificate.

    Attributes
    ----------
    r, y
        ``(batch, n)`` and ``(batch, m)``.
    gap
        The duality gap, ``(batch,)``; infinite where one of the two energies is.
    error
        What is compared with the tolerance, ``(batch,)``: see :class:`Lower`.
    """

    r: Tensor
    y: Tensor
    gap: Tensor
    error: Tensor


class Scales(NamedTuple):
    """Of the steps in each coordinate, σ_j ∝ dual_j and τ_i ∝ primal_i, and the norm of K between their roots."""

    dual: Tensor
    primal: Tensor
    norm: float


class Lower:
    """Samples of a batch that are still to be solved.

    The error of a point (r, y) is its duality gap over F(Kx̃) + G(0), what doing nothing costs; where that is 0 or infinite, the
    gap itself. Where the gap is infinite, because F or G* is ∞ just beside a solution, it is the fixed-point residual
    √(ω ‖r − prox_{τG}(r − τKᵀy)‖² + ‖y − prox_{σF*}(y + σK(x̃ + r))‖²/ω) over √(2ω) ‖Kx̃‖/‖K‖ (over 1 where that is 0), σ = ω/‖K‖,
    τ = 1/(ω‖K‖), with an ω that depends on the problem alone. So neither a large constant in x̃, which K does not see, nor a y that
    grows because nothing is feasible makes it small.

    Parameters
    ----------
    problem, x_tilde
        F, G and K, and the observations, ``(batch, n)``.
    norm
        At least ‖K‖; for K = 0, 1.
    tol
        A sample is solved when its error is not above this.
    scales
        Steps for each coordinate.

    Raises
    ------
    ErgodualError
        If Kx̃ is not finite.
    """

    def __init__(
        self,
        problem: Problem,
        x_tilde: Tensor,
        norm: float,
        tol: float,
        scales: Scales | None = None,
    ) -> None:
        self.problem, self.x_tilde, self.norm, self.tol, self.scales = (
            problem,
            x_tilde,
            norm,
            tol,
            scales,
        )
        self.matrix = matrix_of(problem.K) if applies(problem) else None
        self.Kx = problem.K(x_tilde)
        if not self.Kx.isfinite().all():
            raise ErgodualError(
                "K times the observations is not finite; scale them, or K, down, or give float64."
            )
        cost = self._primal(torch.zeros_like(x_tilde), self.Kx)
        self.unit = torch.where((cost > 0) & cost.isfinite(), cost, 1.0)
        self.natural = self._guess()

    def at(self, rows: Tensor) -> Lower:
        """Some of the samples."""
        chosen, count = object.__new__(Lower), len(self.x_tilde)
        vars(chosen).update(vars(self))
        F, G = (f.of_samples(rows, count) for f in (self.problem.F, self.problem.G))
        chosen.problem = Problem(F, G, self.problem.K)
        chosen.x_tilde, chosen.Kx, chosen.unit, chosen.natural = (
            t[rows] for t in (self.x_tilde, self.Kx, self.unit, self.natural)
        )
        return chosen

    def steps(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """σ = 0.99 ω/‖K‖ and τ = 0.99/(ω‖K‖) for each sample; with scales, those of the coordinates and the norm between their roots."""
        norm = self.norm if self.scales is None else self.scales.norm
        sigma, tau = weight * (SAFETY / norm), SAFETY / (norm * weight)
        return (
            (sigma, tau)
            if self.scales is None
            else (sigma * self.scales.dual, tau * self.scales.primal)
        )

    def ratio(self, r: Tensor, y: Tensor) -> Tensor:
        """‖y‖/‖r‖ in the norms in which the steps are alike for all coordinates, ``(batch, 1)``; nan or infinite where r = 0."""
        if self.scales is not None:
            r, y = r * self.scales.primal.rsqrt(), y * self.scales.dual.rsqrt()
        found: Tensor = y.norm(dim=-1, keepdim=True) / r.norm(dim=-1, keepdim=True)
        return found

    def judge(self, r: Tensor, y: Tensor) -> Point:
        """A point with its certificate; rounding may make a gap negative, which counts as 0."""
        F, G, K = self.problem.F, self.problem.G, self.problem.K
        Kx, v = self.Kx + K(r), -K.adjoint(y)
        negative_dual = _or_infinite(
            lambda: F.conjugate(y) + G.conjugate(v) - (self.Kx * y).sum(-1), Kx
        )
        gap = (
            (self._primal(r, Kx) + negative_dual)
            .clamp(min=0)
            .nan_to_num(nan=math.inf, posinf=math.inf)
        )
        error = gap / self.unit
        if not gap.isfinite().all():
            sigma, tau = self.natural / self.norm, 1 / (self.norm * self.natural)
            moved_r, moved_y = (
                G.prox(r + tau * v, tau) - r,
                F.prox_conjugate(y + sigma * Kx, sigma) - y,
            )
            weight, size = self.natural[:, 0], self._seen()[:, 0]
            # what rounding hides of a move, where y is very large, counts too
            eps = torch.finfo(r.dtype).eps
            moved_r, moved_y = moved_r.abs() + eps * r.abs(), moved_y.abs() + eps * y.abs()
            moved = (weight * moved_r.square().sum(-1) + moved_y.square().sum(-1) / weight).sqrt()
            error = torch.where(
                gap.isfinite(),
                error,
                moved / torch.where(size > 0, (2 * weight).sqrt() * size, 1.0),
            )
        return Point(r, y, gap, error)

    def nearest_dual(self) -> Tensor:
        """A subgradient of F at Kx̃, the dual of r = 0; 0 where there is none, because F is infinite there."""
        return _limit(self.problem.F.prox_conjugate, self.Kx)

    def first_weight(self) -> Tensor:
        """ω ∼ ‖y‖/‖r‖ of a solution, guessed from a dual point and the primal point that answers it; ``(batch, 1)``."""
        if self.scales is None:
            return self.natural
        y = self.nearest_dual()
        ratio = self.ratio(_limit(self.problem.G.prox, -self.problem.K.adjoint(y)), y)
        return torch.where(ratio.isfinite() & (ratio > 0), ratio, self.natural)

    def _guess(self) -> Tensor:
        G, K = self.problem.G, self.problem.K
        y = self.nearest_dual()
        r = _limit(G.prox, -K.adjoint(y))
        y_norm, r_norm, seen = (
            y.norm(dim=-1, keepdim=True),
            r.norm(dim=-1, keepdim=True),
            self._seen(),
        )
        # an infinite F leaves the slope of G as the scale of Kᵀy, and a G that bounds nothing what K sees of x̃ as that of r
        x_seen = self.x_tilde * (seen / self.x_tilde.norm(dim=-1, keepdim=True)).nan_to_num(0.0)
        slope = _limit(G.prox_conjugate, x_seen).norm(dim=-1, keepdim=True) / self.norm
        y_norm, r_norm = (
            torch.where(y_norm > 0, y_norm, slope),
            torch.where(r_norm > 0, r_norm, seen),
        )
        return torch.where((y_norm > 0) & (r_norm > 0), y_norm / r_norm, 1.0)

    def _seen(self) -> Tensor:
        """The size of what K sees of x̃: ‖Kx̃‖/‖K‖, ``(batch, 1)``."""
        size: Tensor = self.Kx.norm(dim=-1, keepdim=True) / self.norm
        return size

    def _primal(self, r: Tensor, Kx: Tensor) -> Tensor:
        """F(K(x̃ + r)) + G(r)."""
        return _or_infinite(lambda: self.problem.F.value(Kx) + self.problem.G.value(r), Kx)


def _or_infinite(energy: Callable[[], Tensor], like: Tensor) -> Tensor:
    """An energy of each sample; infinite, so that a residual certifies, for a user's function that has a prox alone."""
    try:
        return energy()
    except NotImplementedError:
        return like.new_full((len(like),), math.inf)


def best(one: Point, other: Point) -> Point:
    """For each sample the point with the smaller error."""
    better = other.error < one.error
    rows = better[:, None]
    return Point(
        torch.where(rows, other.r, one.r),
        torch.where(rows, other.y, one.y),
        torch.where(better, other.gap, one.gap),
        torch.where(better, other.error, one.error),
    )


def _limit(prox: Callable[[Tensor, Tensor], Tensor], z: Tensor) -> Tensor:
    """prox(t z, t) for large t, where that does not grow with t, else 0: for the prox of f*, a subgradient of f at z."""
    far_away = (
        torch.finfo(z.dtype).eps ** -0.5
    )  # where Moreau's identity still leaves half of the digits
    t = far_away / z.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(z.dtype).tiny * far_away)
    near, far = prox(t * z, t), prox(10 * t * z, 10 * t)
    return torch.where(
        far.norm(dim=-1, keepdim=True) < 2 * near.norm(dim=-1, keepdim=True), far, 0.0
    )
