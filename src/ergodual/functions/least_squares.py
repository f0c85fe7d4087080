"""Least squares data terms whose prox has a closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function
from ergodual.operators.base import Operator
from ergodual.operators.dense import Dense
from ergodual.operators.elementary import Diagonal, Identity
from ergodual.operators.spectral import Blur, Dct, Fourier
from ergodual.operators.stft import Stft
from ergodual.operators.wavelet import Wavelet
from ergodual.tensors import (
    Number,
    dots,
    largest,
    require_finite,
    require_weight,
    room,
    total,
)

FLAT = 100.0
"""From which ratio of its curvatures on least squares have directions that they hardly see."""


class Quadratic(Function):
    """f(x) = ½ λ ‖Ax − b‖², taken by its prox, so that only the regulariser has a dual variable.

    With λAᵀA = WᵀDW in a basis W where it is diagonal, prox_{τf}(z) = Wᵀ(1 + τD)⁻¹W(z + τλAᵀb) and
    f*(y) = ½ (y + λAᵀb)ᵀ(λAᵀA)⁺(y + λAᵀb) − ½ λ‖b‖² on the range of AᵀA, ∞ elsewhere (Afonso,
    Bioucas-Dias, Figueiredo, "Fast image recovery using variable splitting", 2010). As the G of
    ``Problem(F, Quadratic(A, b), K)``, whose observation is then the zero image;
    ``solve(InverseProblem(A=A, data=SquaredL2(λ), …), b)`` poses it so by itself where that is
    faster.

    Parameters
    ----------
    A
        Identity, Diagonal, Fourier, Blur that is circular, Dense, or a tight frame, as Dct, Wavelet
        and Stft are; fixed.
    b
        ``(batch, *codomain)``, or one for all samples, ``(1, *codomain)``.
    domain
        The shape of a sample of x, where that of b does not tell it.
    weight
        λ ≥ 0, a number that is not learned.

    Raises
    ------
    ErgodualError
        If A is none of these or is learned, b does not fit it or is not finite, or the weight is
        negative.

    Examples
    --------
    >>> f = ed.Quadratic(ed.Identity(), torch.tensor([[1.0, 3.0]]))
    >>> f.prox(torch.tensor([[0.0, 0.0]]), 1.0)
    tensor([[0.5000, 1.5000]])
    """

    per_sample: ClassVar[tuple[str, ...] | None] = ()
    b: Tensor
    _back: Tensor
    eigenvalues: Tensor

    def __init__(
        self,
        A: Operator,
        b: Tensor,
        domain: tuple[int, ...] | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        require_weight("Quadratic's weight", weight)
        if any(t.requires_grad for t in A.tensors()):
            raise ErgodualError(
                f"Quadratic's {type(A).__name__} is learned, and its eigenvalues are not; call "
                "A.requires_grad_(False), or give A to InverseProblem."
            )
        shape = A.domain(b.shape[1:]) if domain is None else Size(domain)
        if A.codomain(shape) != b.shape[1:]:
            raise ErgodualError(
                f"Quadratic's b has samples of shape {tuple(b.shape[1:])}, and A makes "
                f"{tuple(A.codomain(shape))} of x of shape {tuple(shape)}; make them agree."
            )
        require_finite("Quadratic's b", b)
        self.A = A
        self.register_buffer("b", b)
        self.weight = weight
        self.register_buffer("_back", weight * A.adjoint(b, shape))
        with torch.no_grad():
            self._basis = _diagonalised(A, shape)
        self.register_buffer("eigenvalues", weight * self._basis.eigenvalues.to(b))

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether A is diagonal."""
        return isinstance(self.A, Identity | Diagonal)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self._back,)

    def value(self, x: Tensor) -> Tensor:
        return 0.5 * self.weight * total((self.A(x) - self.b).square())

    def conjugate(self, y: Tensor) -> Tensor:
        d, moved = self.eigenvalues, y + self._back
        seen = d > d.amax() * d.numel() * torch.finfo(d.dtype).eps
        inverse = torch.where(seen, 1 / torch.where(seen, d, 1.0), 0.0)
        # around A⁺b: the square of all of y + λAᵀb less that of b would cost the digits of both
        least = self._filtered(self._back, inverse)
        found = dots(y, 0.5 * self._filtered(y, inverse) + least) - self.value(least)
        # what is outside of the range by a rounding does not count
        beside = largest(self._filtered(moved, (~seen).to(d)))
        slack = room(y[0:1].numel(), y.dtype) * largest(moved)
        return torch.where(beside <= slack, found, torch.inf)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return self._filtered(z + step * self._back, 1 / (1 + step * self.eigenvalues))

    def strong_convexity(self) -> float:
        return float(self.eigenvalues.amin())

    def smoothness(self) -> float:
        return float(self.eigenvalues.amax())

    def steady(self) -> bool:
        """Whether f bends alike in all directions in which it bends at all, as behind a mask."""
        d = self.eigenvalues
        return bool(((d == 0) | (FLAT * d >= d.amax())).all())

    def check(self, batch: int, sample: Size) -> None:
        if sample != self._back.shape[1:] or len(self._back) not in (1, batch):
            raise ErgodualError(
                f"Quadratic is a function of {len(self._back)} samples of shape "
                f"{tuple(self._back.shape[1:])}, and meets {batch} of shape {tuple(sample)}; give "
                "the zero image in that shape as observation."
            )

    def of_samples(self, rows: Tensor, batch: Size) -> Function:
        chosen = super().of_samples(rows, batch)
        if len(self.b) > 1:
            chosen._buffers["b"], chosen._buffers["_back"] = self.b[rows], self._back.detach()[rows]
        return chosen

    def _filtered(self, x: Tensor, factors: Tensor) -> Tensor:
        # of no samples there is nothing to be filtered, and torch's FFT makes an error of them
        return self._basis.back(self._basis.to(x) * factors) if len(x) else x.clone()


