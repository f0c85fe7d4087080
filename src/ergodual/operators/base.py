"""What a linear map must offer: forward, adjoint, norm, and the gradient in its parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Operator(nn.Module):
    """A linear map K from ``(batch, n)`` to ``(batch, m)``.

    A subclass gives :meth:`forward`, :meth:`adjoint`, :meth:`norm`, :meth:`tensors` and :meth:`gradients`; the fused forms
    (``..._onto``) have defaults, and a subclass that can write in place overrides them.
    """

    n: int
    m: int

    def adjoint(self, y: Tensor) -> Tensor:
        """Kᵀ y, ``(batch, m)`` to ``(batch, n)``."""
        raise NotImplementedError

    def norm(self) -> Tensor:
        """The spectral norm ‖K‖, exact, differentiable in the parameters."""
        raise NotImplementedError

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that the map depends on, in the order of :meth:`gradients`."""
        return tuple(self.parameters())

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor, ...]:
        """The gradient of Σ ⟨dual, K primal⟩ over the batch in each of :meth:`tensors`."""
        raise NotImplementedError

    def forward_onto(
        self, base: Tensor, x: Tensor, scale: float, out: Tensor, keep: float = 1.0
    ) -> Tensor:
        """Keep · base + scale · Kx, written to ``out`` (which may be ``base``, not x)."""
        return out.copy_(base.mul(keep).add_(self.forward(x), alpha=scale))

    def adjoint_onto(
        self, base: Tensor, y: Tensor, scale: float, out: Tensor, keep: float = 1.0
    ) -> Tensor:
        """Keep · base + scale · Kᵀy, written to ``out`` (which may be ``base``, not y)."""
        return out.copy_(base.mul(keep).add_(self.adjoint(y), alpha=scale))

    def gradients_onto(
        self,
        totals: tuple[Tensor, ...],
        dual: Tensor,
        primal: Tensor,
        scale: float,
        keep: float = 1.0,
    ) -> None:
        """Keep · totals + scale · :meth:`gradients`, written to ``totals``, which are not read where ``keep`` is 0."""
        for total, gradient in zip(totals, self.gradients(dual, primal), strict=True):
            torch.add(total.mul_(keep) if keep else total.zero_(), gradient, alpha=scale, out=total)

    def forward(self, x: Tensor) -> Tensor:
        """Kx, ``(batch, n)`` to ``(batch, m)``."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        """See :meth:`forward`."""
        return super().__call__(x)  # type: ignore[no-any-return]
