"""An operator on one of several channels."""

from __future__ import annotations

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator


class Channel(Operator):
    """(Kx)[target] = A x[source], and 0 in all other channels of Kx.

    From ``(batch, n, *domain)`` to ``(batch, m, *codomain)``, A being from ``domain`` to
    ``codomain``. ‖K‖ = ‖A‖.

    Parameters
    ----------
    A
        The operator.
    source, target
        The channel that it reads, of the ``channels[0]`` = n of x, and that it writes, of the
        ``channels[1]`` = m of Kx.

    Raises
    ------
    ErgodualError
        If a sample has other channels.
    """

    def __init__(self, A: Operator, source: int, target: int, channels: tuple[int, int]) -> None:
        super().__init__()
        self.A, self.source, self.target, self.channels = A, source, target, channels

    def forward(self, x: Tensor) -> Tensor:
        return self._placed(self.A(x[:, self.source]), self.target, self.channels[1])

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        found = self.A.adjoint(y[:, self.target], None if domain is None else domain[1:])
        return self._placed(found, self.source, self.channels[0])

    def codomain(self, domain: Size) -> Size:
        if domain[:1] != self.channels[:1]:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}; its first axis must be {self.channels[0]} "
                "channels."
            )
        return Size((self.channels[1], *self.A.codomain(domain[1:])))

    def domain(self, codomain: Size) -> Size:
        return Size((self.channels[0], *self.A.domain(codomain[1:])))

    def tensors(self) -> tuple[Tensor, ...]:
        return self.A.tensors()

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        return self.A.gradients(dual[:, self.target], primal[:, self.source])

    def norm(self, domain: Size | None = None) -> Tensor:
        return self.A.norm(None if domain is None else domain[1:])

    def norm_bound(self, domain: Size | None = None) -> float:
        return self.A.norm_bound(None if domain is None else domain[1:])

    def extra_repr(self) -> str:
        return f"source={self.source}, target={self.target}, channels={self.channels}"

    @staticmethod
    def _placed(x: Tensor, channel: int, channels: int) -> Tensor:
        before = x.new_zeros((len(x), channel, *x.shape[1:]))
        after = x.new_zeros((len(x), channels - channel - 1, *x.shape[1:]))
        return torch.cat([before, x[:, None], after], 1)
