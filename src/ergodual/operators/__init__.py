"""Linear maps K: forward, adjoint, norm, and the gradient in their parameters."""

from ergodual.operators.base import Adjoint, Compose, Layout, Operator, Scaled
from ergodual.operators.conv import Conv
from ergodual.operators.dense import Dense
from ergodual.operators.elementary import Diagonal, Gradient, Identity
from ergodual.operators.stack import Stack

__all__ = [
    "Adjoint",
    "Compose",
    "Conv",
    "Dense",
    "Diagonal",
    "Gradient",
    "Identity",
    "Layout",
    "Operator",
    "Scaled",
    "Stack",
]
