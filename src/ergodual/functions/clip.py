"""Projection onto an interval, the prox that ℓ1's dual and the box share, and its derivative.

At a bound the derivative is a choice; ours is 0 on and outside the bound and 1 strictly inside, in
every adjoint. It can therefore be read off the clipped value, and no argument needs to be kept; but
for an interval of one point, whose bounds move the value while the value does not tell which of
them it met. All that is read off here may be read off the argument just as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.tensors import Number, transformed


def clip(z: Tensor, lower: Number, upper: Number) -> Tensor:
    """min(max(z, lower), upper), with the derivative 0 on a bound (torch.clamp has 1 there)."""
    if not (torch.is_grad_enabled() or transformed()):
        return clip_(z.clone(), lower, upper)
    low, high = torch.as_tensor(lower, dtype=z.dtype), torch.as_tensor(upper, dtype=z.dtype)
    low, high = low.to(z.device), high.to(z.device)
    clipped = torch.where(z >= high, high, torch.where(z <= low, low, z))
    if is_point(lower, upper):
        clipped = torch.where((z >= high) & (z <= low), z.detach(), clipped)
    return clipped


def shrink(z: Tensor, lower: Number, upper: Number) -> Tensor:
    """z − clip(z, lower, upper), soft thresholding, with the derivative 0 where it is 0.

    But where the interval is a point, which is no kink: there the derivative is 1.
    """
    inside = z.new_zeros(())
    if isinstance(upper, Tensor):
        inside = torch.where(upper == lower, z - upper.detach(), inside)
    elif not isinstance(lower, Tensor) and upper == lower:
        return z - upper
    # what is not a number stays so
    return torch.where(z > upper, z - upper, torch.where(z >= lower, inside, z - lower))


def shrink_vjp_(p: Tensor, lower: Number, upper: Number, grad: Tensor) -> Tensor:
    """``grad`` where p = shrink(z) moves with z, else 0; written over ``grad``."""
    if isinstance(lower, Tensor) or isinstance(upper, Tensor):
        return grad.mul_((p != 0) | (lower == upper))
    return grad if lower == upper else grad.mul_(p != 0)


def clip_(z: Tensor, lower: Number, upper: Number) -> Tensor:
    """:func:`clip` written over z."""
    if not isinstance(lower, Tensor) and not isinstance(upper, Tensor):
        return z.clamp_(lower, upper)
    # one bound after the other: clamp is slow with two tensors that broadcast
    for bound, nearer in ((lower, torch.maximum), (upper, torch.minimum)):
        z = nearer(z, torch.as_tensor(bound, dtype=z.dtype, device=z.device), out=z)
    return z


def clip_vjp_(p: Tensor, lower: Number, upper: Number, grad: Tensor) -> Tensor:
    """``grad`` where p = clip(z) lies strictly inside, else 0; written over ``grad``."""
    if isinstance(lower, Tensor) or isinstance(upper, Tensor):
        return grad.mul_((p > lower) & (p < upper))
    # hardtanh's backward is this mask in one pass (its gradient at a bound is 0)
    return torch.ops.aten.hardtanh_backward.grad_input(grad, p, lower, upper, grad_input=grad)  # type: ignore[no-any-return]


def inside(p: Tensor, bound: Number, grad: Tensor) -> Tensor:
    """``grad`` where |p| < bound, else 0: one new tensor, and in the sweeps no other."""
    room = p.abs().neg_().add_(bound)
    # threshold's backward is the mask > 0 in one pass, without numbers that are truth values
    if torch.is_grad_enabled() or transformed():
        return torch.ops.aten.threshold_backward(grad, room, 0)  # type: ignore[no-any-return]
    return torch.ops.aten.threshold_backward.grad_input(grad, room, 0, grad_input=room)  # type: ignore[no-any-return]


def bound_gradients(p: Tensor, lower: Number, upper: Number, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients in the two bounds; none where both are met at once, as in clip: a symmetric
    interval that opens leaves z where it is.
    """
    above, below = p >= upper, p <= lower
    return grad * (below & ~above), grad * (above & ~below)


def is_point(lower: Number, upper: Number) -> bool:
    """Whether an interval is a point somewhere while a gradient in its bounds is wanted."""
    bounds = [b for b in (lower, upper) if isinstance(b, Tensor) and b.requires_grad]
    return bool(bounds) and bool((torch.as_tensor(upper) == torch.as_tensor(lower)).any())
