"""Sparse matrices."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.tensors import hold, require, traced


class Sparse(Operator):
    """Kx = Ax with a sparse matrix A, whose transpose is stored beside it.

    Parameters
    ----------
    matrix
        A: a sparse tensor of torch's, or a sparse matrix or array of scipy's, of any layout and of
        floating-point entries. It is copied; give ``values`` to learn its entries.
    domain, codomain
        The shapes of samples; flat if None.
    values
        Instead of the entries of the matrix: as many, in the order of its rows and then columns; an
        nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If the matrix is no such thing, or the shapes or the number of values do not fit it.

    Examples
    --------
    >>> A = torch.tensor([[0.0, 0.0, 5.0], [1.0, 0.0, 0.0]]).to_sparse()
    >>> ed.Sparse(A)(torch.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[15.0, 1.0]]
    """

    _domain: Size
    values: Tensor
    _rows: Tensor
    _columns: Tensor
    _row_ends: Tensor
    _order: Tensor
    _column_rows: Tensor
    _column_ends: Tensor

    def __init__(
        self,
        matrix: Any,
        domain: Sequence[int] | None = None,
        codomain: Sequence[int] | None = None,
        values: Tensor | None = None,
    ) -> None:
        super().__init__()
        (rows, columns), entries, (m, n) = _parts(matrix)
        self._domain = Size((n,) if domain is None else domain)
        self._codomain = Size((m,) if codomain is None else codomain)
        for name, shape, count in (("domain", self._domain, n), ("codomain", self._codomain, m)):
            require(
                math.prod(shape) == count,
                f"Sparse's {name} is {tuple(shape)}, of {math.prod(shape)} entries, and the matrix "
                f"is {m} by {n}; give a shape of {count} entries.",
            )
        require(
            values is None or (values.is_floating_point() and values.shape == entries.shape),
            f"Sparse's values are {tuple(values.shape) if values is not None else None}, and the "
            f"matrix has {len(entries)} entries; give a floating-point tensor with one for each.",
        )
        hold(self, "values", entries if values is None else values)
        # by rows for K, and by columns for its adjoint
        order = torch.argsort(columns, stable=True)
        for name, index in (
            ("_rows", rows),
            ("_columns", columns),
            ("_row_ends", _ends(rows, m)),
            ("_order", order),
            ("_column_rows", rows[order]),
            ("_column_ends", _ends(columns[order], n)),
        ):
            self.register_buffer(name, index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        flat = x.flatten(1)
        if self._taped(x):
            found = _gathered(flat, self._rows, self._columns, self.values, self._codomain)
        else:
            found = _product(self._row_ends, self._columns, self.values, flat)
        return torch.unflatten(found, 1, self._codomain)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, self._domain if domain is None else domain)
        flat = y.flatten(1)
        if self._taped(y):
            found = _gathered(flat, self._columns, self._rows, self.values, self._domain)
        else:
            entries = self.values[self._order]
            found = _product(self._column_ends, self._column_rows, entries, flat)
        return torch.unflatten(found, 1, self._domain)

    def codomain(self, domain: Size) -> Size:
        if domain != self._domain:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}; this {type(self).__name__} takes "
                f"{tuple(self._domain)}."
            )
        return self._codomain

    def domain(self, codomain: Size) -> Size:
        return self._domain

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.values,)

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        if not self.values.requires_grad:
            return (None,)
        left, right = dual.flatten(1)[:, self._rows], primal.flatten(1)[:, self._columns]
        return ((left * right).sum(0),)

    def sums(self, entries: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the rows, ``(*codomain)``, and of the columns, ``(*domain)``, of a matrix with
        other entries in the places of this one's.
        """
        places = ((self._rows, self._codomain), (self._columns, self._domain))
        rows, columns = (
            entries.new_zeros(math.prod(shape)).index_add_(0, index, entries).view(shape)
            for index, shape in places
        )
        return rows, columns

    def extra_repr(self) -> str:
        return f"{tuple(self._domain)} to {tuple(self._codomain)}, {len(self.values)} entries"

    def _taped(self, x: Tensor) -> bool:
        wanted = torch.is_grad_enabled() and (x.requires_grad or self.values.requires_grad)
        # nor do graphs for export and tensors without numbers take compressed matrices
        return wanted or traced() or x.is_meta


def _parts(matrix: Any) -> tuple[tuple[Tensor, Tensor], Tensor, tuple[int, int]]:
    """Rows and columns of the entries, in the order of rows; the entries; and the shape."""
    if isinstance(matrix, Tensor) and matrix.layout != torch.strided and matrix.ndim == 2:
        coo: Any = matrix.detach().to_sparse_coo().coalesce()
        (rows, columns), entries = coo.indices(), coo.values()
    elif hasattr(matrix, "tocoo") and hasattr(matrix, "tocsr"):
        csr = matrix.tocsr().copy()
        csr.sum_duplicates()
        coo = csr.tocoo()
        rows, columns, entries = (
            torch.from_numpy(np.array(t)) for t in (coo.row, coo.col, coo.data)
        )
    else:
        raise ErgodualError(
            f"Sparse got a {type(matrix).__name__}; give a sparse matrix, as of "
            "scipy.sparse.csr_array or tensor.to_sparse(), or Dense(matrix)."
        )
    require(
        entries.is_floating_point(),
        f"Sparse got a matrix of {entries.dtype}; convert it to floating-point numbers.",
    )
    m, n = matrix.shape
    return (rows.long(), columns.long()), entries.clone(), (int(m), int(n))


def _ends(index: Tensor, count: int) -> Tensor:
    """Where the entries of each row begin, and the last end, as a compressed matrix has it."""
    sizes = torch.bincount(index, minlength=count)
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def _product(ends: Tensor, index: Tensor, entries: Tensor, x: Tensor) -> Tensor:
    """A compressed matrix times each row of x."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, that the layout is in beta
        shape = (len(ends) - 1, x.shape[1])
        matrix = torch.sparse_csr_tensor(ends, index, entries, shape, check_invariants=False)
        return torch.mv(matrix, x[0])[None] if len(x) == 1 else (matrix @ x.T).T.contiguous()


def _gathered(x: Tensor, into: Tensor, of: Tensor, entries: Tensor, size: Size) -> Tensor:
    """The same of one product for each entry, which every tape and transform takes."""
    zeros = x.new_zeros((len(x), math.prod(size)))
    return zeros.index_add(1, into, x[:, of] * entries)
