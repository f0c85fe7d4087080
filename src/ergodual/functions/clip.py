"""Projection onto an interval, the one prox that both ℓ1's dual and the box share, and its derivative.

At a bound the derivative is a choice; ours is 0 on and outside the bound and 1 strictly inside, in every adjoint. It can
therefore be read off the clipped value, and no argument needs to be kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.functions.base import Number


def clip(z: Tensor, lower: Number, upper: Number) -> Tensor:
    """min(max(z, lower), upper), with autograd's derivative 0 where z lies on a bound (torch.clamp has 1 there)."""
    if not torch.is_grad_enabled():
        return clip_(z.clone(), lower, upper)
    low, high = torch.as_tensor(lower, dtype=z.dtype), torch.as_tensor(upper, dtype=z.dtype)
    low, high = low.to(z.device), high.to(z.device)
    return torch.where(z >= high, high, torch.where(z <= low, low, z))


def shrink(z: Tensor, lower: Number, upper: Number) -> Tensor:
    """z − clip(z, lower, upper), with derivative 0 where it is 0: soft thresholding when the bounds are ∓ one number."""
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
    """The gradients in the lower and the upper bound; where both are met at once the upper one has it, as in :func:`clip`."""
    above = p >= upper
    below = (p <= lower) & ~above
    return grad * below, grad * above
