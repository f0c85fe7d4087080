"""The forward sweep (3)–(5), and automatic differentiation through it."""

from __future__ import annotations

from torch import Tensor

from ergodual.primal_dual.steps import Steps
from ergodual.problem import Problem


def unroll(problem: Problem, x_tilde: Tensor, steps: Steps, weights: Tensor) -> Tensor:
    """x̂ = x̃ + Σ_k α_k r^k with r^k from (3)–(5) of Brauer, Lorenz 2019; keeps no iterate but the last.

    Parameters
    ----------
    problem
        F, G and K.
    x_tilde
        The observations, ``(batch, n)``.
    steps
        σ and τ of shape ``(depth,)``, θ of shape ``()``.
    weights
        α of shape ``(depth,)``.
    """
    F, G, K = problem.F, problem.G, problem.K
    r = x_tilde.new_zeros(x_tilde.shape)
    y = x_tilde.new_zeros((x_tilde.shape[0], K.m))
    u, x_hat = x_tilde, x_tilde
    for sigma, tau, alpha in zip(steps.sigma, steps.tau, weights, strict=True):
        y = F.prox_conjugate(y + sigma * K(u), sigma)
        previous, r = r, G.prox(r - tau * K.adjoint(y), tau)
        u = x_tilde + r + steps.theta * (r - previous)
        x_hat = x_hat + alpha * r
    return x_hat


class Tape:
    """Gradients by torch's own tape: every operation of the sweep is recorded. Serves any problem; the slow one."""

    def __call__(self, problem: Problem, x_tilde: Tensor, steps: Steps, weights: Tensor) -> Tensor:
        """x̂, with a gradient in everything that has one."""
        return unroll(problem, x_tilde, steps, weights)
