"""The linear system that an active set leaves, for Newton steps and for derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

DAMPING = 1e-8
"""Of least squares, relative to the sum of the squared singular values."""


def solve_saddle(
    A: Tensor, a: Tensor, e: Tensor, b: Tensor, c: Tensor
) -> tuple[Tensor, Tensor] | None:
    """p and s with a ⊙ p + Aᵀs = b and e ⊙ s − A p = c, a, e ≥ 0; None where there is no one
    solution.

    Where e > 0, or a > 0, throughout, its unknowns are eliminated; where a = e = 0, A must be
    square.
    """
    if bool((e > 0).all()):
        p = _solve(torch.diag(a) + A.T @ (A / e[:, None]), b - A.T @ (c / e))
        return None if p is None else (p, (c + A @ p) / e)
    if bool((a > 0).all()):
        s = _solve(torch.diag(e) + (A / a) @ A.T, c + A @ (b / a))
        return None if s is None else ((b - A.T @ s) / a, s)
    if not (a.any() or e.any()):
        if A.shape[0] != A.shape[1]:
            return None
        factors, pivots, info = torch.linalg.lu_factor_ex(A)
        if int(info):
            return None
        p = -torch.linalg.lu_solve(factors, pivots, c[:, None])[:, 0]
        return p, torch.linalg.lu_solve(factors, pivots, b[:, None], adjoint=True)[:, 0]
    found = _solve(_matrix(A, a, e), torch.cat([b, c]))
    return None if found is None else (found[: len(a)], found[len(a) :])


def least_norm(A: Tensor, a: Tensor, e: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Of all that miss the system of :func:`solve_saddle` least, the shortest p and s."""
    if not (a.any() or e.any()):
        return -_least_squares(A, c), _least_squares(A.T, b)
    found = _least_squares(_matrix(A, a, e), torch.cat([b, c]))
    return found[: len(a)], found[len(a) :]


def residuals(
    A: Tensor, a: Tensor, e: Tensor, b: Tensor, c: Tensor, p: Tensor, s: Tensor
) -> tuple[Tensor, Tensor]:
    """What is left of the system's right-hand side."""
    return b - a * p - A.T @ s, c - e * s + A @ p


def missed(A: Tensor, a: Tensor, e: Tensor, b: Tensor, c: Tensor, p: Tensor, s: Tensor) -> Tensor:
    """The residual of the system over the size of its right-hand side."""
    size = torch.cat([b, c]).norm()
    residual: Tensor = torch.cat(residuals(A, a, e, b, c, p, s)).norm()
    return residual / size if size > 0 else residual


def _matrix(A: Tensor, a: Tensor, e: Tensor) -> Tensor:
    return torch.cat([torch.cat([torch.diag(a), A.T], 1), torch.cat([-A, torch.diag(e)], 1)])


def _solve(M: Tensor, right: Tensor) -> Tensor | None:
    result = torch.linalg.solve_ex(M, right)
    found: Tensor = result.result
    return None if int(result.info) else found


def _least_squares(M: Tensor, right: Tensor) -> Tensor:
    """In float64 by normal equations with :data:`DAMPING`: 20 times as fast as by singular values,
    and never without an answer.
    """
    M, right, like = M.double(), right.double()[:, None], right
    tall = M.shape[0] >= M.shape[1]
    gram = M.T @ M if tall else M @ M.T
    squares = gram.diagonal().sum()
    gram.diagonal().add_(torch.where(squares > 0, DAMPING * squares, 1.0))
    factor = torch.linalg.cholesky(gram)

    def damped(b: Tensor) -> Tensor:
        return (
            torch.cholesky_solve(M.T @ b, factor) if tall else M.T @ torch.cholesky_solve(b, factor)
        )

    found = damped(right)
    for _ in range(2):  # undoes the damping, of all but the smallest singular values
        found += damped(right - M @ found)
    return found[:, 0].to(like)
