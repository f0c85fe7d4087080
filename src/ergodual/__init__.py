"""Ergodual learns the regulariser of a convex reconstruction problem by differentiating exactly through its primal-dual solver."""

from ergodual.errors import ErgodualError, NotFiniteError
from ergodual.functions import L1, L21, Box, Function, SquaredL2, Zero
from ergodual.operators import Dense, Operator
from ergodual.primal_dual import Checkpointed, Ergodic, Last, Reverse, StepSizes, Tape, Truncated, Unrolled
from ergodual.problem import Problem
from ergodual.speech.dequantizer import Dequantizer

__version__ = "0.1.0"

__all__ = [
    "L1",
    "L21",
    "Box",
    "Checkpointed",
    "Dense",
    "Dequantizer",
    "Ergodic",
    "ErgodualError",
    "Function",
    "Last",
    "NotFiniteError",
    "Operator",
    "Problem",
    "Reverse",
    "SquaredL2",
    "StepSizes",
    "Tape",
    "Truncated",
    "Unrolled",
    "Zero",
]
