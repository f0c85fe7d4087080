"""The derivative of the solution itself, by the linear system that its active set leaves."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ergodual.errors import ErgodualError, NotDifferentiableWarning
from ergodual.primal_dual.backward import Wanted
from ergodual.primal_dual.stationary import AtSolution, FixedPoint

NEGLIGIBLE = 1e-9
"""A multiplier this small, relative to the largest one of its sample, counts as 0."""
SOLVED = 1e-6
"""A relative residual of the linear system above this says that the derivative does not exist."""


@dataclass(frozen=True)
class Report:
    """How the derivatives of a batch were found.

    Attributes
    ----------
    residual
        ‖M δ − g‖/‖g‖ of each sample's linear system, ``(batch,)``.
    regular
        Where the solution is unique and strictly complementary, so that its derivative exists, ``(batch,)``.
    """

    residual: Tensor
    regular: Tensor


class Implicit(AtSolution):
    """The derivative of the solution map, by the implicit function theorem on the active set.

    At a fixed point, let D_P and D_D be the diagonals of the derivatives of prox_{τG} and prox_{σF*}, I and J the coordinates where
    they are not 0, a = (1 − D_P)/(τ D_P) and e = (1 − D_D)/(σ D_D). The sums over the reverse sweep (7)–(9) for infinitely many
    iterations, P = τ Σ_k δ_P^k on I and S = σ Σ_k δ_D^k on J, solve

        a ⊙ P − K_JIᵀ S = g_I,      K_JI P + e ⊙ S = 0,

    and (10) becomes ∂L/∂K = S x̂ᵀ − y Pᵀ. For the paper's problem a = e = 0 and K_JI is square, so P = 0 and one system of the size of
    the active set is left. The steps σ and τ cancel.

    Parameters
    ----------
    otherwise
        What is done for samples whose derivative does not exist, because the system is singular (the solution is not unique) or
        a bound is met with a zero multiplier (it is not strictly complementary): ``"least-squares"`` takes the solution of
        least norm and warns; ``"refuse"`` raises.

    Attributes
    ----------
    report
        On the latest backward pass; None before the first.

    Raises
    ------
    ErgodualError
        If ``otherwise`` is neither; in the backward pass, if F or G is not separable, or a derivative does not exist and is to be refused.
    """

    def __init__(self, otherwise: Literal["least-squares", "refuse"] = "least-squares") -> None:
        if otherwise not in ("least-squares", "refuse"):
            raise ErgodualError(f"Implicit's otherwise is {otherwise!r}; it must be 'least-squares' or 'refuse'.")
        self.otherwise = otherwise
        self.report: Report | None = None

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> tuple[Tensor | None, ...]:
        """See :class:`AtSolution`."""
        problem, _, r, y, sigma, tau, _ = point
        F, G, K = problem.F, problem.G, problem.K
        if not (F.separable and G.separable):
            raise ErgodualError("Implicit needs functions that are sums over coordinates; take Stationary(b) for others.")
        z_primal, z_dual = point.z_primal, point.z_dual
        kept_r, kept_y = (z if f.derivative_from == "input" else p for f, z, p in ((G, z_primal, r), (F, z_dual, y)))
        D_P, D_D = G.prox_vjp(kept_r, tau, torch.ones_like(r))[0], F.prox_conjugate_vjp(kept_y, sigma, torch.ones_like(y))[0]
        matrix = K(torch.eye(K.n, dtype=r.dtype, device=r.device)).T.detach()
        P, S, residual = torch.zeros_like(r), torch.zeros_like(y), r.new_zeros(len(r))
        regular = _strictly_complementary(z_primal - r, D_P) & _strictly_complementary(z_dual - y, D_D)
        for i in range(len(r)):
            I, J = D_P[i].nonzero()[:, 0], D_D[i].nonzero()[:, 0]  # noqa: E741 (the name of the docstring)
            a, e = (1 - D_P[i, I]) / (tau * D_P[i, I]), (1 - D_D[i, J]) / (sigma * D_D[i, J])
            P[i, I], S[i, J], unique = _solve(matrix[J][:, I], a, e, g[i, I])
            residual[i] = _residual(matrix[J][:, I], a, e, g[i, I], P[i, I], S[i, J])
            regular[i] &= unique
        regular &= residual <= SOLVED
        self._account(Report(residual, regular))
        KTS = K.adjoint(S)
        _, in_G = G.prox_vjp(kept_r, tau, P + tau * (KTS + g), wanted.G)
        _, in_F = F.prox_conjugate_vjp(kept_y, sigma, S - sigma * K(P), wanted.F)
        in_K = K.gradients(S, point.x_tilde + r), K.gradients(y, P)
        return (
            g + KTS if wanted.x_tilde else None,
            *(a - b if wanted.K else None for a, b in zip(*in_K, strict=True)),
            *_over(in_F, sigma, len(F.tensors())),
            *_over(in_G, tau, len(G.tensors())),
        )

    def _account(self, report: Report) -> None:
        self.report = report
        bad = int((~report.regular).sum())
        if not bad:
            return
        said = (
            f"The solutions of {bad} of {len(report.regular)} samples have no derivative, for want of uniqueness or strict complementarity"
        )
        if self.otherwise == "refuse":
            raise ErgodualError(f"{said}; leave these samples out, or give Implicit('least-squares').")
        warnings.warn(f"{said}; theirs are those of least norm.", NotDifferentiableWarning, stacklevel=2)


def _strictly_complementary(multiplier: Tensor, derivative: Tensor) -> Tensor:
    """Whether every coordinate that a prox holds fast is pushed against, and no free one is."""
    size = multiplier.abs()
    held = (derivative == 0) & (size <= NEGLIGIBLE * size.amax(-1, keepdim=True))
    return ~held.any(-1)


def _solve(A: Tensor, a: Tensor, e: Tensor, g: Tensor) -> tuple[Tensor, Tensor, bool]:
    """P and S of the system in :class:`Implicit`, A = K_JI, and whether it was regular."""
    rows, columns = A.shape
    if not columns:  # nothing can move: S is the dual's own business
        return g.new_zeros(0), g.new_zeros(rows), True
    if not (a.any() or e.any()):
        S, unique = _solution(A.T, -g)
        return torch.zeros_like(g), S, unique
    M = torch.cat([torch.cat([torch.diag(a), -A.T], 1), torch.cat([A, torch.diag(e)], 1)])
    found, unique = _solution(M, torch.cat([g, g.new_zeros(rows)]))
    return found[:columns], found[columns:], unique


def _solution(M: Tensor, b: Tensor) -> tuple[Tensor, bool]:
    """M⁻¹ b, or the least-squares solution of least norm where there is no inverse."""
    if M.shape[0] == M.shape[1]:
        found, info = torch.linalg.solve_ex(M, b)
        if not int(info) and float((M @ found - b).norm()) <= SOLVED * float(b.norm()) and bool(found.isfinite().all()):
            return found, True
    if not M.numel():
        return b.new_zeros(M.shape[1]), False
    driver = "gelsd" if M.device.type == "cpu" else None
    return torch.linalg.lstsq(M, b[:, None], driver=driver).solution[:, 0], False


def _residual(A: Tensor, a: Tensor, e: Tensor, g: Tensor, P: Tensor, S: Tensor) -> Tensor:
    missed: Tensor = torch.cat([a * P - A.T @ S - g, A @ P + e * S]).norm()
    return missed / g.norm() if g.any() else missed


def _over(found: tuple[Tensor | None, ...], step: float, count: int) -> list[Tensor | None]:
    """Parameter gradients from a sum that was scaled by the step; None for each where none were wanted."""
    return [None if t is None else t / step for t in found] if found else [None] * count
