"""An upper bound of ‖K‖ that follows K through training and is never below it.

Between refreshes the bound is ‖K_ref‖ + ‖K − K_ref‖_F, one pass over K. When that has become loose, K becomes the new
reference: a few power iterations propose a number just above ‖K‖, and a Cholesky factorisation of c²I − KᵀK certifies it
(the factorisation exists exactly when c > ‖K‖). A full singular value decomposition is needed only where the proposal fails.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.errors import NotFiniteError
from ergodual.functions.base import Number
from ergodual.operators.base import Operator
from ergodual.operators.dense import Dense

LOOSENESS = 0.02
"""A bound this much above the reference norm, relatively, is refreshed."""
MARGINS = (1e-3, 3e-3, 1e-2)
"""How far above the power iteration's estimate the numbers to be certified lie, relatively: the first that holds is taken."""
POWER_ITERATIONS = 16


class NormBound:
    """A certified upper bound of the norm of one operator, cheap to evaluate again after the operator has moved a little."""

    def __init__(self) -> None:
        self._reference: Tensor | None = None
        self._norm = 0.0
        self._vector: Tensor | None = None

    def refresh(self, K: Operator) -> float:
        """Take the exact norm of K, and K as the reference."""
        norm, self._vector = _exact(K), None
        if isinstance(K, Dense):
            self._adopt(K.matrix, norm)
        return norm

    def __call__(self, K: Operator) -> Number:
        """A number that is at least ‖K‖ and, relatively, at most about 3 % above it; in a graph for export ‖K‖ itself.

        Raises
        ------
        NotFiniteError
            If K has an entry that is not finite.
        """
        if torch.compiler.is_exporting():  # the graph holds no numbers read to the host
            return K.norm()
        if not isinstance(K, Dense):
            return _exact(K)
        matrix = K.matrix.detach()
        reference = self._reference
        if (
            reference is None
            or reference.shape != matrix.shape
            or reference.dtype != matrix.dtype
            or reference.device != matrix.device
        ):
            return self.refresh(K)
        moved = float(torch.dist(matrix, reference))
        if moved <= LOOSENESS * self._norm:
            return self._norm + moved
        certified = self._certify(matrix) if moved <= 0.5 * self._norm else None
        if certified is None:
            return self.refresh(K)
        self._adopt(matrix, certified)
        return certified

    def _adopt(self, matrix: Tensor, norm: float) -> None:
        self._reference, self._norm = matrix.detach().clone(), norm

    def _certify(self, matrix: Tensor) -> float | None:
        gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        vector = self._vector
        if (
            vector is None
            or vector.shape[0] != gram.shape[0]
            or vector.dtype != gram.dtype
            or vector.device != gram.device
        ):
            vector = torch.ones(gram.shape[0], dtype=gram.dtype, device=gram.device)
        for _ in range(POWER_ITERATIONS):
            vector = gram @ vector
            vector = vector / vector.norm()
        self._vector = vector
        estimate = float((gram @ vector).norm()) ** 0.5
        for margin in MARGINS:
            bound: float = estimate * (1 + margin)
            shifted = gram.neg()
            shifted.diagonal().add_(bound**2)
            # bound² I − gram is positive definite if and only if bound > ‖K‖
            if not int(torch.linalg.cholesky_ex(shifted).info):
                return bound
        return None


def _exact(K: Operator) -> float:
    for tensor in K.tensors():
        if not bool(tensor.isfinite().all()):
            raise NotFiniteError(
                "The operator K has entries that are not finite; lower the learning rate or check the matrix given."
            )
    with torch.no_grad():
        return float(K.norm())
