"""A layer of ours as a reconstructor of deepinv's."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.operators import from_deepinv
from ergodual.primal_dual import Unrolled
from ergodual.problem import InverseProblem
from ergodual.solving.solved import Solved


class Reconstructor(nn.Module):
    """A layer that is told the physics with each batch; see :func:`to_deepinv`."""

    def __init__(self, layer: Unrolled | Solved) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, y: Tensor, physics: Any = None, **_: Any) -> Tensor:
        """x̂ of the observations y; with the layer's own A if no physics is given."""
        if physics is None:
            return self.layer(y)  # type: ignore[no-any-return]
        problem = self.layer.problem
        assert isinstance(problem, InverseProblem)
        layer = copy.copy(self.layer)
        layer._modules = {
            **self.layer._modules,
            "problem": problem.with_operator(from_deepinv(physics)),
        }
        x_hat: Tensor = layer(y)
        if isinstance(layer, Solved) and isinstance(self.layer, Solved):
            self.layer.solution = layer.solution
        return x_hat


def to_deepinv(layer: Unrolled | Solved) -> Reconstructor:
    """A layer as what deepinv calls a reconstructor, ``model(y, physics)``.

    The physics of a call takes the place of the problem's A, without its noise; all else, and what
    is learned, is the layer's. deepinv is not imported.

    Parameters
    ----------
    layer
        An ``Unrolled`` or a ``Solved`` of one :class:`~ergodual.InverseProblem`.

    Raises
    ------
    ErgodualError
        If it is something else; in a call, if the physics is not linear.
    """
    if not (isinstance(layer, Unrolled | Solved) and isinstance(layer.problem, InverseProblem)):
        raise ErgodualError(
            f"to_deepinv got a {type(layer).__name__}; give Unrolled or Solved of one "
            "InverseProblem, whose A is what a physics replaces."
        )
    return Reconstructor(layer)
