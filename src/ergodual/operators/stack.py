"""Operators on top of each other."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import torch
from torch import Size, Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.operators.base import Layout, Operator


class Stack(Operator):
    """K = (K_1; …; K_p), all of one domain; Kᵀy = Σ K_iᵀ y_i.

    A sample of the codomain is flat: the parts' samples, flattened, one after the other, so that
    elementwise steps are single passes. :class:`~ergodual.SeparableSum` sees the parts.
    ‖K‖ ≤ √Σ ‖K_i‖².

    Parameters
    ----------
    parts
        The operators K_i, at least one.

    Raises
    ------
    ErgodualError
        If there is no part, or, when an input comes, a part does not take it.

    Examples
    --------
    >>> K = ed.Stack(ed.Identity(), ed.Gradient())
    >>> K(torch.tensor([[1.0, 2.0, 4.0]]))
    tensor([[1., 2., 4., 1., 2., 0.]])
    """

    def __init__(self, *parts: Operator) -> None:
        super().__init__()
        for part in parts:
            if not isinstance(part, Operator):
                raise ErgodualError(
                    f"Stack got a {type(part).__name__}; give operators, as in Stack(K1, K2)."
                )
        if not parts:
            raise ErgodualError("Stack got no operator; give at least one.")
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x).flatten(1) for part in self.operators()], 1)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        domain = self.domain(y.shape[1:]) if domain is None else domain
        self._require_dual(y, domain)
        found = [part.adjoint(part_y, domain) for part, part_y in self._split(y, domain)]
        return found[0] if len(found) == 1 else torch.stack(found).sum(0)

    def codomain(self, domain: Size) -> Size:
        return Size((sum(self._sizes(domain)),))

    def layout(self, domain: Size) -> Layout:
        return [part.layout(domain) for part in self.operators()]

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(t for part in self.operators() for t in part.tensors())

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        split = self._split(dual, primal.shape[1:])
        return tuple(t for part, part_dual in split for t in part.gradients(part_dual, primal))

    def same_as(self, other: Operator) -> bool:
        if not isinstance(other, Stack) or len(self.parts) != len(other.parts):
            return False
        pairs = zip(self.operators(), other.operators(), strict=True)
        return all(one.same_as(two) for one, two in pairs)

    def norm_bound(self, domain: Size | None = None) -> float:
        return math.sqrt(sum(part.norm_bound(domain) ** 2 for part in self.operators()))

    def forward_onto(
        self,
        base: Tensor,
        x: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        if isinstance(scale, Tensor) or isinstance(keep, Tensor):
            return super().forward_onto(base, x, scale, out, keep)
        domain = x.shape[1:]
        bases, outs = self._split(base, domain), self._split(out, domain)
        for (part, part_base), (_, part_out) in zip(bases, outs, strict=True):
            part.forward_onto(part_base, x, scale, part_out, keep)
        return out

    def adjoint_onto(
        self,
        base: Tensor,
        y: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        for part, part_y in self._split(y, out.shape[1:]):
            part.adjoint_onto(base, part_y, scale, out, keep)
            base, keep = out, 1.0
        return out

    def operators(self) -> list[Operator]:
        """The parts."""
        return list(self.parts)  # type: ignore[arg-type]

    def _sizes(self, domain: Size) -> list[int]:
        return [math.prod(part.codomain(domain)) for part in self.operators()]

    def _split(self, y: Tensor, domain: Size) -> list[tuple[Operator, Tensor]]:
        """Views of a flat batch as the parts' samples."""
        split = []
        ends = accumulate(self._sizes(domain), initial=0)
        for part, (start, stop) in zip(self.operators(), pairwise(ends), strict=True):
            split.append((part, torch.unflatten(y[:, start:stop], 1, part.codomain(domain))))
        return split
