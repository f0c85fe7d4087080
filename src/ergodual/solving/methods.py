"""What an algorithm of ``solve`` is: how a batch of iterates advances, and which of its points is
taken for the solution.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeVar

from torch import Tensor

from ergodual.instance import Instance
from ergodual.solving.certificates import Pending, Point
from ergodual.solving.chambolle_pock import ChambollePock
from ergodual.solving.newton import applies
from ergodual.solving.restarted import Restarted
from ergodual.solving.solution import Solution, Start

FLAT = 1e4
"""From which ratio of its curvatures on a strongly convex G is not taken for one."""

S = TypeVar("S", bound="State")


class State(Protocol):
    """A tuple of tensors with a row for each sample, among them the primal weight ω."""

    @property
    def weight(self) -> Tensor:
        """ω."""


class Method(Protocol[S]):
    """An algorithm for the lower level, with its settings."""

    precondition: bool | None
    """Whether coordinates have steps of their own, see :class:`Restarted`."""

    def start(self, pending: Pending, r: Tensor, y: Tensor, weight: Tensor | None) -> S:
        """The state before the first iteration, from these iterates; ``weight`` is that of an
        earlier solution, if any.
        """

    def advance(self, pending: Pending, state: S, iterations: int) -> S:
        """So many iterations further."""

    def candidate(self, pending: Pending, state: S, done: int) -> tuple[S, Point]:
        """The state, perhaps restarted, and the best point known; ``done`` counts all iterations so
        far.
        """


def default_method(one: Instance, start: Solution | Start | Tensor | None) -> Method[Any]:
    """The restarted method, or the accelerated one where that is linear and no Newton step is.

    From an earlier solution Halpern's: accelerated steps begin too large for one that is near.
    """
    mu, smooth = one.G.strong_convexity(), one.G.smoothness()
    # as good as none where G has directions that it hardly bends in, as of a blur
    strongly = mu > 0 and not FLAT * mu < smooth < math.inf
    if strongly and one.F.smoothness() < math.inf and not applies(one):
        return ChambollePock(accelerated=True)
    return Restarted() if start is None or isinstance(start, Tensor) else Restarted("halpern")
