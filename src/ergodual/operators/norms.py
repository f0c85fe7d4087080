"""Norms of operators of which nothing but the products is known."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Size, Tensor

from ergodual.errors import NotFiniteError


class LinearMap(Protocol):
    """What of an operator is used here."""

    def __call__(self, x: Tensor) -> Tensor:
        """Kx."""

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        """Kᵀy."""

    def codomain(self, domain: Size) -> Size:
        """The shape of Kx."""

    def tensors(self) -> tuple[Tensor, ...]:
        """The parameters."""


MARGIN = 1.05
"""What :func:`power_bound` adds to the estimate."""
SMALL = 2**21
"""Entries up to which an operator's matrix is set up for its exact norm."""


def power_bound(K: LinearMap, domain: Size, iterations: int = 300) -> float:
    """1.05 times what a power iteration on KᵀK estimates from a fixed start: a function of K alone.

    It ends when an iteration moves the estimate by less than 1e-4 of itself. With a random start
    the estimate is expected to be below ‖K‖² by at most 0.87 ln(n)/iterations of itself
    (Kuczyński, Woźniakowski, SIAM J. Matrix Anal. Appl. 1992), whatever the spectrum.

    Raises
    ------
    NotFiniteError
        If K has a parameter or a product that is not finite.
    """
    return MARGIN * _power(K, domain, iterations, 1e-4)[0]


def singular_pair(K: LinearMap, domain: Size) -> tuple[Tensor, Tensor]:
    """The top singular vectors u, ``(1, *codomain)``, and v, ``(1, *domain)``, without a tape.

    By a singular value decomposition of the matrix where that has up to 2²¹ entries, else by a
    power iteration to rounding.
    """
    codomain = K.codomain(domain)
    n, m = math.prod(domain), math.prod(codomain)
    like = _like(K)
    if n * m > SMALL:
        estimate, v = _power(K, domain, 10_000, 10 * torch.finfo(like.dtype).eps)
        with torch.no_grad():
            return K(v) / (estimate or 1.0), v
    matrix = matrix_of(K, domain)
    if not bool(matrix.isfinite().all()):
        raise _not_finite(K)
    U, _, Vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    return U[:, 0].to(like).view(1, *codomain), Vh[0].to(like).view(1, *domain)


def matrix_of(K: LinearMap, domain: Size, like: Tensor | None = None) -> Tensor:
    """K as an (m, n) matrix of its flattened samples, without a tape, of the type of ``like``."""
    n, like = math.prod(domain), _like(K) if like is None else like
    with torch.no_grad():
        columns = K(torch.eye(n, dtype=like.dtype, device=like.device).view(n, *domain))
        return columns.reshape(n, -1).T


def _power(K: LinearMap, domain: Size, iterations: int, tol: float) -> tuple[float, Tensor]:
    like = _like(K)
    start = torch.randn(
        (1, *domain), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    v, estimate = start.to(like), 0.0
    with torch.no_grad():
        v /= v.norm()
        for _ in range(iterations):
            before, w = estimate, K.adjoint(K(v), domain)
            squared = float(w.norm())
            if not math.isfinite(squared):
                raise _not_finite(K)
            if squared == 0:
                break
            estimate, v = math.sqrt(squared), w / squared
            if abs(estimate - before) <= tol * estimate:
                break
    return estimate, v


def _like(K: LinearMap) -> Tensor:
    """What tells the type and device; the default ones where K has no tensors."""
    return next((t for t in K.tensors() if t.is_floating_point()), torch.zeros(()))


def _not_finite(K: LinearMap) -> NotFiniteError:
    return NotFiniteError(
        f"The operator K ({type(K).__name__}) has entries that are not finite; lower the learning "
        "rate or check what it was given."
    )
