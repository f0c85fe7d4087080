"""MINRES for a batch of symmetric systems, each sample by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

ZERO = {torch.float64: 1e-7, torch.float32: 1e-4}
"""Eigenvalues below this, relative to the largest, count as 0."""


class Found(NamedTuple):
    """What :func:`minres` found.

    Attributes
    ----------
    x
        ``(batch, n)``: of a singular system the shortest solution.
    left
        b − Ax, ``(batch, n)``.
    iterations
        How many it took altogether.
    """

    x: Tensor
    left: Tensor
    iterations: int


def minres(
    product: Callable[[Tensor], Tensor], b: Tensor, tol: float, max_iterations: int
) -> Found:
    """min ‖Ax − b‖ for a symmetric A, definite or not, given by its products (Paige, Saunders,
    "Solution of sparse indefinite systems of linear equations", SINUM 1975).

    Where the system has no solution x ends with a part along b − Ax, which is in the kernel and is
    taken out (Liu, Milzarek, Roosta, "Obtaining pseudo-inverse solutions with MINRES", 2023).

    A sample is left where it is once its residual is below ``tol`` ‖b‖; or, since the system has no
    solution, once that no longer falls, ‖A(Ax − b)‖ ≤ ZERO ‖A‖ ‖Ax − b‖, or x grows as by an
    eigenvalue of 0.

    Parameters
    ----------
    product
        Ax, for ``(batch, n)``.
    b
        ``(batch, n)``.
    tol, max_iterations
        Where it ends.
    """
    eps, zero = torch.finfo(b.dtype).eps, ZERO.get(b.dtype, 1e-4)
    size = torch.linalg.vector_norm(b, dim=1)
    x = torch.zeros_like(b)
    v, v_before = _scaled(b, size), torch.zeros_like(b)
    w, w_before = torch.zeros_like(b), torch.zeros_like(b)
    # the last two rotations, the subdiagonal, what is left of the right-hand side, and ‖A‖
    cos, sin = torch.full_like(size, -1.0), torch.zeros_like(size)
    dbar, epsilon, beta = (torch.zeros_like(size) for _ in range(3))
    left, norm = size.clone(), torch.zeros_like(size)
    open_, done = size > 0, 0
    while done < max_iterations and bool(open_.any()):
        done += 1
        p = product(v)
        alpha = (v * p).sum(1)
        p = p - alpha[:, None] * v - beta[:, None] * v_before
        beta_before, beta = beta, torch.linalg.vector_norm(p, dim=1)
        norm = torch.maximum(norm, torch.hypot(torch.hypot(alpha, beta), beta_before))
        # the QR factors of the tridiagonal matrix
        delta, gbar = cos * dbar + sin * alpha, sin * dbar - cos * alpha
        epsilon_before, epsilon, dbar = epsilon, sin * beta, -cos * beta
        # ‖A(Ax − b)‖ = left · ‖(gbar, dbar)‖ before this step
        open_ = open_ & (torch.hypot(gbar, dbar) > zero * norm)
        gamma = torch.hypot(gbar, beta).clamp(min=eps * eps)
        cos, sin = gbar / gamma, beta / gamma
        w, w_before = (
            (v - epsilon_before[:, None] * w_before - delta[:, None] * w) / gamma[:, None],
            w,
        )
        further = x + (cos * left)[:, None] * w
        # longer than what the smallest eigenvalue that counts could make of b
        open_ = open_ & (torch.linalg.vector_norm(further, dim=1) * zero * norm <= size)
        x = torch.where(open_[:, None], further, x)
        left = torch.where(open_, sin * left, left)
        open_ = open_ & (left > tol * size) & (beta > 10 * eps * norm)
        v, v_before = _scaled(p, beta), v
    rest = b - product(x)
    squared = rest.square().sum(1)
    along = torch.where(squared > 0, (x * rest).sum(1) / squared, 0.0)
    shorter = x - along[:, None] * rest
    left_then = b - product(shorter)
    # not where b − Ax is no more than rounding, or not yet of the kernel
    lifts = (squared.sqrt() > 10 * tol * size) & (
        torch.linalg.vector_norm(left_then, dim=1) <= 1.001 * squared.sqrt()
    )
    return Found(
        torch.where(lifts[:, None], shorter, x), torch.where(lifts[:, None], left_then, rest), done
    )


def _scaled(v: Tensor, size: Tensor) -> Tensor:
    return v / torch.where(size > 0, size, 1.0)[:, None]
