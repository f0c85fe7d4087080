"""Norms of operators of which nothing but the products is known."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError, NotFiniteError
from ergodual.tensors import random_like


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
"""What :func:`lanczos_bound` multiplies the estimate by."""
TOO_LOW = 1e-6
"""The probability, over random starts, that the estimate misses more than the margin."""
SMALL = 2**21
"""Entries up to which an operator's matrix is set up for its exact norm."""


def lanczos_bound(K: LinearMap, domain: Size) -> float:
    """1.05 times the root of the largest Ritz value of k Lanczos steps on KᵀK.

    The start is random but fixed, so that this is a function of K alone. Of random starts, a share
    of at most 1.648 √n exp(−√ε (2k − 1)) gives a value that is low by more than ε ‖K‖², whatever
    the spectrum (Kuczyński, Woźniakowski, SIAM J. Matrix Anal. Appl. 1992, Theorem 4.1 for the
    Lanczos algorithm); k is the least for which 5 % are too few in one start of a million: 33 for
    65,536 coordinates.

    Raises
    ------
    NotFiniteError
        If K has a parameter or a product that is not finite.
    """
    n = math.prod(domain)
    steps = math.log(1.648 * math.sqrt(max(n, 1)) / TOO_LOW) / math.sqrt(1 - MARGIN**-2)
    v = _start(K, domain)
    before, diagonal, beside = torch.zeros_like(v), list[float](), list[float]()
    with torch.no_grad():
        for _ in range(min(n, math.ceil((steps + 1) / 2))):
            w = K.adjoint(K(v), domain)
            diagonal.append(float((v * w).sum()))
            w = w - diagonal[-1] * v - (beside[-1] if beside else 0.0) * before
            beside.append(float(w.norm()))
            if not math.isfinite(diagonal[-1] + beside[-1]):
                raise not_finite(K)
            if beside[-1] <= torch.finfo(v.dtype).eps * max(diagonal):
                break
            before, v = v, w / beside[-1]
    if not diagonal:
        return 0.0
    tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
    tridiagonal += torch.diag(off, 1) + torch.diag(off, -1)
    return MARGIN * math.sqrt(max(0.0, float(torch.linalg.eigvalsh(tridiagonal)[-1])))


def singular_pair(K: LinearMap, domain: Size) -> tuple[Tensor, Tensor]:
    """The top singular vectors u, ``(1, *codomain)``, and v, ``(1, *domain)``, without a tape.

    By a singular value decomposition of the matrix where that has up to 2²¹ entries, else by a
    power iteration to rounding.
    """
    codomain = K.codomain(domain)
    n, m = math.prod(domain), math.prod(codomain)
    like = zero_sample(K, domain)
    if n * m > SMALL:
        estimate, v = _power(K, domain, 10_000, 10 * torch.finfo(like.dtype).eps)
        with torch.no_grad():
            return K(v) / (estimate or 1.0), v
    matrix = matrix_of(K, domain)
    if not bool(matrix.isfinite().all()):
        raise not_finite(K)
    U, _, Vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    return U[:, 0].to(like).view(1, *codomain), Vh[0].to(like).view(1, *domain)


def matrix_of(K: LinearMap, domain: Size, like: Tensor | None = None) -> Tensor:
    """K as an (m, n) matrix of its flattened samples, without a tape, of the type of ``like``."""
    n, like = math.prod(domain), zero_sample(K, domain) if like is None else like
    with torch.no_grad():
        columns = K(torch.eye(n, dtype=like.dtype, device=like.device).view(n, *domain))
        found: Tensor = columns.reshape(n, -1).T
        return found


def zero_sample(K: LinearMap, domain: Size) -> Tensor:
    """A sample of zeros that K takes: of the type of its tensors, else of float64 or float32.

    Raises
    ------
    ErgodualError
        If K takes none.
    """
    own = next((t for t in K.tensors() if t.is_floating_point()), None)
    likes = [torch.zeros((), dtype=d) for d in (torch.float64, torch.float32)]
    with torch.no_grad():
        for like in likes if own is None else [own]:
            zeros = like.new_zeros((1, *domain))
            try:
                K(zeros)
            except (RuntimeError, IndexError, ValueError, TypeError, AssertionError) as error:
                failed = error
            else:
                return zeros
    raise ErgodualError(
        f"{type(K).__name__} takes no samples of shape {tuple(domain)}: {failed}"
    ) from failed


def not_finite(K: LinearMap) -> NotFiniteError:
    """What to raise of an operator with such entries."""
    return NotFiniteError(
        f"The operator K ({type(K).__name__}) has entries that are not finite; lower the learning "
        "rate or check what it was given."
    )


def _power(K: LinearMap, domain: Size, iterations: int, tol: float) -> tuple[float, Tensor]:
    v, estimate = _start(K, domain), 0.0
    with torch.no_grad():
        for _ in range(iterations):
            before, w = estimate, K.adjoint(K(v), domain)
            squared = float(w.norm())
            if not math.isfinite(squared):
                raise not_finite(K)
            if squared == 0:
                break
            estimate, v = math.sqrt(squared), w / squared
            if abs(estimate - before) <= tol * estimate:
                break
    return estimate, v


def _start(K: LinearMap, domain: Size) -> Tensor:
    """A random unit vector, always the same one."""
    like = zero_sample(K, domain)
    v = random_like(like.new_empty((1, *domain), dtype=torch.float64, device="cpu"), 0)
    start: Tensor = v / v.norm()
    return start.to(like)
