"""Cross-correlation, its adjoint and its gradient in the kernel, on 1, 2 or 3 spatial axes.

All three are faces of one trilinear form T(y, x, k) = ⟨y, correlate(x, k)⟩, so that the derivatives
of each are the others: the tape goes through them as often as is asked.

Where torch's convolutions are slow on a CPU, products of matrices take their place:

- one input channel on two or three axes: the adjoint and the kernel's gradient go through the
  columns of taps, C_out × taps times positions (torch has one channel to fill its vectors with;
  2 to 4 times as fast);
- one axis with a stride: through the frames, which are views of the signal (up to 5 times as fast).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.nn import functional

from ergodual.autocast import in_own_type
from ergodual.products import addmm, mm
from ergodual.tensors import traced, transformed

Stride = tuple[int, ...]

COLUMNS = 2**18
"""Numbers of a product that are used while they are in the cache."""

_FORWARD = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


@in_own_type
def correlate(x: Tensor, kernel: Tensor, stride: Stride) -> Tensor:
    """The "valid" cross-correlation y_c[i] = Σ_{b,t} k_cb[t] x_b[stride · i + t].

    Parameters
    ----------
    x
        Shape ``(batch, C_in, *s)``.
    kernel
        Shape ``(C_out, C_in, *k)``, with k ≤ s.
    stride
        One for each spatial axis.

    Returns
    -------
    Tensor
        Contiguous, ``(batch, C_out, *((s − k) // stride + 1))``.
    """
    if _taped(x, kernel):
        return _Correlate.apply(x, kernel, stride)  # type: ignore[no-any-return,no-untyped-call]
    return _FORWARD[len(stride) - 1](x, kernel, stride=stride).contiguous()


@in_own_type
def correlate_adjoint(y: Tensor, kernel: Tensor, stride: Stride, size: Sequence[int]) -> Tensor:
    """x_b[j] = Σ k_cb[t] y_c[i] over all c, i and t with stride · i + t = j.

    Parameters
    ----------
    y
        Shape ``(batch, C_out, *s_out)``.
    kernel
        Shape ``(C_out, C_in, *k)``.
    stride
        One for each spatial axis.
    size
        The spatial size s of the result, of which s_out = (s − k) // stride + 1.

    Returns
    -------
    Tensor
        Contiguous, ``(batch, C_in, *size)``; 0 where no window reaches.
    """
    if _taped(y, kernel):
        return _Adjoint.apply(y, kernel, stride, size)  # type: ignore[no-any-return,no-untyped-call]
    if _by_columns(y, kernel):
        return _adjoint_by_columns(y, kernel, stride, size)
    if _by_frames(y, stride):
        return _adjoint_by_frames(y, kernel, stride, size)
    covered = [
        (n - 1) * q + k for n, q, k in zip(y.shape[2:], stride, kernel.shape[2:], strict=True)
    ]
    rest = tuple(s - c for s, c in zip(size, covered, strict=True))
    transposed = _TRANSPOSED[len(stride) - 1]
    return transposed(y, kernel, stride=stride, output_padding=rest).contiguous()


@in_own_type
def kernel_gradient(dual: Tensor, x: Tensor, kernel: Tensor, stride: Stride) -> Tensor:
    """The gradient of Σ ⟨dual, correlate(x, kernel)⟩ in the kernel, of which only the shape counts.

    Parameters
    ----------
    dual
        Shape ``(batch, C_out, *s_out)``.
    x
        Shape ``(batch, C_in, *s)``.
    kernel
        Shape ``(C_out, C_in, *k)``.
    stride
        One for each spatial axis.

    Returns
    -------
    Tensor
        Contiguous, of the kernel's shape.
    """
    if _taped(dual, x):
        return _Gradient.apply(dual, x, kernel.detach(), stride)  # type: ignore[no-any-return,no-untyped-call]
    if _by_columns(x, kernel):
        return _gradient_by_columns(dual, x, kernel.shape, stride)
    if _by_frames(x, stride):
        rows, frames = _framed(dual, x, kernel, stride)
        return mm(rows, frames).view(kernel.shape)
    n = len(stride)
    found = torch.ops.aten.convolution_backward(
        dual, x, kernel, None, stride, [0] * n, [1] * n, False, [0] * n, 1, [False, True, False]
    )[1]
    return found.contiguous()  # type: ignore[no-any-return]


@in_own_type
def add_kernel_gradient(
    total: Tensor | None, dual: Tensor, x: Tensor, kernel: Tensor, stride: Stride, scale: float
) -> Tensor:
    """Total + scale · :func:`kernel_gradient`, written over the total; None is a total of 0."""
    if total is not None and _by_frames(x, stride):
        rows = total.view(len(kernel), -1)
        addmm(rows, *_framed(dual, x, kernel, stride), 1.0, scale, rows)
        return total
    found = kernel_gradient(dual, x, kernel, stride)
    return found.mul_(scale) if total is None else total.add_(found, alpha=scale)


def _taped(*tensors: Tensor) -> bool:
    # An exported graph has no gradients, and torch's own operators in the place of what follows, as
    # have transforms
    if torch.compiler.is_exporting() or not torch.is_grad_enabled() or transformed():
        return False
    return any(t.requires_grad for t in tensors)


def _by_columns(x: Tensor, kernel: Tensor) -> bool:
    return kernel.shape[1] == 1 and kernel.ndim > 3 and _on_cpu(x)


def _by_frames(x: Tensor, stride: Stride) -> bool:
    return len(stride) == 1 and stride[0] > 1 and _on_cpu(x)


def _on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and not traced()


def _adjoint_by_columns(y: Tensor, kernel: Tensor, stride: Stride, size: Sequence[int]) -> Tensor:
    """One product gives what each tap sends to each position; then it is summed axis by axis.

    Axis by axis takes as many passes as there are taps on an axis, not in the kernel. The samples
    go one by one and by strips, so that the products stay in the cache.
    """
    taps, out, n = kernel.shape[2:], y.shape[2:], len(stride)
    matrix = kernel.flatten(1).T.contiguous()
    sums = y.new_zeros(*taps[1:], len(y), size[0], *out[1:])
    count, width = len(matrix), out[1:].numel()
    strips = _strips(count, out)
    room = y.new_empty(count * (strips[0][1] - strips[0][0]) * width)
    for i, sample in enumerate(y.flatten(2)):
        onto = sums.select(n - 1, i)
        for begin, end in strips:
            product = room[: count * (end - begin) * width].view(count, -1)
            addmm(product, matrix, sample[:, begin * width : end * width], 0.0, 1.0, product)
            rest = onto.narrow(n - 1, begin * stride[0], size[0] - begin * stride[0])
            _overlap(product.view(*taps, end - begin, *out[1:]), rest, n - 1, stride[0])
    for axis in range(1, n):
        whole = y.new_zeros(*taps[axis + 1 :], len(y), *size[: axis + 1], *out[axis + 1 :])
        _overlap(sums, whole, n, stride[axis])
        sums = whole
    return sums.unsqueeze(1)


def _overlap(parts: Tensor, onto: Tensor, axis: int, stride: int) -> None:
    """Add entry i of ``parts[t]`` on the axis to entry stride · i + t of ``onto``."""
    index = [slice(None)] * onto.ndim
    for t, part in enumerate(parts):
        index[axis] = slice(t, t + (part.shape[axis] - 1) * stride + 1, stride)
        onto[tuple(index)].add_(part)


def _gradient_by_columns(dual: Tensor, x: Tensor, shape: Size, stride: Stride) -> Tensor:
    """The columns of a sample are copied out of the view of all windows, and multiplied."""
    windows = x[:, 0]
    for axis, (k, q) in enumerate(zip(shape[2:], stride, strict=True)):
        windows = windows.unfold(1 + axis, k, q)
    n = len(stride)
    windows = windows.permute(0, *range(1 + n, 1 + 2 * n), *range(1, 1 + n))
    found = x.new_zeros(math.prod(shape[2:]), shape[0])
    out = dual.shape[2:]
    width = out[1:].numel()
    for sample, seen in zip(dual.flatten(2), windows, strict=True):
        for begin, end in _strips(len(found), out):
            columns = seen.narrow(n, begin, end - begin).reshape(len(found), -1)
            part = sample[:, begin * width : end * width].T
            addmm(found, columns, part, 1.0, 1.0, found)
    return found.T.contiguous().view(shape)


def _strips(taps: int, out: Size) -> list[tuple[int, int]]:
    """Of the first spatial axis, so that the columns of each are about ``COLUMNS`` numbers."""
    count = max(1, round(taps * out.numel() / COLUMNS))
    rows = -(-out[0] // count)
    return [(begin, min(begin + rows, out[0])) for begin in range(0, out[0], rows)]


def _adjoint_by_frames(y: Tensor, kernel: Tensor, stride: Stride, size: Sequence[int]) -> Tensor:
    """A frame for each position, by one product; the frames are overlapped and added.

    They are cut into pieces as long as the stride, which lie one after the other.
    """
    taps, (q,), (n,) = kernel.shape[2], stride, size
    frames = mm(y.transpose(1, 2).reshape(-1, len(kernel)), kernel.flatten(1))
    pieces, positions = -(-taps // q), y.shape[2]
    frames = frames.view(len(y), positions, kernel.shape[1], taps).transpose(1, 2)
    found = y.new_zeros(*frames.shape[:2], max(-(-n // q), positions + pieces - 1), q)
    for j in range(pieces):
        piece = frames[..., j * q : (j + 1) * q]
        found[:, :, j : j + positions, : piece.shape[3]].add_(piece)
    return found.flatten(2)[:, :, :n].contiguous()


def _framed(dual: Tensor, x: Tensor, kernel: Tensor, stride: Stride) -> tuple[Tensor, Tensor]:
    """A row for each output channel, and a frame for each of its positions."""
    frames = x.unfold(2, kernel.shape[2], stride[0]).transpose(1, 2)
    rows = dual.transpose(0, 1).flatten(1)
    return rows, frames.reshape(rows.shape[1], kernel[0].numel())


class _Correlate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: Stride) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.stride = stride
        return correlate(x, kernel, stride)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        need, q = ctx.needs_input_grad, ctx.stride
        in_x = correlate_adjoint(g, kernel, q, x.shape[2:]) if need[0] else None
        return in_x, kernel_gradient(g, x, kernel, q) if need[1] else None, None


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, kernel: Tensor, stride: Stride, size: Sequence[int]) -> Tensor:
        ctx.save_for_backward(y, kernel)
        ctx.stride = stride
        return correlate_adjoint(y, kernel, stride, size)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        y, kernel = ctx.saved_tensors
        need, q = ctx.needs_input_grad, ctx.stride
        in_y = correlate(g, kernel, q) if need[0] else None
        return in_y, kernel_gradient(y, g, kernel, q) if need[1] else None, None, None


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dual: Tensor, x: Tensor, kernel: Tensor, stride: Stride) -> Tensor:
        ctx.save_for_backward(dual, x)
        ctx.stride = stride
        return kernel_gradient(dual, x, kernel, stride)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        dual, x = ctx.saved_tensors
        need, q = ctx.needs_input_grad, ctx.stride
        in_dual = correlate(x, g, q) if need[0] else None
        return in_dual, correlate_adjoint(dual, g, q, x.shape[2:]) if need[1] else None, None, None
