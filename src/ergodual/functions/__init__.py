"""Convex functions: value, prox, conjugate prox, and the prox derivatives."""

from ergodual.functions.balls import L2Ball
from ergodual.functions.base import Function
from ergodual.functions.box import Box, NonNegative
from ergodual.functions.l1 import L1
from ergodual.functions.l21 import L21
from ergodual.functions.quadratic import SquaredL2, Zero
from ergodual.functions.sums import SeparableSum, Translated

__all__ = [
    "L1",
    "L21",
    "Box",
    "Function",
    "L2Ball",
    "NonNegative",
    "SeparableSum",
    "SquaredL2",
    "Translated",
    "Zero",
]
