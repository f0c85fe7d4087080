"""A Newton step on the active set: where the proxes are affine near the solution, it lands on the solution."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ergodual.functions.base import Number
from ergodual.operators import Dense, Operator
from ergodual.problem import Problem
from ergodual.solving.active_set import solve_saddle

LARGEST = 2048
"""Rows or columns of K above which no dense system is set up unasked."""


def applies(problem: Problem) -> bool:
    """Whether the proxes have diagonal derivatives, some samples can be taken alone, and K is small enough."""
    fit = all(f.separable and f.per_sample is not None for f in (problem.F, problem.G))
    return fit and max(problem.K.m, problem.K.n) <= LARGEST


def matrix_of(K: Operator) -> Tensor:
    """K, ``(m, n)``, without a tape."""
    if isinstance(K, Dense):
        return K.matrix.detach()
    like = K.tensors()[0]
    return K(torch.eye(K.n, dtype=like.dtype, device=like.device)).T.detach()


def free(
    problem: Problem, Kx: Tensor, r: Tensor, y: Tensor, sigma: Number, tau: Number
) -> tuple[Tensor, Tensor]:
    """D_P and D_D, the diagonals of the prox derivatives at r = prox_{τG}(…) and y = prox_{σF*}(…): 0 where a bound holds."""
    F, G, K = problem.F, problem.G, problem.K
    kept_r = r if G.derivative_from == "output" else r - tau * K.adjoint(y)
    kept_y = y if F.derivative_from == "output" else y + sigma * (Kx + K(r))
    return _derivatives(problem, kept_r, kept_y, sigma, tau)


def free_beside(
    problem: Problem, Kx: Tensor, r: Tensor, y: Tensor, sigma: Number, tau: Number, shift: float
) -> tuple[Tensor, Tensor]:
    """The same where the arguments of the proxes are moved by ``shift``, relative to the largest of their sample."""
    F, G, K = problem.F, problem.G, problem.K
    z_r, z_y = (
        z + shift * z.abs().amax(-1, keepdim=True)
        for z in (r - tau * K.adjoint(y), y + sigma * (Kx + K(r)))
    )
    kept_r = G.prox(z_r, tau) if G.derivative_from == "output" else z_r
    kept_y = F.prox_conjugate(z_y, sigma) if F.derivative_from == "output" else z_y
    return _derivatives(problem, kept_r, kept_y, sigma, tau)


def _derivatives(
    problem: Problem, kept_r: Tensor, kept_y: Tensor, sigma: Number, tau: Number
) -> tuple[Tensor, Tensor]:
    ones_r, ones_y = torch.ones_like(kept_r), torch.ones_like(kept_y)
    return problem.G.prox_vjp(kept_r, tau, ones_r)[0], problem.F.prox_conjugate_vjp(
        kept_y, sigma, ones_y
    )[0]


def signature(D_P: Tensor, D_D: Tensor) -> Tensor:
    """A number for each sample's set of free coordinates, ``(batch,)``; that two sets share one is as good as impossible."""
    numbers = _numbers(D_P.shape[1] + D_D.shape[1]).to(D_P.device)
    return (torch.cat([D_P > 0, D_D > 0], 1) * numbers).sum(-1)


@lru_cache(maxsize=8)
def _numbers(count: int) -> Tensor:
    return torch.randint(2**40, (count,), generator=torch.Generator().manual_seed(0))


def newton(
    problem: Problem,
    matrix: Tensor,
    Kx: Tensor,
    r: Tensor,
    y: Tensor,
    sigma: Number,
    tau: Number,
    D_P: Tensor,
    D_D: Tensor,
) -> tuple[Tensor, Tensor]:
    """One semismooth Newton step for r = prox_{τG}(r − τKᵀy), y = prox_{σF*}(y + σK(x̃ + r)).

    With ρ_r, ρ_y what a prox step moves, Δr = D_P (Δr − τKᵀΔy) + ρ_r and Δy = D_D (Δy + σKΔr) + ρ_y: one linear system for each
    sample in the coordinates that are free. A sample whose system is singular stays where it is.
    """
    F, G, K = problem.F, problem.G, problem.K
    moved_r = G.prox(r - tau * K.adjoint(y), tau) - r
    moved_y = F.prox_conjugate(y + sigma * (Kx + K(r)), sigma) - y
    taus, sigmas = (
        torch.as_tensor(step, dtype=r.dtype, device=r.device).expand_as(z)
        for step, z in ((tau, r), (sigma, y))
    )
    r, y = r.clone(), y.clone()
    for i in range(len(r)):
        free_r, free_y = D_P[i].nonzero()[:, 0], D_D[i].nonzero()[:, 0]
        step_r, step_y = taus[i, free_r] * D_P[i, free_r], sigmas[i, free_y] * D_D[i, free_y]
        fixed_r, fixed_y = (
            moved_r[i].index_fill(0, free_r, 0.0),
            moved_y[i].index_fill(0, free_y, 0.0),
        )
        right_r, right_y = (
            moved_r[i, free_r] / step_r - (fixed_y @ matrix)[free_r],
            moved_y[i, free_y] / step_y + (matrix @ fixed_r)[free_y],
        )
        found = solve_saddle(
            matrix[free_y][:, free_r],
            (1 - D_P[i, free_r]) / step_r,
            (1 - D_D[i, free_y]) / step_y,
            right_r,
            right_y,
        )
        if found is not None and all(bool(t.isfinite().all()) for t in found):
            r[i] += fixed_r.index_copy(0, free_r, found[0])
            y[i] += fixed_y.index_copy(0, free_y, found[1])
    return within(problem, r, y)


def within(problem: Problem, r: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest points of the domains of G and F*."""
    step = torch.finfo(r.dtype).tiny ** 0.5
    return problem.G.prox(r, step), problem.F.prox_conjugate(y, step)
