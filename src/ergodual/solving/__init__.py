"""The lower level solved: certificates, methods, and gradients at the solution."""

from ergodual.solving.at_solution import AtSolution
from ergodual.solving.chambolle_pock import ChambollePock
from ergodual.solving.implicit import Implicit
from ergodual.solving.linear_solvers import Direct, Minres
from ergodual.solving.neumann import Neumann, OneStep
from ergodual.solving.piggyback import Piggyback
from ergodual.solving.reconstructor import to_deepinv
from ergodual.solving.restarted import Restarted
from ergodual.solving.solution import Solution, Start
from ergodual.solving.solve import solve
from ergodual.solving.solved import Solved

__all__ = [
    "AtSolution",
    "ChambollePock",
    "Direct",
    "Implicit",
    "Minres",
    "Neumann",
    "OneStep",
    "Piggyback",
    "Restarted",
    "Solution",
    "Solved",
    "Start",
    "solve",
    "to_deepinv",
]
