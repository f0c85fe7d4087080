"""Operators that need no kernel: identity, masks, and finite differences."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.operators.norms import not_finite
from ergodual.tensors import hold, transformed


class Identity(Operator):
    """Kx = x.

    Examples
    --------
    >>> ed.Identity()(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        return y

    def codomain(self, domain: Size) -> Size:
        return domain

    def domain(self, codomain: Size) -> Size:
        return codomain

    def norm(self, domain: Size | None = None) -> Tensor:
        return torch.ones(())

    def norm_bound(self, domain: Size | None = None) -> float:
        return 1.0


class Diagonal(Operator):
    """Kx = d ⊙ x; with d of zeros and ones a mask, as for inpainting.

    Parameters
    ----------
    diagonal
        d, which broadcasts against a sample and makes it no larger; the same for all samples of a
        batch. A parameter is learned. For masks that differ per sample, give the data term weights
        of 0 and 1, ``SquaredL2(mask)``, and leave the operator out.

    Raises
    ------
    ErgodualError
        If d is not floating-point.

    Examples
    --------
    >>> ed.Diagonal(torch.tensor([1.0, 0.0, 1.0]))(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1., 0., 3.]])
    """

    diagonal: Tensor

    def __init__(self, diagonal: Tensor) -> None:
        super().__init__()
        if not isinstance(diagonal, Tensor) or not diagonal.is_floating_point():
            raise ErgodualError(
                f"Diagonal got {getattr(diagonal, 'dtype', type(diagonal).__name__)}; it takes a "
                "floating-point tensor: convert a mask with mask.to(x.dtype)."
            )
        hold(self, "diagonal", diagonal)

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        return self.diagonal * x

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, y.shape[1:] if domain is None else domain)
        return self.diagonal * y

    def codomain(self, domain: Size) -> Size:
        shape = self.diagonal.shape
        # from the last axis on, as torch broadcasts
        pairs = zip(reversed(shape), reversed(domain), strict=False)
        if len(shape) > len(domain) or any(factors not in (1, size) for factors, size in pairs):
            raise ErgodualError(
                f"A sample has shape {tuple(domain)} and Diagonal's factors "
                f"{tuple(self.diagonal.shape)}; make them broadcast against the sample."
            )
        return domain

    def domain(self, codomain: Size) -> Size:
        return codomain

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.diagonal,)

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        return ((dual * primal).sum_to_size(self.diagonal.shape),)

    def norm(self, domain: Size | None = None) -> Tensor:
        return self.diagonal.abs().max()

    def norm_bound(self, domain: Size | None = None) -> float:
        largest = float(self.diagonal.detach().abs().max())
        if not math.isfinite(largest):
            raise not_finite(self)
        return largest

    def extra_repr(self) -> str:
        return f"diagonal={tuple(self.diagonal.shape)}"


class Gradient(Operator):
    """Forward differences along every axis of a sample, 0 at the end of each: (Kx)_a = x_{i+1} −
    x_i.

    From ``(batch, *s)`` to ``(batch, axes, *s)``; total variation is ``L21(weight, dim=1)`` of it.
    ‖K‖ < 2 √axes, which is the bound (Chambolle, "An algorithm for total variation minimization
    and applications", JMIV 2004); below 8 samples an axis it is loose.

    Parameters
    ----------
    axes
        Along which axis or axes of the batch, counted as torch does: for channels first and
        images ``(-2, -1)``. All of the sample's if None.

    Raises
    ------
    ErgodualError
        If an axis is named twice or is the batch's.

    Examples
    --------
    >>> ed.Gradient()(torch.tensor([[1.0, 2.0, 4.0]]))
    tensor([[[1., 2., 0.]]])
    """

    def __init__(self, axes: int | tuple[int, ...] | None = None) -> None:
        super().__init__()
        axes = (axes,) if isinstance(axes, int) else axes
        if axes is not None and (0 in axes or not axes or len(set(axes)) < len(axes)):
            raise ErgodualError(
                f"Gradient's axes are {axes}; name each once, and not 0, which is the batch."
            )
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        axes = self._axes(x.shape[1:])
        if (torch.is_grad_enabled() and x.requires_grad) or transformed():
            return torch.stack([_differences(x, axis) for axis in axes], 1)
        return self._write(x, x.new_empty((len(x), len(axes), *x.shape[1:])))

    def forward_onto(
        self,
        base: Tensor,
        x: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        # parts of stacks may lie in one place without being one tensor
        together = out.data_ptr() == base.data_ptr()
        if together or isinstance(scale, Tensor) or isinstance(keep, Tensor) or keep != 1:
            return super().forward_onto(base, x, scale, out, keep)
        return torch.add(base, self._write(x, out), alpha=scale, out=out)

    def _write(self, x: Tensor, out: Tensor) -> Tensor:
        for i, axis in enumerate(self._axes(x.shape[1:])):
            part, n = out[:, i], x.shape[axis]
            torch.sub(
                x.narrow(axis, 1, n - 1), x.narrow(axis, 0, n - 1), out=part.narrow(axis, 0, n - 1)
            )
            part.narrow(axis, n - 1, 1).zero_()
        return out

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, y.shape[2:] if domain is None else domain)
        return self._add_adjoint(torch.zeros_like(y[:, 0]), y, 1)

    def adjoint_onto(
        self,
        base: Tensor,
        y: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        if isinstance(scale, Tensor) or isinstance(keep, Tensor):
            return super().adjoint_onto(base, y, scale, out, keep)
        self._require_dual(y, out.shape[1:])
        if keep == 0:
            out.zero_()
        elif keep != 1 or out is not base:
            torch.mul(base, keep, out=out)
        return self._add_adjoint(out, y, scale)

    def _add_adjoint(self, out: Tensor, y: Tensor, scale: float) -> Tensor:
        for i, axis in enumerate(self._axes(y.shape[2:])):
            n = out.shape[axis]
            part = y[:, i].narrow(axis, 0, n - 1)
            out.narrow(axis, 1, n - 1).add_(part, alpha=scale)
            out.narrow(axis, 0, n - 1).sub_(part, alpha=scale)
        return out

    def codomain(self, domain: Size) -> Size:
        return Size((len(self._axes(domain)), *domain))

    def domain(self, codomain: Size) -> Size:
        return codomain[1:]

    def alike(self, domain: Size) -> Size:
        return Size(min(n, 8) for n in domain)

    def norm_bound(self, domain: Size | None = None) -> float:
        if self.axes is None:
            return 2 * math.sqrt(len(self._domain_for_norm(domain)))
        return 2 * math.sqrt(len(self.axes))

    def extra_repr(self) -> str:
        return f"axes={self.axes}"

    def _axes(self, domain: Size) -> list[int]:
        """Positive, counted with the batch as 0."""
        count = len(domain) + 1
        axes = range(1, count) if self.axes is None else self.axes
        positive = [axis % count for axis in axes if -count <= axis < count]
        if len(positive) < len(axes) or 0 in positive or len(set(positive)) < len(positive):
            raise ErgodualError(
                f"Gradient's axes are {self.axes}, and a sample has shape {tuple(domain)}; name "
                f"axes from 1 to {count - 1}, each once."
            )
        return positive


def _differences(x: Tensor, axis: int) -> Tensor:
    return torch.cat([x.diff(dim=axis), torch.zeros_like(x.narrow(axis, 0, 1))], axis)
