"""The sweeps: step sizes, the iteration (3)–(5), outputs, and the adjoints that go through it."""

from ergodual.primal_dual.entropy import Entropy
from ergodual.primal_dual.learned_primal_dual import LearnedPrimalDual
from ergodual.primal_dual.outputs import Ergodic, Last, Output
from ergodual.primal_dual.preconditioned import Preconditioned
from ergodual.primal_dual.relaxed import Relaxed
from ergodual.primal_dual.reverse import Checkpointed, Reverse, Truncated
from ergodual.primal_dual.steady import Steady
from ergodual.primal_dual.steps import Steps, StepSizes
from ergodual.primal_dual.tape import Tape
from ergodual.primal_dual.unrolled import Adjoint, Unrolled

__all__ = [
    "Adjoint",
    "Checkpointed",
    "Entropy",
    "Ergodic",
    "Last",
    "LearnedPrimalDual",
    "Output",
    "Preconditioned",
    "Relaxed",
    "Reverse",
    "Steady",
    "StepSizes",
    "Steps",
    "Tape",
    "Truncated",
    "Unrolled",
]
