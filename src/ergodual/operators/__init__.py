"""Linear maps K: forward, adjoint, norm, and the gradient in their parameters."""

from ergodual.operators.base import Operator
from ergodual.operators.dense import Dense

__all__ = ["Dense", "Operator"]
