"""Projection onto an interval, the prox that ℓ1's dual and the box share, and its derivative.

At a bound the derivative is a choice; ours is 0 on and outside the bound and 1 strictly inside, in
every adjoint. It can therefore be read off the clipped value, and no argument needs to be kept; but
for an interval of one point, whose bounds move the value while the value does not tell which of
them it met. All that is read off here may be read off the argument just as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.tensors import Number


def clip(z: Tensor, lower: Number, upper: Number) -> Tensor:
    """min(max(z, lower), upper), with the derivative 0 on a bound (torch.clamp has 1 there)."""
    if not torch.is_grad_enabled():
        return clip_(z.clone(), lower, upper)
    low, high = torch.as_tensor(lower, dtype=z.dtype), torch.as_tensor(upper, dtype=z.dtype)
    low, high = low.to(z.device), high.to(z.device)
    return torch.where(z >= high, high, torch.where(z <= low, low, z))


def shrink(z: Tensor, lower: Number, upper: Number) -> Tensor:
    """z − clip(z, lower, upper), with the derivative 0 where it is 0: soft thresholding."""
    zero = z.new_zeros(())
    return torch.where(z > upper, z - upper, torch.where(z < lower, z - lower, zero))


def clip_(z: Tensor, lower: Number, upper: Number) -> Tensor:
    """The same, written over z."""
    if isinstance(lower, Tensor) and isinstance(upper, Tensor):
        return torch.clamp(z, lower, upper, out=z)
    if isinstance(lower, Tensor):
        return z.clamp_(min=lower).clamp_(max=float(upper))
    if isinstance(upper, Tensor):
        return z.clamp_(min=float(lower)).clamp_(max=upper)
    return z.clamp_(lower, upper)


def clip_vjp_(p: Tensor, lower: Number, upper: Number, grad: Tensor) -> Tensor:
    """``grad`` where p = clip(z) lies strictly inside, else 0; written over ``grad``."""
    if isinstance(lower, Tensor) or isinstance(upper, Tensor):
        return grad.mul_((p > lower) & (p < upper))
    # hardtanh's backward is this mask in one pass (its gradient at a bound is 0)
    return torch.ops.aten.hardtanh_backward.grad_input(grad, p, lower, upper, grad_input=grad)  # type: ignore[no-any-return]


def bound_gradients(p: Tensor, lower: Number, upper: Number, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients in the two bounds; where both are met at once in the upper, as in clip."""
    above = p >= upper
    below = (p <= lower) & ~above
    return grad * below, grad * above


def is_point(lower: Number, upper: Number) -> bool:
    """Whether an interval is a point somewhere while a gradient in its bounds is wanted."""
    bounds = [b for b in (lower, upper) if isinstance(b, Tensor) and b.requires_grad]
    return bool(bounds) and bool((torch.as_tensor(upper) == torch.as_tensor(lower)).any())
