"""The norm of groups of coefficients, ℓ2,1."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function, Number, ProxGradient, hold, require


class L21(Function):
    """f(x) = w Σ_g ‖x_g‖₂, with groups of coefficients that are small or large together.

    Group g are the coefficients g, g + m/s, g + 2m/s, … for groups of s: K is s operators on top of each other. In pairs, they
    are real and imaginary parts, and f is the ℓ1 norm of complex coefficients, whatever their phases. With p_g = max(1, ‖z_g‖/w),
    prox_{σf*}(z) = z_g / p_g for every σ, and prox_{τf} follows by Moreau's identity (Kowalski, "Sparse regression using mixed
    norms", ACHA 2009, for p = 2, q = 1).

    Parameters
    ----------
    size
        Coefficients a group, s; it must divide their number.
    weight
        w > 0: a number, or a tensor that broadcasts against ``(batch, m/s)``; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If the size is below 1 or does not divide the number of coefficients, or a weight is not positive.
    """

    per_sample: ClassVar[tuple[str, ...] | None] = ("weight",)
    weight: Number

    def __init__(self, size: int = 2, weight: Number = 1.0) -> None:
        super().__init__()
        require(size >= 1, f"L21's groups have {size} coefficients; give at least 1.")
        require(weight > 0, f"L21's weight is {weight}; it must be positive (use Zero() for none).")
        self.size = size
        hold(self, "weight", weight)

    def value(self, x: Tensor) -> Tensor:
        return (self.weight * _norms(self._groups(x))).sum(-1)

    def conjugate(self, y: Tensor) -> Tensor:
        return torch.where((_norms(self._groups(y)) <= self.weight).all(-1), 0.0, torch.inf).to(
            y.dtype
        )

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return z - self._project(z, self.weight * step)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return self._project(z, self.weight)

    def prox_conjugate_(self, z: Tensor, step: Number) -> Tensor:
        groups = self._groups(z)
        groups.div_(_excess(_norms(groups), self.weight))
        return z

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        z, g = self._groups(kept), self._groups(grad)
        norms = _norms(z)
        along = _dot(z, g).div_(norms).mul_(norms >= self.weight)  # ⟨g, z/‖z‖⟩ where z was moved
        found = (
            (along.sum_to_size(self.weight.shape),)
            if parameters and isinstance(self.weight, Tensor)
            else ()
        )
        g.addcmul_(z, along.div(norms).unsqueeze(-2), value=-1)
        g.div_(_excess(norms, self.weight))
        return grad, found

    def _project(self, z: Tensor, bound: Number) -> Tensor:
        groups = self._groups(z)
        return (groups / _excess(_norms(groups), bound)).flatten(-2)

    def _groups(self, x: Tensor) -> Tensor:
        """``(…, m)`` as ``(…, s, m/s)``."""
        if x.shape[-1] % self.size:
            raise ErgodualError(
                f"L21 got {x.shape[-1]} coefficients; groups of {self.size} need a multiple of that."
            )
        return x.view(*x.shape[:-1], self.size, x.shape[-1] // self.size)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """Inner products of groups; a reduction of torch's over so few would take many times as long."""
    first, *others = (a * b for a, b in zip(x.unbind(-2), y.unbind(-2), strict=True))
    return sum(others, first)


def _norms(groups: Tensor) -> Tensor:
    # the derivative of the root at 0 is made 0 instead of infinite
    return _dot(groups, groups).clamp(min=torch.finfo(groups.dtype).tiny).sqrt()


def _excess(norms: Tensor, bound: Number) -> Tensor:
    """max(1, ‖z_g‖/bound), ``(…, 1, m/s)``; its derivative at 1 is that of what lies above."""
    return (norms / bound).clamp(min=1).unsqueeze(-2)
