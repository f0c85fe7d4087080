"""The lower-level problem (1) and its energies."""

from __future__ import annotations

from torch import Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.functions import Function
from ergodual.operators import Operator


class Problem(nn.Module):
    """min_r F(K(x̃ + r)) + G(r), with x = x̃ + r: equation (1) of Brauer, Lorenz 2019.

    Parameters
    ----------
    F
        The regulariser's function of the m analysis coefficients, for instance ``L1()``.
    G
        The data term's function of r = x − x̃, for instance ``Box(radius)``.
    K
        The analysis operator, n to m.

    Raises
    ------
    ErgodualError
        If K has no tensors, which tell its type and device.
    """

    def __init__(self, F: Function, G: Function, K: Operator) -> None:
        super().__init__()
        if not K.tensors():
            raise ErgodualError(
                f"{type(K).__name__}.tensors() is empty, but tells the type and the device; let it give a buffer at least."
            )
        self.F, self.G, self.K = F, G, K

    def with_data_term(self, G: Function) -> Problem:
        """The same F and K with another G."""
        return Problem(self.F, G, self.K)

    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that the problem depends on: those of K, then of F, then of G."""
        return self.K.tensors() + self.F.tensors() + self.G.tensors()

    def primal(self, r: Tensor, x_tilde: Tensor) -> Tensor:
        """F(K(x̃ + r)) + G(r) for each sample."""
        return self.F.value(self.K(x_tilde + r)) + self.G.value(r)

    def dual(self, y: Tensor, x_tilde: Tensor) -> Tensor:
        """⟨x̃, Kᵀy⟩ − F*(y) − G*(−Kᵀy) for each sample."""
        KTy = self.K.adjoint(y)
        return (x_tilde * KTy).sum(-1) - self.F.conjugate(y) - self.G.conjugate(-KTy)

    def gap(self, r: Tensor, y: Tensor, x_tilde: Tensor) -> Tensor:
        """Primal minus dual energy, at least 0, and 0 exactly at a solution; infinite where either is infeasible."""
        return self.primal(r, x_tilde) - self.dual(y, x_tilde)

    def check(self, x_tilde: Tensor) -> None:
        """Raise :class:`ErgodualError` unless x̃ is a ``(batch, n)`` tensor of the operator's n, type and device."""
        if x_tilde.ndim != 2 or x_tilde.shape[1] != self.K.n:
            raise ErgodualError(
                f"The input has shape {tuple(x_tilde.shape)}; this model takes (batch, {self.K.n}): "
                f"cut the signal into frames of {self.K.n}."
            )
        like = self.K.tensors()[0]
        if x_tilde.dtype != like.dtype or x_tilde.device != like.device:
            raise ErgodualError(
                f"The input is {x_tilde.dtype} on {x_tilde.device} and the operator {like.dtype} on {like.device}; "
                "convert one of them with .to()."
            )
