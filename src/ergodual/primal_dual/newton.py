"""A Newton step on the active set: where the proxes are affine near the solution, it lands on the solution."""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.primal_dual.lower import Lower


def free(lower: Lower, r: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """D_P and D_D, the diagonals of the prox derivatives at r = prox_{τG}(…) and y = prox_{σF*}(…): 0 where a bound holds."""
    F, G, K = lower.problem.F, lower.problem.G, lower.problem.K
    sigma, tau = lower.steps(weight)
    kept_r = r if G.derivative_from == "output" else r - tau * K.adjoint(y)
    kept_y = y if F.derivative_from == "output" else y + sigma * (lower.Kx + K(r))
    return G.prox_vjp(kept_r, tau, torch.ones_like(r))[0], F.prox_conjugate_vjp(kept_y, sigma, torch.ones_like(y))[0]


def signature(D_P: Tensor, D_D: Tensor) -> Tensor:
    """A number for each sample's set of free coordinates, ``(batch,)``; that two sets share one is as good as impossible."""
    generator = torch.Generator().manual_seed(0)
    totals = [((D > 0) * torch.randint(2**40, D.shape[1:], generator=generator).to(D.device)).sum(-1) for D in (D_P, D_D)]
    return totals[0] + totals[1]


def newton(lower: Lower, r: Tensor, y: Tensor, weight: Tensor, D_P: Tensor, D_D: Tensor) -> tuple[Tensor, Tensor]:
    """One semismooth Newton step for r = prox_{τG}(r − τKᵀy), y = prox_{σF*}(y + σK(x̃ + r)).

    With ρ_r, ρ_y what a prox step moves, Δr = D_P (Δr − τKᵀΔy) + ρ_r and Δy = D_D (Δy + σKΔr) + ρ_y: one linear system for each
    sample in the coordinates that are free. A sample whose system is singular stays where it is.
    """
    F, G, K = lower.problem.F, lower.problem.G, lower.problem.K
    sigma, tau = lower.steps(weight)
    moved_r = G.prox(r - tau * K.adjoint(y), tau) - r
    moved_y = F.prox_conjugate(y + sigma * (lower.Kx + K(r)), sigma) - y
    matrix = lower.matrix
    r, y, tau, sigma = r.clone(), y.clone(), tau.expand_as(r), sigma.expand_as(y)
    for i in range(len(r)):
        I, J = D_P[i].nonzero()[:, 0], D_D[i].nonzero()[:, 0]  # noqa: E741 (as in Implicit)
        step_r, step_y = tau[i, I] * D_P[i, I], sigma[i, J] * D_D[i, J]
        fixed_r, fixed_y = moved_r[i].index_fill(0, I, 0.0), moved_y[i].index_fill(0, J, 0.0)
        right_r, right_y = moved_r[i, I] / step_r - (fixed_y @ matrix)[I], moved_y[i, J] / step_y + (matrix @ fixed_r)[J]
        found = _solve(matrix[J][:, I], (1 - D_P[i, I]) / step_r, (1 - D_D[i, J]) / step_y, right_r, right_y)
        if found is not None:
            r[i] += fixed_r.index_copy(0, I, found[0])
            y[i] += fixed_y.index_copy(0, J, found[1])
    return G.prox(r, 1e-300), F.prox_conjugate(y, 1e-300)  # what rounding moved out of a domain


def _solve(A: Tensor, a: Tensor, e: Tensor, right_r: Tensor, right_y: Tensor) -> tuple[Tensor, Tensor] | None:
    """Δr and Δy of a Δr + AᵀΔy = right_r, e Δy − AΔr = right_y; None where there is no one solution."""
    if not (a.any() or e.any()):
        if A.shape[0] != A.shape[1]:
            return None
        factors, pivots, info = torch.linalg.lu_factor_ex(A)
        if int(info):
            return None
        down = -torch.linalg.lu_solve(factors, pivots, right_y[:, None])[:, 0]
        return down, torch.linalg.lu_solve(factors, pivots, right_r[:, None], adjoint=True)[:, 0]
    M = torch.cat([torch.cat([torch.diag(a), A.T], 1), torch.cat([-A, torch.diag(e)], 1)])
    found, info = torch.linalg.solve_ex(M, torch.cat([right_r, right_y]))
    return None if int(info) else (found[: len(a)], found[len(a) :])
