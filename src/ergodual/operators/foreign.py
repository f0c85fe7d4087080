"""Operators of other libraries: scipy, pylops, deepinv, and plain functions of tensors.

None of them is imported: what is given is taken by the methods that it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.operators.sparse import Sparse
from ergodual.tensors import require, transformed

Map = Callable[[Tensor], Tensor]
MapOf = Callable[[Any, Tensor], Tensor]
"""A map and what it is the map of: a copy of that, where the sweeps made one."""


class Foreign(Operator):
    """A linear map made of functions of batches; see :func:`from_torch` and the others."""

    def __init__(
        self,
        held: Any,
        forward: MapOf,
        adjoint: MapOf | None,
        domain: Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.held, self._forward, self._adjoint = held, forward, adjoint
        self._domain = None if domain is None else Size(domain)
        self.name = name or type(held).__name__

    def forward(self, x: Tensor) -> Tensor:
        y = self._forward(self.held, x)
        if not isinstance(y, Tensor):
            raise ErgodualError(
                f"{self.name} makes a {type(y).__name__} of a tensor; give one that makes a tensor "
                "(a Stack of one for each part, where there are several)."
            )
        return y

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        if self._adjoint is None:
            return super().adjoint(y, domain)
        return self._adjoint(self.held, y)

    def domain(self, codomain: Size) -> Size:
        if self._domain is not None:
            return self._domain
        if self._adjoint is None:
            return super().domain(codomain)
        like = next((t for t in self.tensors() if t.is_floating_point()), torch.zeros(()))
        with torch.no_grad():
            return self._adjoint(self.held, like.new_zeros((1, *codomain))).shape[1:]

    def extra_repr(self) -> str:
        return self.name


def from_torch(
    forward: Map, adjoint: Map | None = None, domain: Sequence[int] | None = None
) -> Operator:
    """A linear function of batches of tensors as an operator.

    Parameters
    ----------
    forward
        ``(batch, *domain)`` to ``(batch, *codomain)``: a function, or an ``nn.Module``, whose
        parameters can then be learned.
    adjoint
        Its adjoint; by automatic differentiation of ``forward`` if None.
    domain
        The shape of a sample, where an :class:`~ergodual.InverseProblem` is to know it.

    Raises
    ------
    ErgodualError
        If one of them is no function.

    Examples
    --------
    >>> K = ed.from_torch(lambda x: x.cumsum(-1), domain=(3,))
    >>> K.T(torch.tensor([[1.0, 0.0, 2.0]]))
    tensor([[3., 2., 2.]])
    """
    for said, given in (("forward", forward), ("adjoint", adjoint)):
        if not (callable(given) or (said == "adjoint" and given is None)):
            raise ErgodualError(
                f"from_torch got a {type(given).__name__} for its {said}; give a function of a "
                "batch of tensors."
            )
    name = getattr(forward, "__name__", None)
    back = None if adjoint is None else lambda held, y: adjoint(y)
    return Foreign(forward, lambda held, x: held(x), back, domain, name)


def from_scipy(
    operator: Any, domain: Sequence[int] | None = None, codomain: Sequence[int] | None = None
) -> Operator:
    """A sparse matrix or a ``LinearOperator`` of scipy's as an operator.

    A matrix becomes a :class:`~ergodual.Sparse`. A linear operator computes on the CPU, in numpy,
    one batch at a time, and is fixed; ``torch.func`` does not get through it.

    Parameters
    ----------
    operator
        What has ``matmat`` and ``rmatmat`` or ``matvec`` and ``rmatvec``, and a ``shape``.
    domain, codomain
        The shapes of samples; flat if None.

    Raises
    ------
    ErgodualError
        If it has none of these, no adjoint, complex numbers, or another shape.

    Examples
    --------
    >>> from scipy.sparse.linalg import aslinearoperator
    >>> import numpy as np
    >>> K = ed.from_scipy(aslinearoperator(np.array([[1.0, 2.0], [3.0, 4.0]])))
    >>> K(torch.tensor([[1.0, 1.0]], dtype=torch.float64)).tolist()
    [[3.0, 7.0]]
    """
    if hasattr(operator, "tocoo"):
        return Sparse(operator, domain, codomain)
    return _of_columns("from_scipy", operator, domain, codomain)


def from_pylops(operator: Any) -> Operator:
    """A ``LinearOperator`` of pylops as an operator, of the shapes that it names.

    It computes on the CPU, in numpy, and is fixed, as with :func:`from_scipy`.

    Parameters
    ----------
    operator
        What has ``matvec``, ``rmatvec``, ``shape``, ``dims`` and ``dimsd``.

    Raises
    ------
    ErgodualError
        If it has none of these, no adjoint, or complex numbers.
    """
    domain, codomain = (getattr(operator, name, None) for name in ("dims", "dimsd"))
    shapes = [None if s is None else tuple(np.atleast_1d(s).tolist()) for s in (domain, codomain)]
    return _of_columns("from_pylops", operator, *shapes)


def from_deepinv(physics: Any, domain: Sequence[int] | None = None) -> Operator:
    """A linear physics of deepinv's as an operator, without its noise.

    Parameters
    ----------
    physics
        What has ``A(x)`` and ``A_adjoint(y)`` of batches ``(batch, channels, …)``; its parameters
        can be learned.
    domain
        The shape of a sample of x; what ``A_adjoint`` makes if None.

    Raises
    ------
    ErgodualError
        If it has no A, or no adjoint, as what is not linear.
    """
    for method in ("A", "A_adjoint"):
        if not callable(getattr(physics, method, None)):
            raise ErgodualError(
                f"from_deepinv got a {type(physics).__name__} without {method}; give a linear "
                "physics, which has A and A_adjoint."
            )
    return Foreign(physics, lambda held, x: held.A(x), lambda held, y: held.A_adjoint(y), domain)


def _of_columns(
    door: str, operator: Any, domain: Sequence[int] | None, codomain: Sequence[int] | None
) -> Operator:
    name = type(operator).__name__
    for attribute in ("shape", "matvec", "rmatvec"):
        require(
            hasattr(operator, attribute),
            f"{door} got a {name} without {attribute}; give a linear operator, which has shape, "
            "matvec and its adjoint rmatvec.",
        )
    m, n = (int(size) for size in operator.shape)
    require(
        not np.issubdtype(getattr(operator, "dtype", None) or np.float64, np.complexfloating),
        f"{door} got a {name} of complex numbers; give one of real ones, with real and imaginary "
        "parts as channels.",
    )
    domain, codomain = (n,) if domain is None else domain, (m,) if codomain is None else codomain
    for said, shape, count in (("domain", domain, n), ("codomain", codomain, m)):
        require(
            math.prod(shape) == count,
            f"{door}'s {said} is {tuple(shape)}, and the {name} is {m} by {n}; give a shape of "
            f"{count} entries.",
        )
    try:
        operator.rmatvec(np.zeros(m, dtype=getattr(operator, "dtype", None) or np.float64))
    except (NotImplementedError, AttributeError, TypeError) as error:
        raise ErgodualError(
            f"{door} got a {name} without an adjoint; give it rmatvec, as "
            "LinearOperator(shape, matvec=..., rmatvec=...)."
        ) from error
    products = _Products(operator, Size(domain), Size(codomain))
    return Foreign(products, _Products.forward, _Products.adjoint, domain, name)


class _Products:
    """The products of a linear operator of numpy's arrays with batches, and their derivatives."""

    def __init__(self, operator: Any, domain: Size, codomain: Size) -> None:
        self.operator, self.domain, self.codomain = operator, domain, codomain

    def forward(self, x: Tensor) -> Tensor:
        return self._applied(x, True, self.domain)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._applied(y, False, self.codomain)

    def _applied(self, x: Tensor, forwards: bool, expected: Size) -> Tensor:
        if x.shape[1:] != expected:
            raise ErgodualError(
                f"A sample has shape {tuple(x.shape[1:])}, and {type(self.operator).__name__} "
                f"takes {tuple(expected)}; give that."
            )
        if transformed():
            raise ErgodualError(
                f"{type(self.operator).__name__} computes in numpy, where torch.func and forward "
                "mode do not get; take torch.autograd."
            )
        return _Product.apply(x, self, forwards)  # type: ignore[no-any-return,no-untyped-call]

    def product(self, x: Tensor, forwards: bool) -> Tensor:
        """Kx or Kᵀx, without a tape."""
        shape = self.codomain if forwards else self.domain
        if not len(x):
            return x.new_zeros((0, *shape))
        columns = x.detach().cpu().flatten(1).numpy().T
        op = self.operator
        if len(x) == 1:
            found = (op.matvec if forwards else op.rmatvec)(columns[:, 0])
        else:
            found = (op.matmat if forwards else op.rmatmat)(columns)
        rows = np.ascontiguousarray(np.reshape(found, (-1, len(x))).T)
        return torch.from_numpy(rows).to(x).reshape(len(x), *shape)


class _Product(torch.autograd.Function):
    """A product whose derivative is the other one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, products: _Products, forwards: bool) -> Tensor:
        ctx.products, ctx.forwards = products, forwards
        return products.product(x, forwards)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(grad, ctx.products, not ctx.forwards), None, None  # type: ignore[no-untyped-call]
