"""The algorithm: step sizes, the forward sweep (3)–(5), outputs, and the adjoints."""

from ergodual.primal_dual.implicit import Implicit
from ergodual.primal_dual.methods import ChambollePock, Restarted
from ergodual.primal_dual.norm import NormBound
from ergodual.primal_dual.outputs import Ergodic, Last, Output
from ergodual.primal_dual.reverse import Checkpointed, Reverse, Truncated
from ergodual.primal_dual.solve import Solution, solve
from ergodual.primal_dual.solved import Solved
from ergodual.primal_dual.stationary import AtSolution, OneStep, Stationary
from ergodual.primal_dual.steps import Steps, StepSizes
from ergodual.primal_dual.tape import Tape
from ergodual.primal_dual.unrolled import Adjoint, Unrolled

__all__ = [
    "Adjoint",
    "AtSolution",
    "ChambollePock",
    "Checkpointed",
    "Ergodic",
    "Implicit",
    "Last",
    "NormBound",
    "OneStep",
    "Output",
    "Restarted",
    "Reverse",
    "Solution",
    "Solved",
    "Stationary",
    "StepSizes",
    "Steps",
    "Tape",
    "Truncated",
    "Unrolled",
    "solve",
]
