"""Chambolle–Pock, plain and accelerated, for :func:`~ergodual.solve`."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.primal_dual.steps import SAFETY
from ergodual.solving.certificates import Pending, Point
from ergodual.tensors import as_step, column, require


class Iterates(NamedTuple):
    """What :class:`ChambollePock` carries on: r^k, y^k, r̄^k (or, with the roles exchanged, ȳ^k),
    σ_k, τ_k and ω.
    """

    r: Tensor
    y: Tensor
    bar: Tensor
    sigma: Tensor
    tau: Tensor
    weight: Tensor


class ChambollePock:
    """Chambolle–Pock as in (3)–(5) of Brauer, Lorenz 2019, and its accelerated variants; the point
    is the last iterate.

    Parameters
    ----------
    weight
        ω in σ = 0.99 ω/‖K‖ and τ = 0.99/(ω‖K‖); guessed for each sample from the sizes of x̃, F and
        G if None. Not used where both kinds of strong convexity are, which set it.
    accelerated
        Whether strong convexity is used (Chambolle, Pock, JMIV 2011): with G − ½μ‖·‖² convex, θ_k =
        (1 + 2μτ_k)^(−½), τ_{k+1} = θ_k τ_k, σ_{k+1} = σ_k/θ_k (their Algorithm 2, rate 1/k²); with
        F* − ½δ‖·‖² convex the same with the roles of r and y exchanged; with both, constant steps
        in the ratio of δ to μ and one θ < 1 (Algorithm 3, linear rate).

    Raises
    ------
    ErgodualError
        If the weight is not positive.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(0.3), G=ed.SquaredL2(), K=ed.Gradient())
    >>> x_tilde = torch.tensor([[0.1, -0.1, 0.0, 1.1, 0.9, 1.0]])
    >>> ed.solve(problem, x_tilde, method=ed.ChambollePock(accelerated=True)).converged
    tensor([True])
    """

    def __init__(self, weight: float | None = None, accelerated: bool = False) -> None:
        require(
            weight is None or 0 < weight < math.inf,
            f"The step weight is {weight}; it must be positive and finite.",
        )
        self.weight, self.accelerated = weight, accelerated
        self.precondition: bool | None = False

    def start(self, pending: Pending, r: Tensor, y: Tensor, weight: Tensor | None) -> Iterates:
        """See :class:`Method`."""
        if self.weight is not None:
            weight = torch.full_like(pending.unit, self.weight)
        elif weight is None:
            weight = pending.first_weight()
        mu, delta = self._strong_convexity(pending)
        if mu > 0 and delta > 0:  # Algorithm 3 has σ δ = τ μ, that is ω² = μ/δ
            weight = torch.full_like(weight, math.sqrt(mu / delta))
        scale = SAFETY / pending.norm
        bar = y if self._exchanged(pending) else r
        return Iterates(r, y, bar, as_step(scale * weight), as_step(scale / weight), weight)

    def advance(self, pending: Pending, state: Iterates, iterations: int) -> Iterates:
        """See :class:`Method`."""
        F, G, K = pending.instance.F, pending.instance.G, pending.instance.K
        r, y, bar, sigma, tau, weight = state
        mu, delta = self._strong_convexity(pending)
        exchanged, domain = self._exchanged(pending), pending.instance.domain
        for _ in range(iterations):
            dual_step, primal_step = column(sigma, y), column(tau, r)
            if exchanged:
                r = G.prox_(r - primal_step * K.adjoint(bar, domain), primal_step)
                z = y + dual_step * (pending.c + K(r))
                y, before = F.prox_conjugate_(z, dual_step), y
                theta = (1 + 2 * delta * sigma).rsqrt()
                sigma, tau = theta * sigma, tau / theta
                bar = y + column(theta, y) * (y - before)
                continue
            y = F.prox_conjugate_(y + dual_step * (pending.c + K(bar)), dual_step)
            r, before = G.prox_(r - primal_step * K.adjoint(y, domain), primal_step), r
            theta = 1 / (1 + 2 * mu * tau)
            if not delta:
                theta = theta.sqrt()
                sigma, tau = sigma / theta, tau * theta
            bar = r + column(theta, r) * (r - before)
        return Iterates(r, y, bar, sigma, tau, weight)

    def candidate(self, pending: Pending, state: Iterates, done: int) -> tuple[Iterates, Point]:
        """See :class:`Method`."""
        return state, pending.judge(state.r, state.y)

    def _strong_convexity(self, pending: Pending) -> tuple[float, float]:
        """μ of G and δ of F*; 0 where it is not to be used."""
        return (pending.mu, pending.delta) if self.accelerated else (0.0, 0.0)

    def _exchanged(self, pending: Pending) -> bool:
        """Whether y takes the role of r, as F* is strongly convex and G is not."""
        mu, delta = self._strong_convexity(pending)
        return delta > 0 and not mu > 0
