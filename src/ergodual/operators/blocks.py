"""A matrix of operators, for problems of several unknowns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Size, Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.operators.base import Layout, Operator
from ergodual.tensors import require


class Blocks(Operator):
    """(Kx)_i = Σ_j K_ij x_j, of unknowns x = (x_1, …, x_q).

    A sample of x is flat, the unknowns one after the other, and so is that of Kx, as a
    :class:`~ergodual.Stack` gives it: :class:`~ergodual.SeparableSum` is the function of the parts
    of either. ``Blocks([[Gradient(), -1 * Identity()], [None, SymmetricGradient()]], domains)`` is
    the K of total generalised variation. ‖K‖ is at most the norm of the matrix of the ‖K_ij‖.

    Parameters
    ----------
    rows
        Operators; None for 0.
    domains
        The shapes of samples of the x_j.

    Raises
    ------
    ErgodualError
        If a row is not as long as the domains or has nothing but None, or the operators of one row
        give different shapes.

    Examples
    --------
    Gradient and identity of an image u and a vector field w, ∇u − w:

    >>> K = ed.Blocks([[ed.Gradient(), -1 * ed.Identity()]], domains=[(4, 4), (2, 4, 4)])
    >>> u, w = K.unknowns(torch.zeros(1, 48))
    >>> u.shape, w.shape
    (torch.Size([1, 4, 4]), torch.Size([1, 2, 4, 4]))
    """

    def __init__(
        self, rows: Sequence[Sequence[Operator | None]], domains: Sequence[Sequence[int]]
    ) -> None:
        super().__init__()
        self.domains = [Size(d) for d in domains]
        self._domain: Size = _flat(self.domains)
        require(len(rows) > 0, "Blocks got no row; give at least one.")
        for row in rows:
            given = [type(K).__name__ for K in row]
            require(
                len(row) == len(self.domains)
                and any(K is not None for K in row)
                and all(K is None or isinstance(K, Operator) for K in row),
                f"A row of Blocks is {given}; give an operator or None for each of the "
                f"{len(self.domains)} domains, and one operator at least.",
            )
        self.rows = nn.ModuleList(
            nn.ModuleDict({str(j): K for j, K in enumerate(row) if K is not None}) for row in rows
        )
        self._shapes = [self._shape_of(row) for row in self._table()]

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        parts = _split(x, self.domains)
        found = []
        for row in self._table():
            seen = [K(parts[j]) for j, K in row]
            found.append(sum(seen[1:], seen[0]).flatten(1))
        return torch.cat(found, 1)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, self.domain(y.shape[1:]) if domain is None else domain)
        found: list[Tensor | None] = [None] * len(self.domains)
        for row, part in zip(self._table(), _split(y, self._shapes), strict=True):
            for j, K in row:
                back, old = K.adjoint(part, self.domains[j]), found[j]
                found[j] = back if old is None else old + back
        pieces = zip(found, self.domains, strict=True)
        return torch.cat(
            [
                y.new_zeros((len(y), math.prod(d))) if back is None else back.flatten(1)
                for back, d in pieces
            ],
            1,
        )

    def codomain(self, domain: Size) -> Size:
        if domain != self._domain:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, and Blocks takes unknowns of shapes "
                f"{[tuple(d) for d in self.domains]} flat, one after the other."
            )
        return _flat(self._shapes)

    def domain(self, codomain: Size) -> Size:
        return self._domain

    def layout(self, domain: Size) -> Layout:
        return list(self._shapes)

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(t for row in self._table() for _, K in row for t in K.tensors())

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        parts = _split(primal, self.domains)
        pairs = zip(self._table(), _split(dual, self._shapes), strict=True)
        return tuple(g for row, part in pairs for j, K in row for g in K.gradients(part, parts[j]))

    def norm_bound(self, domain: Size | None = None) -> float:
        bounds = torch.zeros(len(self.rows), len(self.domains), dtype=torch.float64)
        for i, row in enumerate(self._table()):
            for j, K in row:
                bounds[i, j] = K.norm_bound(self.domains[j])
        return float(torch.linalg.matrix_norm(bounds, 2)) * (1 + 1e-12)

    def unknowns(self, x: Tensor) -> list[Tensor]:
        """The x_j of a batch, as views."""
        return _split(x, self.domains)

    def _table(self) -> list[list[tuple[int, Operator]]]:
        """The operators of each row, with their columns."""
        return [[(int(j), K) for j, K in row.items()] for row in self.rows]  # type: ignore[operator]

    def _shape_of(self, row: list[tuple[int, Operator]]) -> Size:
        shapes = [K.codomain(self.domains[j]) for j, K in row]
        require(
            len(set(shapes)) == 1,
            f"The operators of one row of Blocks give {[tuple(s) for s in shapes]}; what is added "
            "needs one shape.",
        )
        return shapes[0]


def _flat(shapes: Sequence[Size]) -> Size:
    return Size((sum(map(math.prod, shapes)),))


def _split(x: Tensor, shapes: Sequence[Size]) -> list[Tensor]:
    """Views of a flat batch as parts of these shapes."""
    ends = pairwise(accumulate(map(math.prod, shapes), initial=0))
    return [torch.unflatten(x[:, a:b], 1, s) for (a, b), s in zip(ends, shapes, strict=True)]