class _Basis(NamedTuple):
    """W, Wᵀ, and the eigenvalues D, which broadcast against a sample of Wx."""

    to: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]
    eigenvalues: Tensor


def _diagonalised(A: Operator, domain: Size) -> _Basis:
    if isinstance(A, Identity | Dct | Wavelet | Stft):
        return _Basis(_same, _same, torch.ones([1] * len(domain)))
    if isinstance(A, Diagonal):
        return _Basis(_same, _same, A.diagonal.square().expand(domain))
    if isinstance(A, Dense):
        values, vectors = torch.linalg.eigh(A.matrix.T @ A.matrix)
        return _Basis(
            lambda x: x @ vectors.to(x), lambda c: c @ vectors.to(c).T, values.clamp(min=0)
        )
    if isinstance(A, Fourier) and not A.real:
        whole = Fourier()
        return _Basis(whole, whole.adjoint, _mask(A, domain[1:]).square())
    if isinstance(A, Fourier):
        axes = tuple(range(1, len(domain) + 1))
        squares = _mask(A, domain).square()
        along = tuple(range(len(domain)))
        opposite = squares.flip(along).roll([1] * len(along), along)
        even = (0.5 * (squares + opposite))[..., : domain[-1] // 2 + 1]
        return _filter(axes, domain, even)
    if isinstance(A, Blur) and A.boundary == "circular":
        axes = tuple(range(-A.kernel.ndim, 0))
        return _filter(axes, domain[-A.kernel.ndim :], A.transfer(domain).abs().square())
    raise ErgodualError(
        f"Quadratic's A is {A}, for which the prox has no closed form here; give Identity, "
        "Diagonal, Fourier, a circular Blur, Dense, Dct, Wavelet or Stft, or give A to "
        "InverseProblem."
    )


def _filter(axes: tuple[int, ...], sizes: Size, eigenvalues: Tensor) -> _Basis:
    return _Basis(
        lambda x: torch.fft.rfftn(x, dim=axes),
        lambda c: torch.fft.irfftn(c, list(sizes), axes),
        eigenvalues,
    )


def _mask(A: Fourier, sizes: Size) -> Tensor:
    return torch.ones(sizes) if A.mask is None else A.mask


def _same(x: Tensor) -> Tensor:
    return x
