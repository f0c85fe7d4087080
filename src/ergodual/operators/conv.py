"""Convolutions with one kernel for all positions."""

from __future__ import annotations

import operator
from typing import Literal, get_args

import torch
from torch import Size, Tensor
from torch.nn import functional

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.operators.conv_norms import symbol_bound, symbol_bound_in_graph
from ergodual.operators.correlation import (
    add_kernel_gradient,
    correlate,
    correlate_adjoint,
    kernel_gradient,
)
from ergodual.operators.norms import lanczos_bound
from ergodual.tensors import described, hold_learned, require

Padding = Literal["same", "full", "none", "circular", "reflect"]


class Conv(Operator):
    """Cross-correlation, (Kx)_c[i] = Σ_{b,t} k_cb[t] x_b[stride · i + t − before].

    As in ``torch.nn.Conv2d``, the kernel is not flipped. Samples ``(C_in, *s)`` become
    ``(C_out, *s_out)``, on 1, 2 or 3 spatial axes.

    Parameters
    ----------
    kernel
        Shape ``(C_out, C_in, *k)``. An nn.Parameter is used as it is (and may be shared); a tensor
        that already requires a gradient is used as it is, so that the gradient flows on to whatever
        made it; any other tensor becomes a parameter, which ``requires_grad_(False)`` fixes.
    stride
        One number, or one for each spatial axis.
    padding
        What is outside of the signal, and where the windows start:

        - ``"same"``: zeros, (k − 1) // 2 before the signal and the rest of k − 1 after it; with
          stride 1 the outputs are as long as the inputs;
        - ``"full"``: zeros, k − 1 on both sides: all windows that touch the signal;
        - ``"none"``: only windows inside of the signal;
        - ``"circular"``: the signal again, centred as ``"same"``; the stride divides the signal;
        - ``"reflect"``: the signal mirrored at its first and last samples, centred as ``"same"``,
          so that filters see the border of an image as much as its middle; a signal has at least
          k // 2 + 1 samples.

    Raises
    ------
    ErgodualError
        If the kernel is no floating-point tensor with 1 to 3 spatial axes, or the stride or the
        padding is none of these.

    Examples
    --------
    >>> K = ed.Conv(torch.tensor([[[-1.0, 0.0, 1.0]]]))  # one channel to one
    >>> K(torch.arange(5.0).reshape(1, 1, 5)).tolist()
    [[[1.0, 2.0, 2.0, 2.0, -3.0]]]
    """

    kernel: Tensor

    def __init__(
        self, kernel: Tensor, stride: int | tuple[int, ...] = 1, padding: Padding = "same"
    ) -> None:
        super().__init__()
        require(
            isinstance(kernel, Tensor)
            and kernel.ndim in (3, 4, 5)
            and kernel.is_floating_point()
            and kernel.numel() > 0,
            f"Conv got a kernel that is {described(kernel)}; it takes a floating-point tensor "
            "(C_out, C_in, *k) with 1 to 3 spatial axes.",
        )
        require(
            padding in get_args(Padding),
            f"Conv's padding is {padding!r}; choose one of {get_args(Padding)}.",
        )
        hold_learned(self, "kernel", kernel)
        self.stride = _strides(stride, kernel.ndim - 2)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        return correlate(self._padded(x), self.kernel, self.stride)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        domain = self.domain(y.shape[1:]) if domain is None else domain
        self._require_dual(y, domain)
        size = domain[1:]
        ends = self._ends()
        whole = [n + before + after for n, (before, after) in zip(size, ends, strict=True)]
        found = correlate_adjoint(y, self.kernel, self.stride, whole)
        for axis, (n, (before, after)) in enumerate(zip(size, ends, strict=True)):
            found = _unpadded(found, 2 + axis, n, before, after, self.padding)
        return found.contiguous()

    def codomain(self, domain: Size) -> Size:
        C_out, C_in, *taps = self.kernel.shape
        axes = ", ".join(["C_in", *["s1", "s2", "s3"][: len(taps)]])
        if len(domain) != len(taps) + 1:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, and this Conv takes batches (batch, {axes}) "
                f"with C_in = {C_in}; if the channel axis is missing, add it with x.unsqueeze(1)."
            )
        if domain[0] != C_in:
            raise ErgodualError(
                f"A sample of shape {tuple(domain)} has {domain[0]} channels, and this Conv's "
                f"kernel of shape {tuple(self.kernel.shape)} takes {C_in}; give batches "
                f"(batch, {axes})."
            )
        for n, k, q in zip(domain[1:], taps, self.stride, strict=True):
            least = {"none": k, "circular": k, "reflect": k // 2 + 1}.get(self.padding, 1)
            if n < least:
                raise ErgodualError(
                    f"An axis of a sample of shape {tuple(domain)} has {n} entries, and this Conv "
                    f'with padding "{self.padding}" needs at least {least}; '
                    'give longer signals or a smaller kernel, or take padding "same".'
                )
            if self.padding == "circular" and n % q:
                raise ErgodualError(
                    f"An axis of a sample of shape {tuple(domain)} has {n} entries, which the "
                    f'stride {q} does not divide, as padding "circular" needs; cut or pad '
                    f"the signal to a multiple of {q}."
                )
        ends = zip(domain[1:], taps, self.stride, self._ends(), strict=True)
        return Size((C_out, *((n + sum(end) - k) // q + 1 for n, k, q, end in ends)))

    def alike(self, domain: Size) -> Size:
        axes = zip(domain[1:], self.kernel.shape[2:], self.stride, strict=True)
        return Size((domain[0], *(min(n, 4 * k + (n - 4 * k) % q) for n, k, q in axes)))

    def domain(self, codomain: Size) -> Size:
        if self.padding != "circular" and max(self.stride) > 1:
            return super().domain(codomain)
        C_out, C_in, *taps = self.kernel.shape
        if len(codomain) != len(taps) + 1 or codomain[0] != C_out:
            raise ErgodualError(
                f"A sample of a dual variable has shape {tuple(codomain)}; give this Conv {C_out} "
                f"channels and {len(taps)} spatial axes."
            )
        if self.padding == "circular":
            return Size((C_in, *(n * q for n, q in zip(codomain[1:], self.stride, strict=True))))
        ends = zip(codomain[1:], taps, self._ends(), strict=True)
        return Size((C_in, *(n + k - 1 - sum(end) for n, k, end in ends)))

    def norm_bound(self, domain: Size | None = None) -> float:
        """See :class:`Operator`; the norm on signals of any length and boundary, unless they are
        mirrored.

        About 1 % per axis above the norm on long signals; see
        :func:`~ergodual.operators.conv_norms.symbol_bound`. With padding ``"reflect"``, where
        samples near the border count twice, it is Lanczos' estimate for signals of this shape, or
        of four kernels' lengths if they are longer.
        """
        bound = symbol_bound(self.kernel, self.stride)
        if self.padding != "reflect" or bound == 0:
            return bound
        # of a large image that of a small one, whose border has all corners and edges of the large
        # one's, or that of its middle
        unit = Conv(self.kernel.detach() / bound, self.stride, "reflect")
        small = self.alike(self._domain_for_norm(domain))
        return bound * max(1.0, lanczos_bound(unit, small))

    def norm_bound_in_graph(self, domain: Size | None = None) -> Tensor:
        require(
            self.padding != "reflect",
            'The norm of a Conv with padding "reflect" cannot be exported; export the layer '
            "with_fixed_steps().",
        )
        return symbol_bound_in_graph(self.kernel, self.stride)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.kernel,)

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        if not self.kernel.requires_grad:
            return (None,)
        return (kernel_gradient(dual, self._padded(primal), self.kernel, self.stride),)

    def gradients_onto(
        self, totals: list[Tensor | None], dual: Tensor, primal: Tensor, scale: float
    ) -> None:
        if self.kernel.requires_grad:
            x = self._padded(primal)
            totals[0] = add_kernel_gradient(totals[0], dual, x, self.kernel, self.stride, scale)

    def extra_repr(self) -> str:
        return f'kernel={tuple(self.kernel.shape)}, stride={self.stride}, padding="{self.padding}"'

    def _ends(self) -> list[tuple[int, int]]:
        """What is added before and after each axis."""
        taps = self.kernel.shape[2:]
        if self.padding == "none":
            return [(0, 0) for _ in taps]
        if self.padding == "full":
            return [(k - 1, k - 1) for k in taps]
        return [((k - 1) // 2, k // 2) for k in taps]

    def _padded(self, x: Tensor) -> Tensor:
        ends = self._ends()
        if not any(map(any, ends)):
            return x
        backwards = [n for end in reversed(ends) for n in end]
        mode = self.padding if self.padding in ("circular", "reflect") else "constant"
        return functional.pad(x, backwards, mode)


def _strides(stride: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    given = stride if isinstance(stride, tuple | list) else (stride,) * axes
    try:
        strides = tuple(map(operator.index, given))
    except TypeError:
        strides = ()
    require(
        len(strides) == axes and min(strides) >= 1,
        f"Conv's stride is {stride!r}; give a whole number of at least 1, or one for each of the "
        f"kernel's {axes} spatial axes.",
    )
    return strides


def _unpadded(z: Tensor, axis: int, n: int, before: int, after: int, padding: Padding) -> Tensor:
    """The adjoint of padding an axis of n entries."""
    middle = z.narrow(axis, before, n)
    if padding not in ("circular", "reflect") or before + after == 0:
        return middle
    middle = middle.clone(memory_format=torch.contiguous_format)
    left, right = z.narrow(axis, 0, before), z.narrow(axis, before + n, after)
    if padding == "circular":
        middle.narrow(axis, n - before, before).add_(left)
        middle.narrow(axis, 0, after).add_(right)
    else:
        middle.narrow(axis, 1, before).add_(left.flip(axis))
        middle.narrow(axis, n - 1 - after, after).add_(right.flip(axis))
    return middle
