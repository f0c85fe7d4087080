"""The nuclear norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function
from ergodual.tensors import (
    Number,
    column,
    everywhere,
    hold,
    real,
    require,
    require_weight,
    room,
    share_within,
    shown,
)


class Nuclear(Function):
    """f(X) = w Σ σ_i(X), the singular values of each matrix of a sample, instead of its rank.

    prox_{σf*} cuts the singular values off at w, whatever σ, and prox_{τf} lowers them by τw, by
    Moreau's identity (Cai, Candès, Shen, "A singular value thresholding algorithm for matrix
    completion", 2010); f* is the indicator of σ_1(Y) ≤ w. The derivative is that of a function of
    singular values (Lewis, Sendov, "Nonsmooth analysis of singular values", 2005), also where some
    of them are equal or 0.

    Parameters
    ----------
    weight
        w ≥ 0: a number, a tensor of one, or one with as many axes as the batch and a row for each
        sample, ``(batch, 1, …)``; an nn.Parameter is learned.
    shape
        Rows and columns, if a sample is one matrix whose entries are not along its last two axes,
        as in a stack, where it is flat; those of the last two axes if None.

    Raises
    ------
    ErgodualError
        If a weight is negative or infinite, or, when it is used, samples are no matrices.

    Examples
    --------
    >>> matrix = torch.diag(torch.tensor([3.0, 0.5])).unsqueeze(0)
    >>> ed.Nuclear(1.0).prox(matrix, 1.0).round(decimals=4).abs()
    tensor([[[2., 0.],
             [0., 0.]]])
    """

    per_sample: ClassVar[tuple[str, ...] | None] = ("weight",)
    nonnegative: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Number

    def __init__(self, weight: Number = 1.0, shape: Sequence[int] | None = None) -> None:
        super().__init__()
        require(
            shape is None or len(shape) == 2,
            f"Nuclear's shape is {shape}; give rows and columns, or leave it out.",
        )
        self.shape = None if shape is None else tuple(shape)
        hold(self, "weight", real("Nuclear's weight", weight))
        self.require_valid()

    def require_valid(self) -> None:
        require_weight("Nuclear's weight", self.weight)

    def value(self, x: Tensor) -> Tensor:
        values = _values(self._matrices(x)).flatten(1).sum(1)
        return (self.weight * column(values, x)).flatten()

    def conjugate(self, y: Tensor) -> Tensor:
        # a projection is outside by a rounding; not less than that counts
        slack = 1 + 4 * room(y[0:1].numel(), y.dtype)
        inside = everywhere(self._largest(y) <= slack * self.weight)
        return torch.where(inside, 0.0, torch.inf).to(y.dtype)

    def share_in_domain(self, y: Tensor) -> Tensor:
        return share_within(self._largest(y), self.weight)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return z - self._cut(z, step * self.weight)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return self._cut(z, self.weight)

    def parameter_shape(self, sample: Size) -> Size:
        return Size([1] * len(sample))

    def extra_repr(self) -> str:
        return f"weight={shown(self.weight)}"

    def _cut(self, z: Tensor, bound: Number) -> Tensor:
        matrices = self._matrices(z)
        bound = torch.as_tensor(bound, dtype=z.dtype, device=z.device)
        bound = bound.reshape(-1, *[1] * (matrices.ndim - 2))
        bound = bound.expand(len(z), *matrices.shape[1:-2], 1)
        return _Cut.apply(matrices, bound).reshape(z.shape)  # type: ignore[no-any-return,no-untyped-call]

    def _largest(self, y: Tensor) -> Tensor:
        """σ_1 of all matrices of a sample, ``(batch, 1, …)``."""
        return column(_values(self._matrices(y)).flatten(1).amax(1), y)

    def _matrices(self, x: Tensor) -> Tensor:
        if self.shape is not None and math.prod(x.shape[1:]) == math.prod(self.shape):
            return x.reshape(len(x), *self.shape)
        if self.shape is not None or x.ndim < 3:
            raise ErgodualError(
                f"Nuclear got samples of shape {tuple(x.shape[1:])}, and takes matrices"
                f"{'' if self.shape is None else f' of {self.shape}'}; give shape=(rows, columns) "
                "that fits."
            )
        return x


def _finite(Z: Tensor) -> tuple[Tensor, Tensor]:
    """Which matrices are, ``(…, 1)``; and Z with zeros for the others, of which torch raises what
    is no sentence.
    """
    finite = Z.isfinite().all(-1).all(-1, keepdim=True)
    return finite, torch.where(finite.unsqueeze(-1), Z, 0.0)


def _values(Z: Tensor) -> Tensor:
    """The singular values; no numbers where the matrix has some that are not finite."""
    finite, Z = _finite(Z)
    return torch.where(finite, torch.linalg.svdvals(Z), torch.nan)


def _decomposed(Z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, the same values, and Vᵀ."""
    finite, Z = _finite(Z)
    U, s, Vh = torch.linalg.svd(Z, full_matrices=False)
    return U, torch.where(finite, s, torch.nan), Vh


