"""An upper bound of a matrix's norm: the first of a grid of lines that is not below it.

The grid makes the bound a function of the matrix alone, at most 2 % above the norm. What was
learned on the way here (a reference whose norm lies in a known interval, a vector for the power
iteration) only finds the line faster: as long as that interval, widened by how far the matrix has
moved, lies between two lines, nothing is computed. Else a power iteration and a Cholesky
factorisation of c²I − KᵀK, which exists exactly when c > ‖K‖, enclose the norm anew; near a line
eigenvalues in float64 decide.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.errors import NotFiniteError

FIRST, RATIO = 1.001, 1.02
"""The lines are FIRST · RATIO^j; orthonormal matrices lie on none."""
ABOVE = 1e-3
"""How far above the power iteration's estimate the number to be certified lies, relatively."""
POWER_ITERATIONS = 16


def line(j: int) -> float:
    """The j-th line of the grid, j any whole number."""
    return float(FIRST * RATIO**j)


def line_above(norm: float) -> int:
    """The first line that is not below a positive number."""
    j = math.ceil(math.log(norm / FIRST) / math.log(RATIO)) - 1
    while line(j) < norm:
        j += 1
    return j


def line_above_in_graph(matrix: Tensor) -> Tensor:
    """The line above the norm as a tensor, by singular values."""
    norm = torch.linalg.matrix_norm(matrix, 2)
    found: Tensor = FIRST * RATIO ** ((norm / FIRST).log() / math.log(RATIO)).ceil()
    return found


class Reference(NamedTuple):
    """A matrix whose norm lies between two numbers."""

    matrix: Tensor
    low: float
    high: float


class LineFinder:
    """Finds the first line of the grid not below the norm of a matrix that changes a little at a
    time.
    """

    def __init__(self) -> None:
        self._reference: Reference | None = None
        self._vector: Tensor | None = None

    def __call__(self, matrix: Tensor) -> float:
        """The line; 0 for the matrix of zeros.

        Raises
        ------
        NotFiniteError
            If the matrix has an entry that is not finite.
        """
        known = self._reference
        if known is not None and _alike(known.matrix, matrix):
            moved = float(torch.dist(matrix, known.matrix)) * (1 + 1e-5)
            found = _between(known.low - moved, known.high + moved)
            if found is not None:
                return found
        low, high = self._enclosed(matrix)
        found = _between(low, high)
        if found is None:
            low = high = _exact(matrix)
            found = line(line_above(high)) if high > 0 else 0.0
        self._reference = Reference(matrix.clone(), low, high)
        return found

    def _enclosed(self, matrix: Tensor) -> tuple[float, float]:
        """Two numbers that ‖K‖ lies between; (0, inf) where the power iteration misled."""
        tall = matrix.shape[0] >= matrix.shape[1]
        gram = matrix.T @ matrix if tall else matrix @ matrix.T
        vector = self._vector
        if vector is None or len(vector) != len(gram) or not _alike(vector, gram, shapes=False):
            vector = torch.ones(len(gram), dtype=gram.dtype, device=gram.device)
        for _ in range(POWER_ITERATIONS):
            vector = gram @ vector
            vector = vector / vector.norm()
        estimate = math.sqrt(float((gram @ vector).norm()))
        self._vector = vector if math.isfinite(estimate) else None
        if not 0 < estimate < math.inf:
            return 0.0, math.inf
        rounding = max(16, len(gram)) * torch.finfo(gram.dtype).eps
        # just above the estimate, and, where that is too low, just below the line above it
        top = max(estimate, line(line_above(estimate)) * (1 - 3 * rounding))
        for bound in (min(estimate * (1 + ABOVE), top), top):
            shifted = gram.neg()
            shifted.diagonal().add_(bound**2)
            if not int(torch.linalg.cholesky_ex(shifted).info):
                return estimate * (1 - rounding), bound * (1 + rounding)
        return estimate * (1 - rounding), math.inf


def _between(low: float, high: float) -> float | None:
    """The line above an interval that no line divides; None where one does, or nearly."""
    if not 0 < low <= high < math.inf:
        return None
    above = line(line_above(high))
    return above if low > above / RATIO * (1 + 1e-12) and high < above * (1 - 1e-12) else None


def _exact(matrix: Tensor) -> float:
    if not bool(matrix.isfinite().all()):
        raise NotFiniteError(
            "The operator K has entries that are not finite; lower the learning rate or check the "
            "matrix given."
        )
    if not matrix.numel():
        return 0.0
    # scaled, so that no square leaves the range of the numbers
    size = float(matrix.abs().max()) or 1.0
    scaled = matrix.double() / size
    tall = matrix.shape[0] >= matrix.shape[1]
    gram = scaled.T @ scaled if tall else scaled @ scaled.T
    return size * math.sqrt(max(0.0, float(torch.linalg.eigvalsh(gram)[-1])))


def _alike(a: Tensor, b: Tensor, shapes: bool = True) -> bool:
    return a.dtype == b.dtype and a.device == b.device and (not shapes or a.shape == b.shape)
