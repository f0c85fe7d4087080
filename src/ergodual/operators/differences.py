"""Differences of neighbours that need not be the next ones, and the symmetric derivative of TGV."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.operators.elementary import Gradient
from ergodual.tensors import require


class Differences(Operator):
    """(Kx)_o[i] = x[i + o] − x[i] for each offset o, 0 where i + o is outside of the signal.

    From ``(batch, *s)`` to ``(batch, offsets, *s)``, on the last axes of a sample, as many as an
    offset has. Offsets ``[(0, 1), (1, 0), (1, 1), (1, -1)]`` are the eight neighbours of a pixel.
    ‖K‖ ≤ 2 √offsets (Gilboa, Osher, "Nonlocal operators with applications to image processing",
    2008).

    Parameters
    ----------
    offsets
        A whole number for each axis, at least one offset, none of zeros alone; or one number for
        one axis.

    Raises
    ------
    ErgodualError
        If there is no offset or they do not fit each other, or, when a signal comes, one is as long
        as the signal.

    Examples
    --------
    >>> ed.Differences([1, 2])(torch.tensor([[1.0, 2.0, 4.0]]))
    tensor([[[1., 2., 0.],
             [3., 0., 0.]]])
    """

    def __init__(self, offsets: Sequence[int | Sequence[int]]) -> None:
        super().__init__()
        found = [(o,) if isinstance(o, int) else tuple(int(n) for n in o) for o in offsets]
        require(
            len({len(o) for o in found}) == 1 and all(map(any, found)),
            f"Differences got the offsets {found}; give at least one, all with as many whole "
            "numbers, not all of them 0.",
        )
        self.offsets = found

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        y = []
        for offset in self.offsets:
            here, there = self._pair(x, offset)
            y.append(_padded(there - here, offset))
        return torch.stack(y, 1)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, y.shape[2:] if domain is None else domain)
        found = torch.zeros_like(y[:, 0])
        for i, offset in enumerate(self.offsets):
            part, _ = self._pair(y[:, i], offset)
            found = found + _padded(part, [-o for o in offset]) - _padded(part, offset)
        return found

    def codomain(self, domain: Size) -> Size:
        count = len(self.offsets[0])
        sizes = domain[len(domain) - count :]
        if len(domain) < count or any(
            abs(o) >= n for offset in self.offsets for o, n in zip(offset, sizes, strict=True)
        ):
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, and Differences the offsets {self.offsets}; "
                "give signals that are longer than each."
            )
        return Size((len(self.offsets), *domain))

    def domain(self, codomain: Size) -> Size:
        return codomain[1:]

    def norm_bound(self, domain: Size | None = None) -> float:
        return 2 * math.sqrt(len(self.offsets))

    def extra_repr(self) -> str:
        return f"offsets={self.offsets}"

    @staticmethod
    def _pair(x: Tensor, offset: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Views of x at i and at i + o, for the i that have both."""
        here, there = x, x
        for axis, o in zip(range(-len(offset), 0), offset, strict=True):
            left = x.shape[axis] - abs(o)
            here = here.narrow(axis, max(0, -o), left)
            there = there.narrow(axis, max(0, o), left)
        return here, there


def _padded(y: Tensor, offset: Sequence[int]) -> Tensor:
    """What is known where both i and i + o are, with zeros around, at the i."""
    ends = [n for o in reversed(offset) for n in (max(0, -o), max(0, o))]
    return torch.nn.functional.pad(y, ends)


class SymmetricGradient(Operator):
    """The symmetrised derivative of a vector field w, ½ (∇w + ∇wᵀ): the E of total generalised
    variation.

    From ``(batch, d, *s)``, one component for each of the d axes of s, to
    ``(batch, d (d + 1)/2, *s)``: ∂_i w_i, then (∂_i w_j + ∂_j w_i)/√2 for i < j, so that
    ``L21(weight, dim=1)`` is the Frobenius norm of each matrix. ‖K‖ ≤ 2 √d (Bredies, Kunisch, Pock,
    "Total generalized variation", 2010).

    Examples
    --------
    >>> ed.SymmetricGradient()(torch.zeros(1, 2, 4, 4)).shape
    torch.Size([1, 3, 4, 4])
    """

    def forward(self, x: Tensor) -> Tensor:
        d = self._axes(x.shape[1:])
        slopes = Gradient(tuple(range(2, d + 2)))(x)  # (batch, axis, component, *s)
        found = [slopes[:, i, i] for i in range(d)]
        found += [(slopes[:, i, j] + slopes[:, j, i]) * 0.5**0.5 for i, j in _pairs(d)]
        return torch.stack(found, 1)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        domain = self.domain(y.shape[1:]) if domain is None else domain
        self._require_dual(y, domain)
        d = self._axes(domain)
        slopes = y.new_zeros((len(y), d, *domain))
        for i in range(d):
            slopes[:, i, i] = y[:, i]
        for n, (i, j) in enumerate(_pairs(d), start=d):
            slopes[:, i, j] = slopes[:, j, i] = y[:, n] * 0.5**0.5
        return Gradient(tuple(range(2, d + 2))).adjoint(slopes)

    def codomain(self, domain: Size) -> Size:
        d = self._axes(domain)
        return Size((d * (d + 1) // 2, *domain[1:]))

    def domain(self, codomain: Size) -> Size:
        return Size((len(codomain) - 1, *codomain[1:]))

    def norm_bound(self, domain: Size | None = None) -> float:
        return 2 * math.sqrt(self._axes(self._domain_for_norm(domain)))

    def _axes(self, domain: Size) -> int:
        d = len(domain) - 1
        if d < 1 or domain[0] != d:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, and SymmetricGradient takes (d, *s) with a "
                "component for each of the d axes of s, as Gradient gives them."
            )
        return d


def _pairs(d: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(d) for j in range(i + 1, d)]
