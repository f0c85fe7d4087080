"""The algorithm: step sizes, the forward sweep (3)–(5), outputs, and the adjoints."""

from ergodual.primal_dual.norm import NormBound
from ergodual.primal_dual.outputs import Ergodic, Last, Output
from ergodual.primal_dual.reverse import Checkpointed, Reverse, Truncated
from ergodual.primal_dual.steps import Steps, StepSizes
from ergodual.primal_dual.tape import Tape
from ergodual.primal_dual.unrolled import Adjoint, Unrolled

__all__ = [
    "Adjoint",
    "Checkpointed",
    "Ergodic",
    "Last",
    "NormBound",
    "Output",
    "Reverse",
    "StepSizes",
    "Steps",
    "Tape",
    "Truncated",
    "Unrolled",
]
