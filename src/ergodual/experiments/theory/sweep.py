"""The sweeps (3)–(5) and (7)–(9) as they are written, with every quantity in view; the library's
own are made for speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.primal_dual.forward import Iteration, Trajectory
from ergodual.primal_dual.plan import Plan
from ergodual.primal_dual.steps import SAFETY
from ergodual.problem import Problem


class Run(NamedTuple):
    """Iterates y⁰ … y^d and r⁰ … r^d, stacked, and the steps that were taken."""

    y: Tensor
    r: Tensor
    sigma: float
    tau: float


class Adjoint(NamedTuple):
    """δ_P^k and δ_D^k, ``(batch, n)`` and ``(batch, m)``."""

    k: int
    primal: Tensor
    dual: Tensor


def iterate(problem: Problem, x_tilde: Tensor, depth: int, sigma: float, tau: float) -> Run:
    """d iterations with θ = 1."""
    plan = Plan.uniform(problem.instance(x_tilde), depth, sigma, tau)
    found = Trajectory.empty(plan, depth)
    with torch.no_grad():
        Iteration(plan).record(0, depth, found)
    return Run(found.y, found.r[1:], sigma, tau)


def weighted_steps(problem: Problem, weight: float) -> tuple[float, float]:
    """σ = w · 0.99/‖K‖ and τ = 0.99/(w‖K‖)."""
    norm = problem.K.norm_bound()
    return weight * SAFETY / norm, SAFETY / (weight * norm)


def adjoints(problem: Problem, run: Run, alpha: Tensor, g: Tensor) -> Iterator[Adjoint]:
    """δ_P^k and δ_D^k for k = d, d − 1, …, 1, where θ = 1; ``alpha`` has α_1 … α_d, and d may be
    smaller than the run.
    """
    F, G, K = problem.F, problem.G, problem.K
    y, r, sigma, tau = run
    primal, dual, dual_bar = torch.zeros_like(g), torch.zeros_like(y[0]), torch.zeros_like(y[0])
    with torch.no_grad():
        for k in range(len(alpha), 0, -1):
            primal = G.prox_vjp(
                r[k], tau, primal + sigma * K.adjoint(dual_bar) + float(alpha[k - 1]) * g
            )[0]  # (7)
            later = dual
            dual = F.prox_conjugate_vjp(y[k], sigma, later - tau * K(primal))[0]  # (8)
            dual_bar = 2 * dual - later  # (9)
            yield Adjoint(k, primal, dual)


def gradient(
    problem: Problem, x_tilde: Tensor, run: Run, alpha: Tensor, g: Tensor, shift: int
) -> Tensor:
    """(10) with y^(k − shift): 0 as corrected, 1 as printed."""
    y, r, sigma, tau = run
    found = x_tilde.new_zeros(y.shape[-1], r.shape[-1])
    for k, primal, dual in adjoints(problem, run, alpha, g):
        r_bar = 2 * r[k - 1] - r[k - 2] if k > 1 else r[0]
        found += sigma * dual.T @ (x_tilde + r_bar) - tau * y[k - shift].T @ primal
    return found


def masks(problem: Problem, r: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """M_P and M_D, the diagonals of the two prox derivatives where the iterates carry them, as ones
    and zeros.
    """
    return problem.G.prox_vjp(r, 1.0, torch.ones_like(r))[0], problem.F.prox_conjugate_vjp(
        y, 1.0, torch.ones_like(y)
    )[0]
