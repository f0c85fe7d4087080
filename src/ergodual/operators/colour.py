"""Colours as brightness and what is left of them."""

from __future__ import annotations

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.tensors import require


class Opponent(Operator):
    """Red, green and blue as (r + g + b)/√3, c (r − b)/√2 and c (r − 2g + b)/√6, on an axis after
    a new one for filters: ``(batch, 3, *s)`` to ``(batch, 1, 3, *s)``.

    Of photographs the first holds nearly all detail. With c = 1 the three are orthonormal, so that
    noise stays white; ‖K‖ = max(1, c).

    Parameters
    ----------
    chroma
        c > 0.

    Raises
    ------
    ErgodualError
        If c is not positive, or a sample has no three channels.
    """

    matrix: Tensor

    def __init__(self, chroma: float = 1.0) -> None:
        super().__init__()
        require(chroma > 0, f"Opponent's chroma is {chroma}; it must be positive.")
        rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
        sizes = rows.norm(dim=1, keepdim=True)
        sizes[1:] /= chroma
        self.chroma = chroma
        self.register_buffer("matrix", rows / sizes, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.matrix @ x.flatten(2)).view(len(x), *self.codomain(x.shape[1:]))

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, self.domain(y.shape[1:]) if domain is None else domain)
        return (self.matrix.T @ y.flatten(3)[:, 0]).view(len(y), *y.shape[2:])

    def codomain(self, domain: Size) -> Size:
        if len(domain) < 2 or domain[0] != 3:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}; give colours, (3, height, width)."
            )
        return Size((1, *domain))

    def domain(self, codomain: Size) -> Size:
        return codomain[1:]

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        return (None,)

    def norm(self, domain: Size | None = None) -> Tensor:
        return self.matrix.new_tensor(max(1.0, self.chroma))

    def norm_bound(self, domain: Size | None = None) -> float:
        return max(1.0, self.chroma)

    def extra_repr(self) -> str:
        return f"chroma={self.chroma}"
