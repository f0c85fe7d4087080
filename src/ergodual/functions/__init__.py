"""Convex functions: value, prox, conjugate prox, and the prox derivatives as vector–Jacobian products."""

from ergodual.functions.base import Function
from ergodual.functions.box import Box
from ergodual.functions.l1 import L1
from ergodual.functions.l21 import L21
from ergodual.functions.quadratic import SquaredL2, Zero

__all__ = ["L1", "L21", "Box", "Function", "SquaredL2", "Zero"]
