"""Ergodual learns the regulariser of a convex reconstruction problem by differentiating exactly through its primal-dual solver."""

from ergodual.errors import (
    ErgodualError,
    NotConvergedWarning,
    NotDifferentiableWarning,
    NotFiniteError,
)
from ergodual.functions import L1, L21, Box, Function, SquaredL2, Zero
from ergodual.operators import Dense, Operator
from ergodual.primal_dual import (
    Checkpointed,
    Ergodic,
    Last,
    Reverse,
    StepSizes,
    Tape,
    Truncated,
    Unrolled,
)
from ergodual.problem import Problem
from ergodual.solving import (
    ChambollePock,
    Implicit,
    Neumann,
    OneStep,
    Restarted,
    Solution,
    Solved,
    solve,
)
from ergodual.speech.dequantizer import Dequantizer

__version__ = "0.1.0"

__all__ = [
    "Box",
    "ChambollePock",
    "Checkpointed",
    "Dense",
    "Dequantizer",
    "Ergodic",
    "ErgodualError",
    "Function",
    "Implicit",
    "L1",
    "L21",
    "Last",
    "NotConvergedWarning",
    "NotDifferentiableWarning",
    "NotFiniteError",
    "OneStep",
    "Operator",
    "Problem",
    "Restarted",
    "Reverse",
    "Solution",
    "Solved",
    "SquaredL2",
    "Neumann",
    "StepSizes",
    "Tape",
    "Truncated",
    "Unrolled",
    "Zero",
    "solve",
]
