"""A Newton step on the active set: where the proxes are affine near a solution, it lands on it."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from ergodual.instance import Instance
from ergodual.solving.active_set import solve_saddle
from ergodual.tensors import Number

LARGEST = 2048
"""Coordinates of r or y above which no dense system is set up unasked."""


def applies(one: Instance) -> bool:
    """Whether the proxes have diagonal derivatives, samples can be taken alone, and K is small."""
    fit = all(f.separable and f.per_sample is not None for f in (one.F, one.G))
    return fit and max(math.prod(one.domain), math.prod(one.codomain)) <= LARGEST


def free(
    one: Instance, c: Tensor, r: Tensor, y: Tensor, sigma: Number, tau: Number
) -> tuple[Tensor, Tensor]:
    """D_P and D_D, the diagonals of the prox derivatives at a fixed point: 0 where a bound holds.

    At r = prox_{τG}(…) and y = prox_{σF*}(…), shaped as they are.
    """
    kept_r = r - tau * one.K.adjoint(y, one.domain) if one.G.keeps_input() else r
    kept_y = y + sigma * (c + one.K(r)) if one.F.keeps_input() else y
    ones_r, ones_y = torch.ones_like(kept_r), torch.ones_like(kept_y)
    in_r = one.G.prox_vjp(kept_r, tau, ones_r)[0]
    return in_r, one.F.prox_conjugate_vjp(kept_y, sigma, ones_y)[0]


def signature(D_P: Tensor, D_D: Tensor) -> Tensor:
    """A number for each sample's set of free coordinates, ``(batch,)``.

    That two sets share one is as good as impossible.
    """
    return number_of(torch.cat([D_P.flatten(1) > 0, D_D.flatten(1) > 0], 1))


def number_of(which: Tensor) -> Tensor:
    """A number for each row of booleans; that two rows share one is as good as impossible."""
    return (which * _numbers(which.shape[1]).to(which.device)).sum(-1)


@lru_cache(maxsize=8)
def _numbers(count: int) -> Tensor:
    return torch.randint(2**40, (count,), generator=torch.Generator().manual_seed(0))


def newton(
    one: Instance,
    matrix: Tensor,
    c: Tensor,
    r: Tensor,
    y: Tensor,
    sigma: Number,
    tau: Number,
    D_P: Tensor,
    D_D: Tensor,
) -> tuple[Tensor, Tensor]:
    """One semismooth Newton step for r = prox_{τG}(r − τKᵀy), y = prox_{σF*}(y + σ(c + Kr)).

    With ρ_r, ρ_y what a prox step moves, Δr = D_P (Δr − τKᵀΔy) + ρ_r and
    Δy = D_D (Δy + σKΔr) + ρ_y: one linear system for each sample in the coordinates that are free.
    A sample whose system is singular stays where it is.
    """
    moved_r = one.G.prox(r - tau * one.K.adjoint(y, one.domain), tau) - r
    moved_y = one.F.prox_conjugate(y + sigma * (c + one.K(r)), sigma) - y
    taus, sigmas = (
        torch.as_tensor(step, dtype=r.dtype, device=r.device).expand_as(z).flatten(1)
        for step, z in ((tau, r), (sigma, y))
    )
    moved_r, moved_y, D_P, D_D = (t.flatten(1) for t in (moved_r, moved_y, D_P, D_D))
    new_r, new_y = r.flatten(1).clone(), y.flatten(1).clone()
    for i in range(len(r)):
        free_r, free_y = D_P[i].nonzero()[:, 0], D_D[i].nonzero()[:, 0]
        step_r, step_y = taus[i, free_r] * D_P[i, free_r], sigmas[i, free_y] * D_D[i, free_y]
        fixed_r = moved_r[i].index_fill(0, free_r, 0.0)
        fixed_y = moved_y[i].index_fill(0, free_y, 0.0)
        right_r = moved_r[i, free_r] / step_r - (fixed_y @ matrix)[free_r]
        right_y = moved_y[i, free_y] / step_y + (matrix @ fixed_r)[free_y]
        a, e = (1 - D_P[i, free_r]) / step_r, (1 - D_D[i, free_y]) / step_y
        found = solve_saddle(matrix[free_y][:, free_r], a, e, right_r, right_y)
        if found is not None and all(bool(t.isfinite().all()) for t in found):
            new_r[i] += fixed_r.index_copy(0, free_r, found[0])
            new_y[i] += fixed_y.index_copy(0, free_y, found[1])
    return within(one, new_r.view_as(r), new_y.view_as(y))


def within(one: Instance, r: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest points of the domains of G and F*."""
    step = torch.finfo(r.dtype).tiny ** 0.5
    return one.G.prox(r, step), one.F.prox_conjugate(y, step)
