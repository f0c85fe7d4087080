"""The Huber function, of coordinates or of groups."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function, ProxGradient
from ergodual.functions.clip import clip, clip_, inside
from ergodual.tensors import (
    Number,
    everywhere,
    extremes,
    hold,
    real,
    require,
    require_weight,
    room,
    share_within,
    shown,
    total,
)


class Huber(Function):
    """f(x) = Σ w_i h(|x_i|) with h(t) = t²/(2δ) for t ≤ δ, and t − δ/2 beyond.

    With ``dim``, |x_i| is the ℓ2 norm of all that lies along that axis of the batch:
    ``Huber(weight, width, dim=1)`` of ``Gradient()`` is Huber total variation, without its stairs.

    prox_{τf}(z) = z (1 − τw / max(τw + δ, |z|)), f*(y) = Σ δ_i |y_i|²/(2w_i) where |y_i| ≤ w_i,
    else ∞, and prox_{σf*}(z) = z w / max(w + σδ, |z|) (Chambolle, Pock, "A first-order primal-dual
    algorithm", JMIV 2011, 6.2.3).

    Parameters
    ----------
    weight
        w ≥ 0: a number, or a tensor that broadcasts against a sample, or against the batch if it
        has as many axes (with ``dim``, that axis is of length 1); an nn.Parameter is learned.
    width
        δ > 0, likewise, in the units of x.
    dim
        The axis of the batch along which groups lie; not 0. None for |x_i| of each coordinate.

    Raises
    ------
    ErgodualError
        If a weight is negative or infinite, a width is not positive, or dim is 0.

    Examples
    --------
    >>> ed.Huber(1.0, width=2.0).value(torch.tensor([[1.0, 4.0]]))  # 1/4 and 4 − 1
    tensor([3.2500])
    """

    per_sample: ClassVar[tuple[str, ...] | None] = ("weight", "width")
    nonnegative: ClassVar[tuple[str, ...]] = ("weight",)
    weight: Number
    width: Number

    def __init__(
        self, weight: Number = 1.0, width: Number = 1.0, *, dim: int | None = None
    ) -> None:
        super().__init__()
        require(dim != 0, "Huber's dim is 0, which is the batch; name an axis of the sample.")
        self.dim = dim
        hold(self, "weight", real("Huber's weight", weight))
        hold(self, "width", real("Huber's width", width))
        self.require_valid()

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether there are no groups."""
        return self.dim is None

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(t for t in (self.weight, self.width) if isinstance(t, Tensor))

    def require_valid(self) -> None:
        require_weight("Huber's weight", self.weight)
        require_weight("Huber's width", self.width)
        require(self.width > 0, "Huber's width is 0; give more than that, or L1, or L21.")

    def value(self, x: Tensor) -> Tensor:
        size = self._sizes(x)
        near, far = size.square() / (2 * self.width), size - self.width / 2
        return total(self.weight * torch.where(size < self.width, near, far))

    def conjugate(self, y: Tensor) -> Tensor:
        # a projection is outside by a rounding; not less than that counts
        size = self._exact_sizes(y)
        slack = 1 + room(1 if self.dim is None else y.shape[self.dim], y.dtype)
        inside = everywhere(size <= slack * self.weight)
        share = torch.where(size > 0, size / self.weight, 0.0)  # of a weight of 0 none counts
        return torch.where(inside, total(0.5 * self.width * size * share), torch.inf)

    def share_in_domain(self, y: Tensor) -> Tensor:
        return share_within(self._exact_sizes(y), self.weight)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        bound = step * self.weight
        return z * (1 - bound / self._largest(bound + self.width, z))

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        if self.keeps_input():
            return z * (self.weight / self._largest(self.weight + step * self.width, z))
        # on a bound it is the bound itself, by which the derivative knows it
        share = self.weight / (self.weight + step * self.width)
        return clip(z * share, -self.weight, self.weight)

    def prox_conjugate_(self, z: Tensor, step: Number) -> Tensor:
        if self.dim is not None:
            return super().prox_conjugate_(z, step)
        z.mul_(self.weight / (self.weight + step * self.width))
        return clip_(z, -self.weight, self.weight)

    def keeps_input(self) -> bool:
        # of a weight of 0 the output does not tell where the argument was
        held = isinstance(self.weight, Tensor) and self.weight.requires_grad
        return self.dim is not None or (held and not extremes(self.weight)[0] > 0)

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        if self.keeps_input():
            return super().prox_vjp(kept, step, grad, parameters)
        # where |p| < δ, p is a share of z, and else z less a step
        w, width = step * self.weight, self.width
        near = inside(kept, width, grad)
        found = grad - near
        if not parameters:
            return found.add_(near * (width / (w + width))), ()
        share, signs = near * kept, -step * found * kept.sign()
        in_weight = self._in(self.weight, (signs, 1.0), (share, -step / (w + width)))
        in_width = self._in(width, (share, w / (width * (w + width))))
        return found.add_(near * (width / (w + width))), in_weight + in_width

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        if self.keeps_input():
            return super().prox_conjugate_vjp(kept, step, grad, parameters)
        # where |p| < w, p is a share of z, and else ±w
        w, width = self.weight, step * self.width
        near = inside(kept, w, grad)
        if not parameters:
            return near.mul_(w / (w + width)), ()
        signs, share = grad.sub_(near).mul_(kept.sign()), near * kept
        in_weight = self._in(w, (signs, 1.0), (share, width / (w * (w + width))))
        in_width = self._in(self.width, (share, -step / (w + width)))
        return near.mul_(w / (w + width)), in_weight + in_width

    def smoothness(self) -> float:
        return extremes(self.weight / self.width)[1]

    def parameter_shape(self, sample: Size) -> Size:
        if self.dim is None:
            return sample
        axis = self._axis(len(sample) + 1) - 1
        return Size((*sample[:axis], 1, *sample[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"weight={shown(self.weight)}, width={shown(self.width)}, dim={self.dim}"

    @staticmethod
    def _in(parameter: Number, *terms: tuple[Tensor, Number]) -> tuple[Tensor, ...]:
        """The gradient in a parameter, of products whose second factors are hardly larger than it;
        none in a number.
        """
        if not isinstance(parameter, Tensor):
            return ()
        total = torch.zeros_like(parameter)
        for large, factor in terms:
            # summed first, where the factor lets it
            shape = factor.shape if isinstance(factor, Tensor) else ()
            shape = torch.broadcast_shapes(shape, parameter.shape)
            total = total + (large.sum_to_size(shape) * factor).sum_to_size(parameter.shape)
        return (total,)

    def _axis(self, count: int) -> int:
        """The grouped axis of a batch of so many, not negative."""
        axis = -1 if self.dim is None else self.dim % count if -count <= self.dim < count else 0
        if axis == 0:
            raise ErgodualError(
                f"Huber's dim is {self.dim}, and it got a batch of {count} axes; name one from 1 "
                f"to {count - 1}."
            )
        return axis

    def _sizes(self, x: Tensor) -> Tensor:
        if self.dim is None:
            return x.abs()
        # the derivative of the root at 0 is made 0 instead of infinite
        squares = x.square().sum(self._axis(x.ndim), keepdim=True)
        return squares.clamp(min=torch.finfo(x.dtype).tiny).sqrt()

    def _exact_sizes(self, y: Tensor) -> Tensor:
        """The same, 0 of a group of zeros."""
        size, least = self._sizes(y), torch.finfo(y.dtype).tiny ** 0.5
        return size if self.dim is None else torch.where(size > least, size, 0.0)

    def _largest(self, bound: Number, z: Tensor) -> Tensor:
        """max(bound, |z|), with the derivative of |z| where they meet."""
        size = self._sizes(z)
        return torch.where(size >= bound, size, bound)
