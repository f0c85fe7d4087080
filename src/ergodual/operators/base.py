"""What a linear map must offer: forward, adjoint, norm, and the gradient in its parameters."""

from __future__ import annotations

from torch import Tensor, nn


class Operator(nn.Module):
    """A linear map K from ``(batch, n)`` to ``(batch, m)``.

    A subclass gives :meth:`forward`, :meth:`adjoint`, :meth:`norm`, :meth:`tensors` and :meth:`gradients`; the two fused
    forms below have defaults, and a subclass that can write in place overrides them.
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

    def forward_onto(self, base: Tensor, x: Tensor, scale: float, out: Tensor, keep: float = 1.0) -> Tensor:
        """Keep · base + scale · Kx, written to ``out`` (which may be ``base``, not x)."""
        return out.copy_(base.mul(keep).add_(self.forward(x), alpha=scale))

    def adjoint_onto(self, base: Tensor, y: Tensor, scale: float, out: Tensor, keep: float = 1.0) -> Tensor:
        """Keep · base + scale · Kᵀy, written to ``out`` (which may be ``base``, not y)."""
        return out.copy_(base.mul(keep).add_(self.adjoint(y), alpha=scale))

    def forward(self, x: Tensor) -> Tensor:
        """Kx, ``(batch, n)`` to ``(batch, m)``."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        """See :meth:`forward`."""
        return super().__call__(x)  # type: ignore[no-any-return]
