"""Indicators of balls."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Size, Tensor

from ergodual.functions.base import Function, ProxGradient
from ergodual.tensors import (
    Number,
    column,
    dots,
    everywhere,
    hold,
    holds,
    largest,
    norms,
    real,
    require_nonnegative,
    require_weight,
    room,
    shown,
    total,
)


class _Ball(Function):
    """The indicator of a ball around 0, of each sample, in some norm."""

    per_sample: ClassVar[tuple[str, ...] | None] = ("radius",)
    nonnegative: ClassVar[tuple[str, ...]] = ("radius",)
    indicator: ClassVar[bool] = True
    radius: Number

    def __init__(self, radius: Number) -> None:
        super().__init__()
        hold(self, "radius", real(f"{type(self).__name__}'s radius", radius))
        self.require_valid()

    def require_valid(self) -> None:
        require_nonnegative(f"{type(self).__name__}'s radius", self.radius)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.radius,) if isinstance(self.radius, Tensor) else ()

    def sizes(self, x: Tensor) -> Tensor:
        """The norm of each sample, ``(batch, 1, …)``."""
        raise NotImplementedError

    def value(self, x: Tensor) -> Tensor:
        # a projection is outside by a rounding; not less than that counts
        slack = 1 + room(x[0:1].numel(), x.dtype)
        inside = everywhere(self.sizes(x) <= slack * self.radius)
        return torch.where(inside, 0.0, torch.inf).to(x.dtype)

    def _support(self, sizes: Tensor) -> Tensor:
        """ε times the dual norms of samples, ``(batch, 1, …)``, as ``(batch,)``; 0 of 0, whatever
        ε: inf · 0 is not a number.
        """
        return torch.where(sizes > 0, self.radius * sizes, 0.0).flatten()

    def parameter_shape(self, sample: Size) -> Size:
        return Size([1] * len(sample))

    def extra_repr(self) -> str:
        return f"radius={shown(self.radius)}"


class L2Ball(_Ball):
    """f(x) = 0 where ‖x‖₂ ≤ ε, else ∞, of each sample: a bound of the noise, say.

    prox_{τf}(z) = z min(1, ε/‖z‖), whatever τ, and f*(y) = ε ‖y‖₂ (Parikh, Boyd, "Proximal
    algorithms", 2014, 6.5).

    Parameters
    ----------
    radius
        ε ≥ 0: a number, a tensor of one, or one with as many axes as the batch and a row for each
        sample, ``(batch, 1, …)``; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a radius is negative.

    Examples
    --------
    >>> ed.L2Ball(1.0).prox(torch.tensor([[3.0, 4.0]]), 1.0)
    tensor([[0.6000, 0.8000]])
    """

    def conjugate(self, y: Tensor) -> Tensor:
        return self._support(column(norms(y), y))

    def sizes(self, x: Tensor) -> Tensor:
        return column(norms(x), x)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return z * self._share(z, self.radius)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        # not 1 − the share: that would leave rounding where z is inside
        size = _size(z)
        return z * (1 - step * self.radius / size).clamp(min=0)

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        size = _size(kept)
        outside = size >= self.radius
        along = column(dots(kept, grad), grad) / size * outside
        found: tuple[Tensor | None, ...] = ()
        if parameters and isinstance(self.radius, Tensor):
            found = (along.sum_to_size(self.radius.shape),)
        share = self._share(kept, self.radius)
        return grad.addcmul_(kept, along / size, value=-1).mul_(share), found

    def _share(self, z: Tensor, radius: Number) -> Tensor:
        return (radius / _size(z)).clamp(max=1)


class L1Ball(_Ball):
    """f(x) = 0 where ‖x‖₁ ≤ ε, else ∞, of each sample.

    prox_{τf}(z) = sign(z) max(|z| − t, 0), whatever τ, with the least t ≥ 0 that is enough, found
    by sorting; f*(y) = ε max |y_i| (Duchi, Shalev-Shwartz, Singer, Chandra, "Efficient projections
    onto the ℓ1-ball", ICML 2008).

    Parameters
    ----------
    radius
        ε ≥ 0, as of :class:`L2Ball`.

    Raises
    ------
    ErgodualError
        If a radius is negative.

    Examples
    --------
    >>> ed.L1Ball(1.0).prox(torch.tensor([[2.0, 0.5]]), 1.0)
    tensor([[1., 0.]])
    """

    def sizes(self, x: Tensor) -> Tensor:
        return column(total(x.abs()), x)

    def conjugate(self, y: Tensor) -> Tensor:
        return self._support(column(largest(y), y))

    def prox(self, z: Tensor, step: Number) -> Tensor:
        # from the largest on, beside which t may be all rounding
        top = column(largest(z.detach()), z)
        below = z.abs() - top
        t = threshold(below, self.radius)
        over = t + top
        p = torch.where(over > 0, z.sign() * (below - t).relu(), z)
        # subtracting leaves a sum that may be off by a rounding of z, which counts where z is large
        share = (self.radius / self.sizes(p).clamp(min=torch.finfo(z.dtype).tiny)).clamp(max=1)
        return torch.where(over > 0, p * share.detach(), p)


class Simplex(Function):
    """f(x) = 0 where x_i ≥ 0 and Σ x_i = s, else ∞, of each sample: of s = 1, probabilities.

    prox_{τf}(z) = max(z − t, 0), whatever τ, with the t that makes the sum s, found by sorting;
    f*(y) = s max y_i (Held, Wolfe, Crowder, "Validation of subgradient optimization", 1974).

    Parameters
    ----------
    total
        s ≥ 0: a number, a tensor of one, or one with as many axes as the batch and a row for each
        sample, ``(batch, 1, …)``; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a total is negative or infinite.

    Examples
    --------
    >>> ed.Simplex().prox(torch.tensor([[2.0, 1.5, -1.0]]), 1.0)
    tensor([[0.7500, 0.2500, 0.0000]])
    """

    per_sample: ClassVar[tuple[str, ...] | None] = ("total",)
    nonnegative: ClassVar[tuple[str, ...]] = ("total",)
    indicator: ClassVar[bool] = True
    total: Number

    def __init__(self, total: Number = 1.0) -> None:
        super().__init__()
        hold(self, "total", real("Simplex's total", total))
        self.require_valid()

    def require_valid(self) -> None:
        require_weight("Simplex's total", self.total)

    def value(self, x: Tensor) -> Tensor:
        slack = room(x[0:1].numel(), x.dtype) * self.total
        off = (column(total(x), x) - self.total).abs() <= slack
        return torch.where(off.flatten() & everywhere(x >= 0), 0.0, torch.inf).to(x.dtype)

    def conjugate(self, y: Tensor) -> Tensor:
        return (self.total * column(y.flatten(1).amax(1), y)).flatten()

    def prox(self, z: Tensor, step: Number) -> Tensor:
        # from the largest on, beside which t may be all rounding
        below = z - column(z.detach().flatten(1).amax(1), z)
        t = threshold(below, self.total)
        p = torch.where(below <= t, 0.0, below - t)  # not a number where z is none
        share = self.total / column(total(p), p).clamp(min=torch.finfo(z.dtype).tiny)
        return p * share.detach()

    def encloses_zero(self) -> bool:
        return holds(self.total <= 0)

    def parameter_shape(self, sample: Size) -> Size:
        return Size([1] * len(sample))

    def extra_repr(self) -> str:
        return f"total={shown(self.total)}"


def threshold(z: Tensor, sum_left: Number) -> Tensor:
    """The t with Σ max(z_i − t, 0) = ``sum_left`` over each sample, ``(batch, 1, …)``."""
    goal = sum_left.reshape(-1, 1) if isinstance(sum_left, Tensor) else sum_left
    sorted_, _ = z.flatten(1).sort(1, descending=True)
    excess = sorted_.cumsum(1) - goal
    counts = torch.arange(1, excess.shape[1] + 1, device=z.device)
    count = (sorted_ * counts > excess).sum(1, keepdim=True).clamp(min=1)
    return column((excess.gather(1, count - 1) / count).flatten(), z)


def _size(z: Tensor) -> Tensor:
    """‖z‖ of each sample, ``(batch, 1, …)``; the derivative of the root at 0 is made 0."""
    squares = column(dots(z, z), z)
    return squares.clamp(min=torch.finfo(z.dtype).tiny).sqrt()
