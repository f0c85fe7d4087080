"""A primal-dual step linearised at a fixed point, by products alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ergodual.functions.base import Function
from ergodual.solving.at_solution import FixedPoint, Sums
from ergodual.tensors import column, largest, norms, random_like

SAME = 1e-3
"""Derivatives of a prox that differ by no more are the same."""


class ProxDerivative:
    """M, the derivative of a prox at one argument: symmetric, 0 ≤ M ≤ 1 (it is the second
    derivative of a Moreau envelope's conjugate).

    Attributes
    ----------
    diagonal
        Of M, shaped as a batch, where the function is a sum over coordinates; else None.
    """

    def __init__(self, f: Function, vjp: Callable[..., Tensor], like: Tensor) -> None:
        self._vjp = vjp
        self.diagonal = vjp(torch.ones_like(like)) if f.separable else None

    def __call__(self, v: Tensor) -> Tensor:
        """Mv."""
        return self._vjp(v.clone()) if self.diagonal is None else self.diagonal * v


class Linearised:
    """The system whose solution is the derivative of a fixed point of a primal-dual step.

    With M_P and M_D the derivatives of prox_{τG} and prox_{σF*}, a reverse sweep that stands still
    sums up to P = M_P(P + τ(KᵀS + g)) and S = M_D(S − σKP). With P = √τ M_P u and S = −√σ M_D w
    this is, for b_P = g and b_D = 0, the symmetric system

        (M_P(1 − M_P)  √(στ) M_P Kᵀ M_D) (u)   (√τ M_P b_P)
        (√(στ) M_D K M_P  −M_D(1 − M_D)) (w) = (√σ M_D b_D),

    whose entries are of the order of 1 whatever the units of K, r and y.

    Attributes
    ----------
    point
        Where.
    M_P, M_D
        The derivatives of the two proxes.
    """

    def __init__(self, point: FixedPoint, M_P: ProxDerivative, M_D: ProxDerivative) -> None:
        self.point, self.M_P, self.M_D = point, M_P, M_D
        self._root_tau, self._root_sigma = point.tau**0.5, point.sigma**0.5
        self._blocks_P, self._blocks_D = (
            None if M.diagonal is None else (root * M.diagonal, M.diagonal * (1 - M.diagonal))
            for M, root in ((M_P, self._root_tau), (M_D, self._root_sigma))
        )

    @staticmethod
    def of(point: FixedPoint) -> Linearised:
        """At the prox's arguments that a fixed point has."""
        one = point.instance
        kept_r = point.z_primal if one.G.keeps_input() else point.r
        kept_y = point.z_dual if one.F.keeps_input() else point.y
        return Linearised._at(point, kept_r, kept_y)

    @staticmethod
    def beside(point: FixedPoint, shift: float) -> Linearised:
        """The same where the proxes' arguments are moved away from 0 by ``shift``, relative to
        their largest entries; by next to nothing where all are 0, as a kink may be there.
        """
        F, G = point.instance.F, point.instance.G
        least = torch.finfo(point.r.dtype).tiny ** 0.25
        z_r, z_y = (
            z + shift * column(largest(z).clamp(min=least), z) * torch.where(z < 0, -1.0, 1.0)
            for z in (point.z_primal, point.z_dual)
        )
        kept_r = z_r if G.keeps_input() else G.prox(z_r, point.tau)
        kept_y = z_y if F.keeps_input() else F.prox_conjugate(z_y, point.sigma)
        return Linearised._at(point, kept_r, kept_y)

    @staticmethod
    def _at(point: FixedPoint, kept_r: Tensor, kept_y: Tensor) -> Linearised:
        F, G = point.instance.F, point.instance.G
        return Linearised(
            point,
            ProxDerivative(G, lambda v: G.prox_vjp(kept_r, point.tau, v)[0], point.r),
            ProxDerivative(F, lambda v: F.prox_conjugate_vjp(kept_y, point.sigma, v)[0], point.y),
        )

    def product(self, u: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """The symmetric matrix times (u, w)."""
        K, domain = self.point.instance.K, self.point.instance.domain
        if self._blocks_P is not None and self._blocks_D is not None:  # in fewer passes
            (T, N_P), (S, N_D) = self._blocks_P, self._blocks_D
            in_u = torch.addcmul(N_P * u, T, K.adjoint(S * w, domain))
            return in_u, (S * K(T * u)).addcmul_(N_D, w, value=-1)
        Mu, Mw = self.M_P(u), self.M_D(w)
        in_u = u - Mu + self._root_tau * K.adjoint(self._root_sigma * Mw, domain)
        in_w = self._root_sigma * K(self._root_tau * Mu) - (w - Mw)
        return self.M_P(in_u), self.M_D(in_w)

    def right(self, b_P: Tensor, b_D: Tensor) -> tuple[Tensor, Tensor]:
        """The right-hand side."""
        return (
            self.M_P(self._root_tau * b_P),
            self.M_D(self._root_sigma * b_D),
        )

    def sums(self, u: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """P and S of a solution."""
        P = self._root_tau * self.M_P(u)
        return P, -self._root_sigma * self.M_D(w)

    def active(self) -> Tensor:
        """Which entries the proxes leave as they are, as far as products show, ``(batch, …)``."""
        kept = []
        for M, like in ((self.M_P, self.point.r), (self.M_D, self.point.y)):
            v = torch.ones_like(like) if M.diagonal is not None else random_like(like, 1)
            kept.append(((M(v) - v).abs() <= SAME * v.abs()).flatten(1))
        return torch.cat(kept, 1)

    def fingerprint(self) -> tuple[Tensor, Tensor]:
        """What tells M_P and M_D from others: their diagonals, or else products of theirs,
        ``(batch, …)``.
        """
        M_P, M_D = (
            M.diagonal.flatten(1)
            if M.diagonal is not None
            else torch.cat([M(random_like(like, seed)).flatten(1) for seed in (1, 2)], 1)
            for M, like in ((self.M_P, self.point.r), (self.M_D, self.point.y))
        )
        return M_P, M_D

    def moved(self) -> tuple[Tensor, Tensor]:
        """What a primal-dual step adds to r and to y."""
        F, G, point = self.point.instance.F, self.point.instance.G, self.point
        moved_r = G.prox(point.z_primal, point.tau) - point.r
        return moved_r, F.prox_conjugate(point.z_dual, point.sigma) - point.y

    def all_sums(self, P: Tensor, S: Tensor, g: Tensor) -> Sums:
        """With what the proxes' derivatives made them of."""
        one, sigma, tau = self.point.instance, self.point.sigma, self.point.tau
        return Sums(P, S, P + tau * (one.K.adjoint(S, one.domain) + g), S - sigma * one.K(P))

    def size(self, P: Tensor, S: Tensor) -> Tensor:
        """√(‖P‖²/τ + ‖S‖²/σ) of each sample, ``(batch,)``."""
        scaled = norms(P / self._root_tau), norms(S / self._root_sigma)
        return torch.hypot(*scaled)
