"""The norm of groups of coefficients, ℓ2,1."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function, ProxGradient
from ergodual.tensors import (
    Number,
    everywhere,
    hold,
    real,
    require,
    require_weight,
    room,
    share_within,
    shown,
    total,
)


class L21(Function):
    """f(x) = Σ_g w_g ‖x_g‖₂, with groups of coefficients that are small or large together.

    With ``dim``, a group is all that lies along that axis of the batch: ``L21(weight, dim=1)`` of
    ``Gradient()`` is total variation. With ``size`` s, the axis (1, unless ``dim`` says another) of
    length m is cut into s pieces, and group g are its coefficients g, g + m/s, g + 2m/s, …: K is s
    operators on top of each other. In pairs, they are real and imaginary parts, and f is the ℓ1
    norm of complex coefficients, whatever their phases.

    prox_{σf*}(z) = z_g min(1, w_g/‖z_g‖) for every σ, and prox_{τf} follows by Moreau's identity
    (Kowalski, "Sparse regression using mixed norms", ACHA 2009, p = 2, q = 1).

    Parameters
    ----------
    weight
        w ≥ 0: a number, or a tensor that broadcasts against the groups, which are shaped as a
        sample (or as the batch, if it has as many axes) with the axis that is grouped of length 1,
        or, with ``size``, m/s; an nn.Parameter is learned.
    dim
        The axis of the batch along which groups lie; not 0.
    size
        Coefficients a group, s; it must divide the length of the axis.

    Raises
    ------
    ErgodualError
        If neither dim nor size is given, dim is 0, the size is below 1 or does not divide the
        number of coefficients, or a weight is negative.

    Examples
    --------
    >>> z = torch.tensor([[[3.0, 0.1], [4.0, 0.2]]])  # two groups, along axis 1
    >>> ed.L21(1.0, dim=1).prox(z, 1.0)
    tensor([[[2.4000, 0.0000],
             [3.2000, 0.0000]]])
    """

    per_sample: ClassVar[tuple[str, ...] | None] = ("weight",)
    nonnegative: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Number

    def __init__(
        self, weight: Number = 1.0, *, dim: int | None = None, size: int | None = None
    ) -> None:
        super().__init__()
        if dim is None and size is None:
            raise ErgodualError(
                "L21 needs its groups: give dim=, the axis along which they lie, or size=, how "
                "many coefficients make one."
            )
        require(dim != 0, "L21's dim is 0, which is the batch; name an axis of the sample.")
        require(
            size is None or size >= 1, f"L21's groups have {size} coefficients; give 1 or more."
        )
        self.dim, self.size = 1 if dim is None else dim, size
        hold(self, "weight", real("L21's weight", weight))
        self.require_valid()

    def require_valid(self) -> None:
        require_weight("L21's weight", self.weight)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.weight,) if isinstance(self.weight, Tensor) else ()

    def value(self, x: Tensor) -> Tensor:
        groups = self._groups(x)
        norms = self._norms(groups)
        # of a group of zeros exactly 0, with the derivative 0
        nothing = self._dot(groups, groups) < torch.finfo(x.dtype).tiny
        return total(self.weight * torch.where(nothing, 0.0, norms))

    def conjugate(self, y: Tensor) -> Tensor:
        # a projection is outside by a rounding; not less than that counts
        groups = self._groups(y)
        slack = 1 + room(groups.shape[self._axis(groups)], y.dtype)
        feasible = everywhere(self._dot(groups, groups).sqrt() <= slack * self.weight)
        return torch.where(feasible, 0.0, torch.inf).to(y.dtype)

    def share_in_domain(self, y: Tensor) -> Tensor:
        groups = self._groups(y)
        return share_within(self._dot(groups, groups).sqrt(), self.weight)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return z - self._project(z, self.weight * step)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return self._project(z, self.weight)

    def prox_conjugate_(self, z: Tensor, step: Number) -> Tensor:
        groups = self._groups(z)
        tiny = torch.finfo(z.dtype).tiny
        # min(1, w/‖z_g‖) in one place: to touch new memory takes longer than the arithmetic
        share = self._dot(groups, groups).clamp_(min=tiny).rsqrt_().mul_(self.weight).clamp_(max=1)
        groups.mul_(share.unsqueeze(self._axis(groups)))
        return z

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        z, g = self._groups(kept), self._groups(grad)
        norms = self._norms(z)
        # ⟨g, z/‖z‖⟩ where z was moved
        along = self._dot(z, g).div_(norms).mul_(norms >= self.weight)
        found: tuple[Tensor | None, ...] = ()
        if parameters and isinstance(self.weight, Tensor):
            found = (along.sum_to_size(self.weight.shape),)
        g.addcmul_(z, along.div(norms).unsqueeze(self._axis(z)), value=-1)
        g.mul_(self._share(norms, self.weight))
        return grad, found

    def parameter_shape(self, sample: Size) -> Size:
        axis = self._axis_of(len(sample) + 1) - 1
        return Size(
            (*sample[:axis], sample[axis] // (self.size or sample[axis]), *sample[axis + 1 :])
        )

    def extra_repr(self) -> str:
        size = "" if self.size is None else f", size={self.size}"
        return f"weight={shown(self.weight)}, dim={self.dim}{size}"

    def _project(self, z: Tensor, bound: Number) -> Tensor:
        groups = self._groups(z)
        axis = self._axis(groups)
        return (groups * self._share(self._norms(groups), bound)).flatten(axis, axis + 1)

    def _groups(self, x: Tensor) -> Tensor:
        """The axis of length m as two, of lengths s and m/s."""
        axis = self._axis_of(x.ndim)
        m = x.shape[axis]
        size = m if self.size is None else self.size
        if m % size:
            raise ErgodualError(
                f"L21 got {m} coefficients; groups of {size} need a multiple of that."
            )
        return torch.unflatten(x, axis, (size, m // size))

    def _axis_of(self, count: int) -> int:
        """The axis of a batch of so many that is grouped, not negative."""
        axis = self.dim + count if self.dim < 0 else self.dim
        if not 0 < axis < count:
            raise ErgodualError(
                f"L21's dim is {self.dim}, and it got a batch of {count} axes; name one from 1 to "
                f"{count - 1}."
            )
        return axis

    def _axis(self, groups: Tensor) -> int:
        """The same of batches whose axis is two."""
        return self._axis_of(groups.ndim - 1)

    def _dot(self, x: Tensor, y: Tensor) -> Tensor:
        """Inner products of groups, with their axis of length m/s left."""
        axis = self._axis(x)
        if x.shape[axis] > 8:
            return (x * y).sum(axis)
        # a reduction of torch's over so few would take many times as long
        (a, b), *others = zip(x.unbind(axis), y.unbind(axis), strict=True)
        found = a * b
        for a, b in others:
            found = torch.addcmul(found, a, b)
        return found

    def _norms(self, groups: Tensor) -> Tensor:
        # the derivative of the root at 0 is made 0 instead of infinite
        tiny = torch.finfo(groups.dtype).tiny
        return self._dot(groups, groups).clamp(min=tiny).sqrt()

    def _share(self, norms: Tensor, bound: Number) -> Tensor:
        """min(1, bound/‖z_g‖), which broadcasts against groups; at 1 as just below it."""
        return (bound / norms).clamp(max=1).unsqueeze(self._axis_of(norms.ndim))
