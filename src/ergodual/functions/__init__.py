"""Convex functions: value, prox, conjugate prox, and the prox derivatives."""

from ergodual.functions.balls import L1Ball, L2Ball, Simplex
from ergodual.functions.base import Function
from ergodual.functions.box import Box, NonNegative
from ergodual.functions.conjugate import L2, Conjugate, LInf
from ergodual.functions.elastic_net import ElasticNet
from ergodual.functions.groups import GroupSum
from ergodual.functions.huber import Huber
from ergodual.functions.kl import KullbackLeibler
from ergodual.functions.l1 import L1
from ergodual.functions.l21 import L21
from ergodual.functions.learned_prox import LearnedProx
from ergodual.functions.least_squares import Quadratic
from ergodual.functions.nuclear import Nuclear
from ergodual.functions.quadratic import SquaredL2, Zero
from ergodual.functions.spline import Spline
from ergodual.functions.sums import SeparableSum
from ergodual.functions.tilted import Linear, Tilted
from ergodual.functions.translated import Translated

__all__ = [
    "L1",
    "L2",
    "L21",
    "Box",
    "Conjugate",
    "ElasticNet",
    "Function",
    "GroupSum",
    "Huber",
    "KullbackLeibler",
    "L1Ball",
    "L2Ball",
    "LInf",
    "LearnedProx",
    "Linear",
    "NonNegative",
    "Nuclear",
    "Quadratic",
    "SeparableSum",
    "Simplex",
    "Spline",
    "SquaredL2",
    "Tilted",
    "Translated",
    "Zero",
]
