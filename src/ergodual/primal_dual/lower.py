"""The lower-level problems of a batch while they are being solved: what is known of each, and how far it is from a solution."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.problem import Problem

SAFETY = 0.99
"""σ τ ‖K‖² = SAFETY² < 1."""
FAR = 1e8
"""Stands for infinity where a subgradient is taken as the limit of a prox."""


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


class Lower:
    """Samples of a batch that are still to be solved.

    The error of a point (r, y) is its duality gap over F(Kx̃) + G(0), what doing nothing costs; where that is 0 or infinite, the
    gap itself. Where the gap is infinite, because F or G* is ∞ just beside a solution, it is the fixed-point residual
    √(ω ‖r − prox_{τG}(r − τKᵀy)‖² + ‖y − prox_{σF*}(y + σK(x̃ + r))‖²/ω) over √(ω ‖x̃‖² + ‖y‖²/ω), σ = ω/‖K‖, τ = 1/(ω‖K‖).

    Parameters
    ----------
    problem, x_tilde
        F, G and K, and the observations, ``(batch, n)``.
    norm
        At least ‖K‖; for K = 0, 1.
    tol
        A sample is solved when its error is not above this.
    scales
        Of the steps in each coordinate, σ_j ∝ scales[0]_j and τ_i ∝ scales[1]_i, where ``norm`` is that of K between their roots.
    """

    def __init__(self, problem: Problem, x_tilde: Tensor, norm: float, tol: float, scales: tuple[Tensor, Tensor] | None = None) -> None:
        self.problem, self.x_tilde, self.norm, self.tol, self.scales = problem, x_tilde, norm, tol, scales
        self.separable = problem.F.separable and problem.G.separable
        self.Kx = problem.K(x_tilde)
        nothing = torch.zeros_like(x_tilde)
        cost = problem.F.value(self.Kx) + problem.G.value(nothing)
        self.unit = torch.where((cost > 0) & cost.isfinite(), cost, 1.0)

    @cached_property
    def matrix(self) -> Tensor:
        """K, ``(m, n)``."""
        K = self.problem.K
        return K(torch.eye(K.n, dtype=self.Kx.dtype, device=self.Kx.device)).T

    def at(self, rows: Tensor) -> Lower:
        """Some of the samples."""
        chosen, count = object.__new__(Lower), len(self.x_tilde)
        F, G = (f.of_samples(rows, count) for f in (self.problem.F, self.problem.G))
        chosen.problem, chosen.norm, chosen.tol, chosen.scales = Problem(F, G, self.problem.K), self.norm, self.tol, self.scales
        chosen.separable = self.separable
        if "matrix" in self.__dict__:
            chosen.matrix = self.matrix
        chosen.x_tilde, chosen.Kx, chosen.unit = self.x_tilde[rows], self.Kx[rows], self.unit[rows]
        return chosen

    def steps(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """σ = 0.99 ω/‖K‖ and τ = 0.99/(ω‖K‖) for each sample, times the scales of the coordinates."""
        sigma, tau = weight * (SAFETY / self.norm), SAFETY / (self.norm * weight)
        return (sigma, tau) if self.scales is None else (sigma * self.scales[0], tau * self.scales[1])

    def judge(self, r: Tensor, y: Tensor, weight: Tensor) -> Point:
        """A point with its certificate; rounding may make a gap negative, which counts as 0."""
        F, G, K = self.problem.F, self.problem.G, self.problem.K
        Kx, v = K(self.x_tilde + r), -K.adjoint(y)
        try:
            primal, dual = F.value(Kx) + G.value(r), -(self.x_tilde * v).sum(-1) - F.conjugate(y) - G.conjugate(v)
            gap = (primal - dual).clamp(min=0).nan_to_num(nan=math.inf, posinf=math.inf)
        except NotImplementedError:  # a user's function without a value or a conjugate
            gap = self.unit.new_full((len(r),), math.inf)
        error = gap / self.unit
        if not gap.isfinite().all():
            sigma, tau = weight / self.norm, 1 / (self.norm * weight)
            moved_r, moved_y = G.prox(r + tau * v, tau) - r, F.prox_conjugate(y + sigma * Kx, sigma) - y
            moved, size = _weighted(moved_r, moved_y, weight), _weighted(self.x_tilde, y, weight)
            error = torch.where(gap.isfinite(), error, torch.where(size > 0, moved / size, moved))
        return Point(r, y, gap, error)

    def nearest_dual(self) -> Tensor:
        """A subgradient of F at Kx̃, the dual of r = 0; 0 where there is none, because F is infinite there."""
        return _limit(self.problem.F.prox_conjugate, self.Kx)

    def first_weight(self) -> Tensor:
        """ω ∼ ‖y‖/‖r‖ of a solution, guessed from a dual point and the primal point that answers it; ``(batch, 1)``."""
        G, K = self.problem.G, self.problem.K
        y = self.nearest_dual()
        r = _limit(G.prox, -K.adjoint(y))
        y_norm, r_norm, x_norm = (t.norm(dim=-1, keepdim=True) for t in (y, r, self.x_tilde))
        # an infinite F leaves the slope of G as the scale of Kᵀy, and a G that bounds nothing the size of x̃ as that of r
        slope = _limit(G.prox_conjugate, self.x_tilde).norm(dim=-1, keepdim=True) / self.norm
        y_norm, r_norm = torch.where(y_norm > 0, y_norm, slope), torch.where(r_norm > 0, r_norm, x_norm)
        return torch.where((y_norm > 0) & (r_norm > 0), y_norm / r_norm, 1.0)

    def best(self, one: Point, other: Point) -> Point:
        """For each sample the point with the smaller error."""
        better = other.error < one.error
        rows = better[:, None]
        return Point(
            torch.where(rows, other.r, one.r),
            torch.where(rows, other.y, one.y),
            torch.where(better, other.gap, one.gap),
            torch.where(better, other.error, one.error),
        )


def _weighted(r: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    square: Tensor = weight[:, 0] * r.square().sum(-1) + y.square().sum(-1) / weight[:, 0]
    return square.sqrt()


def _limit(prox: Callable[[Tensor, Tensor], Tensor], z: Tensor) -> Tensor:
    """prox(t z, t) for large t, where that does not grow with t, else 0: for the prox of f*, a subgradient of f at z."""
    t = FAR / z.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(z.dtype).tiny * FAR)
    near, far = prox(t * z, t), prox(10 * t * z, 10 * t)
    return torch.where(far.norm(dim=-1, keepdim=True) < 2 * near.norm(dim=-1, keepdim=True), far, 0.0)