class _Cut(torch.autograd.Function):
    """Z ↦ U diag(min(s, bound)) Vᵀ, of which torch's own derivative fails where values repeat."""

    generate_vmap_rule = True

    @staticmethod
    def forward(Z: Tensor, bound: Tensor) -> Tensor:
        U, s, Vh = _decomposed(Z)
        # what is inside stays as it is, to the last bit
        over = (U * (s - bound).clamp(min=0).unsqueeze(-2)) @ Vh
        # and of a bound of 0 nothing is left, not even rounding
        return torch.where(bound.unsqueeze(-1) > 0, Z - over, 0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], _output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        Z, bound = ctx.saved_tensors
        in_Z, beyond = _derivative(Z, bound, grad)
        return in_Z, (grad * beyond).sum((-2, -1)).unsqueeze(-1)

    @staticmethod
    def jvp(ctx: Any, along: Tensor | None, wider: Tensor | None) -> Tensor:
        Z, bound = ctx.saved_tensors
        in_Z, beyond = _derivative(Z, bound, torch.zeros_like(Z) if along is None else along)
        found: Tensor = in_Z if wider is None else in_Z + wider.unsqueeze(-1) * beyond
        return found


def _derivative(Z: Tensor, bound: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """Of :class:`_Cut` along H, which is a symmetric map; and along the bound."""
    U, s, Vh = _decomposed(Z)
    inside = s < bound
    tiny = torch.finfo(s.dtype).tiny
    cut = torch.where(inside, s, bound)
    share = torch.where(inside, 1.0, bound / s.clamp(min=tiny))
    si, sj, ci, cj = s.unsqueeze(-1), s.unsqueeze(-2), cut.unsqueeze(-1), cut.unsqueeze(-2)
    both, none = (
        inside.unsqueeze(-1) & inside.unsqueeze(-2),
        inside.unsqueeze(-1) | inside.unsqueeze(-2),
    )
    mixed = none & ~both
    symmetric = torch.where(mixed, (ci - cj) / torch.where(mixed, si - sj, 1.0), both.to(s))
    skew = torch.where(both, 1.0, (ci + cj) / (si + sj).clamp(min=tiny))
    Ut, V = U.transpose(-1, -2), Vh.transpose(-1, -2)
    M = Ut @ H @ V
    Mt = M.transpose(-1, -2)
    core = 0.5 * (symmetric * (M + Mt) + skew * (M - Mt))
    HV, UtH = H @ V, Ut @ H
    left = (HV - U @ M) * share.unsqueeze(-2)
    right = (UtH - M @ Vh) * share.unsqueeze(-1)
    return U @ core @ Vh + left @ Vh + U @ right, (U * (~inside).to(s).unsqueeze(-2)) @ Vh
