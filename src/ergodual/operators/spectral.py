"""Operators that the fast Fourier transform applies: blur, Fourier with a mask, cosines."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.operators.norms import not_finite
from ergodual.tensors import described, hold, of_any_batch, require

Boundary = Literal["circular", "zero"]


class Blur(Operator):
    """Convolution of every channel with one kernel, (Kx)[i] = Σ_t k[t] x[i + c − t], by FFT.

    c is the kernel's centre, (s − 1) // 2 on an axis of s taps. It works on the last axes of a
    sample, as many as the kernel has, and keeps the shape. For a few taps :class:`~ergodual.Conv`
    is as fast; it correlates, so that its kernel is the flipped one. ‖K‖ = max |k̂| where circular,
    and at most that of the padded signal else (Hansen, Nagy, O'Leary, "Deblurring Images", 2006).

    Parameters
    ----------
    kernel
        k, of 1 to 3 axes; an nn.Parameter is learned, any other tensor fixed.
    boundary
        What is outside of the signal: ``"circular"``, the signal again, or ``"zero"``.

    Raises
    ------
    ErgodualError
        If the kernel is no such tensor, the boundary none of these, or, when a signal comes, it is
        shorter than the kernel.

    Examples
    --------
    >>> K = ed.Blur(torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64))
    >>> K(torch.tensor([[[0.0, 0.0, 4.0, 0.0, 0.0]]], dtype=torch.float64)).round().abs()
    tensor([[[0., 1., 2., 1., 0.]]], dtype=torch.float64)
    """

    kernel: Tensor

    def __init__(self, kernel: Tensor, boundary: Boundary = "circular") -> None:
        super().__init__()
        require(
            isinstance(kernel, Tensor)
            and kernel.is_floating_point()
            and kernel.ndim in (1, 2, 3)
            and kernel.numel() > 0,
            f"Blur got a kernel that is {described(kernel)}; give a floating-point tensor of 1 to "
            "3 axes.",
        )
        require(
            boundary in get_args(Boundary),
            f"Blur's boundary is {boundary!r}; choose one of {get_args(Boundary)}.",
        )
        hold(self, "kernel", kernel)
        self.boundary = boundary
        self._known: tuple[Tensor, tuple[object, ...], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        return self._filtered(x, self.transfer(x.shape[1:]))

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, y.shape[1:] if domain is None else domain)
        return self._filtered(y, self.transfer(y.shape[1:]).conj())

    def codomain(self, domain: Size) -> Size:
        taps = self.kernel.shape
        pairs = zip(reversed(taps), reversed(domain), strict=False)
        if len(domain) < len(taps) or any(n < s for s, n in pairs):
            raise ErgodualError(
                f"A sample has shape {tuple(domain)} and Blur's kernel {tuple(taps)}; give signals "
                "that are no shorter than the kernel."
            )
        return domain

    def domain(self, codomain: Size) -> Size:
        return codomain

    def norm(self, domain: Size | None = None) -> Tensor:
        if self.boundary == "zero":
            return super().norm(domain)
        found: Tensor = self.transfer(self._domain_for_norm(domain)).abs().amax()
        return found

    def norm_bound(self, domain: Size | None = None) -> float:
        bound = float(self.transfer(self._domain_for_norm(domain)).detach().abs().amax())
        if not math.isfinite(bound):
            raise not_finite(self)
        return bound

    def extra_repr(self) -> str:
        return f'kernel={tuple(self.kernel.shape)}, boundary="{self.boundary}"'

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.kernel.ndim, 0))

    def _sizes(self, sample: Size) -> list[int]:
        """The lengths of the axes that are transformed, with zeros for what would come around."""
        taps = self.kernel.shape
        more = [0 if self.boundary == "circular" else s - 1 for s in taps]
        return [n + m for n, m in zip(sample[-len(taps) :], more, strict=True)]

    def transfer(self, sample: Size) -> Tensor:
        """k̂ of ``torch.fft.rfftn``, for samples of this shape; that of a fixed kernel is kept."""
        k, sizes = self.kernel, self._sizes(sample)
        key = (*sizes, k.dtype, k.device, k._version)
        if self._known is not None and self._known[0] is k and self._known[1] == key:
            return self._known[2]
        whole = torch.nn.functional.pad(
            k,
            [
                m
                for n, s in zip(reversed(sizes), reversed(k.shape), strict=True)
                for m in (0, n - s)
            ],
        )
        centred = whole.roll([-((s - 1) // 2) for s in k.shape], self._axes())
        transfer: Tensor = torch.fft.rfftn(centred, dim=self._axes())
        if not k.requires_grad and not torch.compiler.is_compiling():
            self._known = (k, key, transfer)
        return transfer

    def _filtered(self, x: Tensor, transfer: Tensor) -> Tensor:
        axes, sizes = self._axes(), self._sizes(x.shape[1:])
        found = of_any_batch(
            lambda z: torch.fft.irfftn(torch.fft.rfftn(z, sizes, axes) * transfer, sizes, axes), x
        )
        for axis in axes:
            found = found.narrow(axis, 0, x.shape[axis])
        return found.contiguous()


class Fourier(Operator):
    """The orthonormal discrete Fourier transform, times a mask: what a magnetic resonance scanner
    measures.

    Complex numbers are two real channels, real and imaginary parts, before the axes that are
    transformed: ``(2, *s)`` to ``(2, *s)``; or, with ``real``, images ``s`` to ``(2, *s)``. Zero
    frequency is at index 0, as ``torch.fft.fftn`` has it. ‖K‖ = max |m|, and, of real images, the
    root of max ½(m(ω)² + m(−ω)²) (Lustig, Donoho, Pauly, "Sparse MRI", 2007).

    Parameters
    ----------
    mask
        m, of the shape of s: 1 where a frequency is measured and 0 where not, or any weights; an
        nn.Parameter is learned. None for all of them.
    real
        Whether inputs are real.

    Raises
    ------
    ErgodualError
        If the mask is not floating-point, or, when a signal comes, of another shape.

    Examples
    --------
    >>> mask = torch.rand(8, 8).round()  # what is measured
    >>> ed.Fourier(mask, real=True)(torch.rand(1, 8, 8)).shape  # real and imaginary parts
    torch.Size([1, 2, 8, 8])
    """

    def __init__(self, mask: Tensor | None = None, *, real: bool = False) -> None:
        super().__init__()
        require(
            mask is None or (isinstance(mask, Tensor) and mask.is_floating_point()),
            f"Fourier's mask is {described(mask)}; convert it with mask.to(x.dtype).",
        )
        self.real = real
        if mask is None:
            self.mask = None
        else:
            hold(self, "mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        z = x if self.real else torch.complex(x[:, 0], x[:, 1])
        axes = tuple(range(1, z.ndim))
        seen = of_any_batch(lambda t: torch.fft.fftn(t, dim=axes, norm="ortho"), z)
        y = torch.stack([seen.real, seen.imag], 1)
        return y if self.mask is None else self.mask * y

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, self.domain(y.shape[1:]) if domain is None else domain)
        y = y if self.mask is None else self.mask * y
        z = torch.complex(y[:, 0], y[:, 1])
        axes = tuple(range(1, z.ndim))
        x = of_any_batch(lambda t: torch.fft.ifftn(t, dim=axes, norm="ortho"), z)
        return x.real.contiguous() if self.real else torch.stack([x.real, x.imag], 1)

    def codomain(self, domain: Size) -> Size:
        sizes = domain if self.real else domain[1:]
        if not self.real and (len(domain) < 2 or domain[0] != 2):
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, and Fourier takes (2, *s), real and "
                "imaginary parts; give that, or Fourier(mask, real=True)."
            )
        if self.mask is not None and self.mask.shape != sizes:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, of which {tuple(sizes)} is transformed, and "
                f"Fourier's mask {tuple(self.mask.shape)}; make the mask as large."
            )
        return Size((2, *sizes))

    def domain(self, codomain: Size) -> Size:
        return codomain[1:] if self.real else codomain

    def norm(self, domain: Size | None = None) -> Tensor:
        if self.mask is None:
            return torch.ones(())
        if not self.real:
            return self.mask.abs().amax()
        axes = tuple(range(self.mask.ndim))
        opposite = self.mask.flip(axes).roll([1] * len(axes), axes)
        return (0.5 * (self.mask.square() + opposite.square())).amax().sqrt()

    def norm_bound(self, domain: Size | None = None) -> float:
        bound = float(self.norm(domain).detach())
        if not math.isfinite(bound):
            raise not_finite(self)
        return bound * (1 + 1e-6)  # what rounding adds

    def extra_repr(self) -> str:
        return f"mask={None if self.mask is None else tuple(self.mask.shape)}, real={self.real}"


class Dct(Operator):
    """The orthonormal cosine transform (DCT-II) along the last axes of a sample, by FFT.

    Its adjoint is its inverse, ‖K‖ = 1 (Makhoul, "A fast cosine transform in one and two
    dimensions", 1980). ``Dense.dct(n)`` is the same as a matrix that can be learned.

    Parameters
    ----------
    axes
        How many axes, from the last one.

    Raises
    ------
    ErgodualError
        If there is none, or, when a signal comes, it has fewer.

    Examples
    --------
    >>> ed.Dct()(torch.ones(1, 4)).round(decimals=4).abs()
    tensor([[2., 0., 0., 0.]])
    """

    def __init__(self, axes: int = 1) -> None:
        super().__init__()
        require(axes >= 1, f"Dct's axes are {axes}; give how many are transformed, at least 1.")
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        for axis in range(-self.axes, 0):
            x = _dct(x.movedim(axis, -1)).movedim(-1, axis)
        return x.contiguous()

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, y.shape[1:] if domain is None else domain)
        for axis in range(-self.axes, 0):
            y = _inverse_dct(y.movedim(axis, -1)).movedim(-1, axis)
        return y.contiguous()

    def codomain(self, domain: Size) -> Size:
        if len(domain) < self.axes:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, and Dct transforms {self.axes} axes; give as "
                "many, or fewer axes=."
            )
        return domain

    def domain(self, codomain: Size) -> Size:
        return codomain

    def norm(self, domain: Size | None = None) -> Tensor:
        return torch.ones(())

    def norm_bound(self, domain: Size | None = None) -> float:
        return 1 + 1e-6  # what rounding adds

    def extra_repr(self) -> str:
        return f"axes={self.axes}"


def _dct(x: Tensor) -> Tensor:
    """Of the last axis: that of x[0], x[2], …, x[3], x[1] is a real FFT, turned."""
    n = x.shape[-1]
    order = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    turned = of_any_batch(torch.fft.fft, order) * _turn(x, -1.0)
    found: Tensor = turned.real * _scales(x, n)
    return found


def _inverse_dct(y: Tensor) -> Tensor:
    n = y.shape[-1]
    y = y / _scales(y, n)
    # fft(order)_k = (y_k − i y_{n−k}) e^{iπk/2n}, with y_n = 0
    mirrored = torch.cat([torch.zeros_like(y[..., :1]), y[..., 1:].flip(-1)], -1)
    order = of_any_batch(torch.fft.ifft, torch.complex(y, -mirrored) * _turn(y, 1.0)).real
    half = (n + 1) // 2
    even, odd = order[..., :half], order[..., half:].flip(-1)
    if n % 2:
        odd = (
            torch.cat([odd, torch.zeros_like(odd[..., :1])], -1)
            if n > 1
            else torch.zeros_like(even)
        )
    return torch.stack([even, odd], -1).flatten(-2)[..., :n]


def _turn(like: Tensor, sign: float) -> Tensor:
    n = like.shape[-1]
    angles = torch.arange(n, dtype=like.dtype, device=like.device) * (sign * math.pi / (2 * n))
    return torch.polar(torch.ones_like(angles), angles)


def _scales(like: Tensor, n: int) -> Tensor:
    scales = torch.full((n,), math.sqrt(2 / n), dtype=like.dtype, device=like.device)
    scales[0] = math.sqrt(1 / n)
    return scales
