"""What a linear map offers, all but ``forward`` by default, and what K.T, A @ B and c * K are."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Size, Tensor, nn

from ergodual.errors import ErgodualError, NotGivenError
from ergodual.operators.norms import lanczos_bound, not_finite, singular_pair, zero_sample
from ergodual.tensors import Number, described, held_in_order, hold, shown, transformed

Layout = Size | list["Layout"]
"""The shape of a sample, or, where it is made of parts, theirs."""


class Operator(nn.Module):
    """A linear map K from ``(batch, *domain)`` to ``(batch, *codomain)``.

    :meth:`forward` is the only duty. Adjoint, codomain and parameter gradients follow from it by
    automatic differentiation, the norm by power iteration; whatever a subclass gives by hand is
    used instead.

    Attributes
    ----------
    joins_products
        Whether the samples of a batch are the rows of one matrix product, so that several batches
        are cheaper together. The sweeps then join the outer products of several iterations.

    Examples
    --------
    >>> class Doubled(ed.Operator):
    ...     def forward(self, x):
    ...         return 2 * x
    ...
    ...     def domain(self, codomain):  # so that the adjoint knows the shape of x
    ...         return codomain
    >>> ed.check_operator(Doubled(), like=torch.randn(2, 5, dtype=torch.float64))
    >>> Doubled().T(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 4., 6.]])
    """

    joins_products: ClassVar[bool] = False
    _domain: Size | None = None  # of those that take one shape only, and know it

    def forward(self, x: Tensor) -> Tensor:
        """Kx, ``(batch, *domain)`` to ``(batch, *codomain)``."""
        raise NotGivenError(f"{type(self).__name__} gives no forward(x), its only duty; define it.")

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        """Kᵀy, ``(batch, *codomain)`` to ``(batch, *domain)``.

        Parameters
        ----------
        y
            A dual variable.
        domain
            The shape of a sample of the result; :meth:`domain` of y's if None.
        """
        domain = self.domain(y.shape[1:]) if domain is None else domain
        if transformed():
            back = torch.func.vjp(self.forward, y.new_zeros((len(y), *domain)))[1]
            found: Tensor = back(y)[0]
            return found
        with torch.enable_grad():
            at = y.new_zeros((len(y), *domain)).requires_grad_()
            seen = self.forward(at)
        if not seen.requires_grad:
            raise ErgodualError(
                f"{type(self).__name__} has no adjoint of its own, and its forward cannot be "
                "differentiated here; give it an adjoint, compute in torch without detach(), and "
                "take torch.no_grad() for inference_mode()."
            )
        # Kᵀ is linear in y and depends on the parameters: both may be differentiated again
        again = torch.is_grad_enabled()
        (found,) = torch.autograd.grad(seen, at, y, create_graph=again, materialize_grads=True)
        return found

    def codomain(self, domain: Size) -> Size:
        """The shape of K's samples for inputs of this shape; by default from a sample of zeros.

        Raises
        ------
        ErgodualError
            If K takes no inputs of this shape.
        """
        known: dict[Size, Size] = self.__dict__.setdefault("_codomains", {})
        if domain not in known:
            zeros = zero_sample(self, domain)
            with torch.no_grad():
                known[domain] = self.forward(zeros).shape[1:]
        return known[domain]

    def domain(self, codomain: Size) -> Size:
        """The shape of the inputs that give samples of this shape.

        Raises
        ------
        ErgodualError
            If K's outputs do not tell it.
        """
        raise ErgodualError(
            f"{type(self).__name__} does not tell the shape of its input from that of its output, "
            f"{tuple(codomain)}; give domain=, or Adjoint(K, domain) for K.T."
        )

    def layout(self, domain: Size) -> Layout:
        """:meth:`codomain`, or a list of the parts' where K is a stack of operators."""
        return self.codomain(domain)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that the map depends on, in the order of :meth:`gradients`: parameters, then
        buffers, as they were registered.

        Raises
        ------
        ErgodualError
            If there are several, one of them parametrised, so that their order is not known, and
            :meth:`gradients` is given by hand.
        """
        return held_in_order(self, "gradients", base=Operator)

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of Σ ⟨dual, K primal⟩ over the batch in each of :meth:`tensors`.

        None for one that needs none.
        """
        tensors = self.tensors()
        wanted = [t for t in tensors if t.requires_grad]
        if not wanted:
            return (None,) * len(tensors)
        with torch.enable_grad():
            value = (self.forward(primal) * dual).sum()
        if not value.requires_grad:
            return (None,) * len(tensors)
        found = iter(torch.autograd.grad(value, wanted, materialize_grads=True))
        return tuple(next(found) if t.requires_grad else None for t in tensors)

    def same_as(self, other: Operator) -> bool:
        """Whether both are one object, or made of the same ones."""
        return self is other

    def norm(self, domain: Size | None = None) -> Tensor:
        """The spectral norm ‖K‖ = ⟨u, Kv⟩, differentiable in the parameters: its gradient is that
        of ⟨u, Kv⟩ with the top singular vectors u and v held.

        Parameters
        ----------
        domain
            The shape of a sample; needed where the norm depends on it and K does not know it.
        """
        u, v = singular_pair(self, self._domain_for_norm(domain))
        return (u * self.forward(v)).sum()

    def norm_bound(self, domain: Size | None = None) -> float:
        """A number not below ‖K‖ that depends on K alone, not on how K came to be what it is.

        By default the estimate of Lanczos' method and 5 % more; see
        :func:`~ergodual.operators.norms.lanczos_bound`. Whatever a subclass gives is compared with
        a few products when a problem is first posed.
        """
        return lanczos_bound(self, self._domain_for_norm(domain))

    def norm_bound_in_graph(self, domain: Size | None = None) -> Tensor:
        """The same as a tensor, for graphs that are exported; the exact norm unless given."""
        return self.norm(domain)

    def forward_onto(
        self,
        base: Tensor,
        x: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        """Keep · base + scale · Kx, written to ``out`` (which may be ``base``, not x).

        ``base`` is not read where ``keep`` is the number 0.
        """
        return _onto(base, self.forward(x), scale, out, keep)

    def adjoint_onto(
        self,
        base: Tensor,
        y: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        """Keep · base + scale · Kᵀy, likewise; ``out`` tells the domain."""
        return _onto(base, self.adjoint(y, out.shape[1:]), scale, out, keep)

    def gradients_onto(
        self, totals: list[Tensor | None], dual: Tensor, primal: Tensor, scale: float
    ) -> None:
        """Totals + scale · :meth:`gradients`, written to the list ``totals``, where None is 0."""
        gradients = self.gradients(dual, primal)
        if not isinstance(gradients, tuple | list) or len(gradients) != len(totals):
            raise ErgodualError(
                f"{type(self).__name__}.gradients gives {described(gradients)}; it must be a tuple "
                f"with a gradient, or None, for each of its {len(totals)} tensors."
            )
        for i, found in enumerate(gradients):
            if found is not None:
                old = totals[i]
                totals[i] = found * scale if old is None else old.add_(found, alpha=scale)

    def way_back_gradients_onto(
        self, totals: list[Tensor | None], dual: Tensor, primal: Tensor, scale: float
    ) -> None:
        """Totals + scale · the gradient of Σ ⟨primal, adjoint(dual)⟩, likewise: :meth:`gradients`
        unless the way back is not the adjoint.
        """
        self.gradients_onto(totals, dual, primal, scale)

    def reversed(self) -> Operator:
        """What the reverse sweep multiplies by: K unless the way back is not the adjoint."""
        return self

    def alike(self, domain: Size) -> Size:
        """A small domain on which this is an operator with an adjoint and a norm within its bound
        if it is on this one: the one that is looked at before it is used. An operator that does the
        same everywhere names one of few taps; the others all of it.
        """
        return domain

    @property
    def T(self) -> Operator:
        """Kᵀ as an operator."""
        return Adjoint(self)

    def __matmul__(self, inner: Operator) -> Operator:
        """Of A and B, x ↦ A(Bx)."""
        return Compose(self, inner)

    def __rmul__(self, scale: Number) -> Operator:
        """Of a number c and K, x ↦ c Kx."""
        return Scaled(scale, self)

    __mul__ = __rmul__

    def _require_dual(self, y: Tensor, domain: Size) -> None:
        """That y is a batch of the codomain, for inputs of this shape."""
        expected = self.codomain(domain)
        if y.shape[1:] != expected:
            raise ErgodualError(
                f"A dual variable has samples of shape {tuple(y.shape[1:])}; for inputs of shape "
                f"{tuple(domain)} this {type(self).__name__} gives {tuple(expected)}: give that, "
                "or another domain=."
            )

    def _domain_for_norm(self, domain: Size | None) -> Size:
        domain = self._domain if domain is None else domain
        if domain is None:
            raise ErgodualError(
                f"The norm of {type(self).__name__} depends on the shape of a sample; give domain=."
            )
        return domain

    def __call__(self, x: Tensor) -> Tensor:
        """See :meth:`forward`."""
        return super().__call__(x)  # type: ignore[no-any-return]


def _onto(
    base: Tensor, product: Tensor, scale: float | Tensor, out: Tensor, keep: float | Tensor
) -> Tensor:
    if isinstance(scale, Tensor):
        product, scale = product * scale, 1.0
    if isinstance(keep, Tensor):
        base = base * keep
    elif keep == 0:
        return torch.mul(product, scale, out=out)
    elif keep != 1:
        base = torch.mul(base, keep, out=out)
    return torch.add(base, product, alpha=scale, out=out)


class Compose(Operator):
    """x ↦ A(Bx), also written ``A @ B``; ‖AB‖ ≤ ‖A‖ ‖B‖.

    Parameters
    ----------
    outer, inner
        A and B.

    Examples
    --------
    >>> K = ed.Diagonal(torch.tensor([1.0, 0.0, 1.0])) @ ed.Dense.dct(3)
    >>> K(torch.ones(1, 3)).shape
    torch.Size([1, 3])
    """

    def __init__(self, outer: Operator, inner: Operator) -> None:
        super().__init__()
        _require_operators(outer, inner)
        self.outer, self.inner = outer, inner

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        between = self.outer.domain(y.shape[1:]) if domain is None else self.inner.codomain(domain)
        return self.inner.adjoint(self.outer.adjoint(y, between), domain)

    def codomain(self, domain: Size) -> Size:
        return self.outer.codomain(self.inner.codomain(domain))

    def domain(self, codomain: Size) -> Size:
        return self.inner.domain(self.outer.domain(codomain))

    def layout(self, domain: Size) -> Layout:
        return self.outer.layout(self.inner.codomain(domain))

    def tensors(self) -> tuple[Tensor, ...]:
        return self.outer.tensors() + self.inner.tensors()

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        between = self.inner(primal)
        back = self.outer.adjoint(dual, between.shape[1:])
        return self.outer.gradients(dual, between) + self.inner.gradients(back, primal)

    def norm_bound(self, domain: Size | None = None) -> float:
        between = None if domain is None else self.inner.codomain(domain)
        return self.outer.norm_bound(between) * self.inner.norm_bound(domain)


class Adjoint(Operator):
    """Kᵀ as an operator, also written ``K.T``.

    Parameters
    ----------
    operator
        K.
    domain
        The shape of K's inputs, where its outputs do not tell it.

    Examples
    --------
    >>> K = ed.Dense(torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]]))
    >>> K.T(torch.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 1.0, -2.0]]
    """

    def __init__(self, operator: Operator, domain: Size | None = None) -> None:
        super().__init__()
        _require_operators(operator)
        self.operator = operator
        self._inputs = None if domain is None else Size(domain)

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.adjoint(x, self.codomain(x.shape[1:]))

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        return self.operator(y)

    def codomain(self, domain: Size) -> Size:
        found = self.operator.domain(domain) if self._inputs is None else self._inputs
        if self.operator.codomain(found) != domain:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, and {type(self.operator).__name__} gives "
                f"{tuple(self.operator.codomain(found))}, which its adjoint takes."
            )
        return found

    def domain(self, codomain: Size) -> Size:
        return self.operator.codomain(codomain)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.operator.tensors()

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        return self.operator.gradients(primal, dual)

    def norm_bound(self, domain: Size | None = None) -> float:
        found = self._inputs if domain is None else self.codomain(domain)
        return self.operator.norm_bound(found)

    @property
    def T(self) -> Operator:
        """K."""
        return self.operator


class Scaled(Operator):
    """x ↦ c Kx, also written ``c * K``.

    Parameters
    ----------
    scale
        c: a number, or a tensor of one; a parameter is learned.
    operator
        K.

    Raises
    ------
    ErgodualError
        If the scale is not one number.

    Examples
    --------
    >>> (2 * ed.Gradient())(torch.tensor([[1.0, 2.0, 4.0]]))
    tensor([[[2., 4., 0.]]])
    """

    scale: Number

    def __init__(self, scale: Number, operator: Operator) -> None:
        super().__init__()
        _require_operators(operator)
        if not isinstance(scale, Tensor | float | int):
            raise ErgodualError(
                f"The scale of an operator is a {type(scale).__name__}; give one number (A @ B "
                "composes two operators)."
            )
        if isinstance(scale, Tensor) and scale.numel() != 1:
            raise ErgodualError(
                f"The scale of an operator has shape {tuple(scale.shape)}; give one number, or "
                "Diagonal(factors) @ K."
            )
        hold(self, "scale", scale)
        self.operator = operator

    def forward(self, x: Tensor) -> Tensor:
        return self._factor() * self.operator(x)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        return self._factor() * self.operator.adjoint(y, domain)

    def codomain(self, domain: Size) -> Size:
        return self.operator.codomain(domain)

    def domain(self, codomain: Size) -> Size:
        return self.operator.domain(codomain)

    def layout(self, domain: Size) -> Layout:
        return self.operator.layout(domain)

    def tensors(self) -> tuple[Tensor, ...]:
        own = (self.scale,) if isinstance(self.scale, Tensor) else ()
        return own + self.operator.tensors()

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        found = self.operator.gradients(self._factor() * dual, primal)
        if not isinstance(self.scale, Tensor):
            return found
        return ((dual * self.operator(primal)).sum().view_as(self.scale), *found)

    def norm_bound(self, domain: Size | None = None) -> float:
        scale = self._factor()
        size = abs(float(scale.detach() if isinstance(scale, Tensor) else scale))
        if not math.isfinite(size):
            raise not_finite(self)
        return size * self.operator.norm_bound(domain)

    def extra_repr(self) -> str:
        return f"scale={shown(self.scale)}"

    def _factor(self) -> Number:
        """The scale without axes."""
        return self.scale.reshape(()) if isinstance(self.scale, Tensor) else self.scale


def _require_operators(*given: Operator) -> None:
    for one in given:
        if not isinstance(one, Operator):
            raise ErgodualError(
                f"An operator was expected, and this is a {type(one).__name__}; operators are "
                "composed by A @ B and scaled by c * K, and applied to a batch by K(x)."
            )
