"""The orthonormal wavelet transform of periodic signals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.tensors import require


class Wavelet(Operator):
    """The orthonormal wavelet transform along the last axes of a sample, of periodic signals.

    Coefficients have the shape of the signal: the coarsest approximation lies in the corner at the
    origin, and the details of each level fill the rest of twice its size (Mallat, "A Wavelet Tour
    of Signal Processing", 2009, 7.3 and 7.7). The adjoint is the inverse, ‖K‖ = 1. Signals that
    should not be joined at their ends take :class:`~ergodual.SymmetricWavelet`.

    Parameters
    ----------
    name
        ``"haar"``, or ``"db1"`` to ``"db10"``, Daubechies' with so many vanishing moments; or the
        scaling filter itself, an even count of numbers that are orthonormal to their even shifts,
        as ``pywt.Wavelet("sym8").rec_lo`` has them.
    levels
        How many; as many as the signal allows if None.
    axes
        How many axes, from the last one; each is halved at each level.

    Raises
    ------
    ErgodualError
        If there is no such wavelet, or the filter is not orthonormal, or, when a signal comes, an
        axis cannot be halved so often, or the wavelet is longer than it.

    Examples
    --------
    >>> K = ed.Wavelet("haar", levels=1, axes=1)
    >>> x = torch.tensor([[1.0, 1.0, 2.0, 2.0]])
    >>> torch.allclose(K.T(K(x)), x, atol=1e-6)
    True
    """

    def __init__(
        self, name: str | Sequence[float] = "db4", levels: int | None = None, axes: int = 2
    ) -> None:
        super().__init__()
        require(
            levels is None or levels >= 1,
            f"Wavelet's levels are {levels}; give 1 or more, or None.",
        )
        require(axes >= 1, f"Wavelet's axes are {axes}; give how many are transformed, at least 1.")
        self.name, self.levels, self.axes = name if isinstance(name, str) else "given", levels, axes
        self._pair = filters(name)

    def forward(self, x: Tensor) -> Tensor:
        return self._analysed(x, self._levels_of(x.shape[1:]))

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, y.shape[1:] if domain is None else domain)
        return self._synthesised(y, self._levels_of(y.shape[1:]))

    def codomain(self, domain: Size) -> Size:
        self._levels_of(domain)
        return domain

    def domain(self, codomain: Size) -> Size:
        return codomain

    def norm(self, domain: Size | None = None) -> Tensor:
        return torch.ones(())

    def norm_bound(self, domain: Size | None = None) -> float:
        return 1 + 1e-6  # what rounding adds

    def details(self, domain: Sequence[int]) -> Tensor:
        """1 where samples of this shape have details and 0 where the coarsest approximation, which
        most regularisers leave alone: ``L1(0.1 * K.details((64, 64)))``.
        """
        mask = torch.ones(*domain, dtype=torch.float64)
        levels = self._levels_of(mask.shape)
        self._corner(mask, levels).zero_()
        return mask.to(torch.get_default_dtype())

    def extra_repr(self) -> str:
        return f'"{self.name}", levels={self.levels}, axes={self.axes}'

    def _analysed(self, x: Tensor, levels: int) -> Tensor:
        if levels == 0:
            return x
        pair = self._pair.to(x)
        for axis in range(-self.axes, 0):
            pairs = torch.unflatten(x.movedim(axis, -1), -1, (-1, 2))
            # frame i lies on the samples from 2i on
            frames = torch.cat([pairs.roll(-j, -2) for j in range(pair.shape[1] // 2)], -1)
            bands = (frames @ pair.T).transpose(-1, -2).flatten(-2)
            x = bands.movedim(-1, axis)
        return self._with_corner(x, lambda corner: self._analysed(corner, levels - 1))

    def _synthesised(self, y: Tensor, levels: int) -> Tensor:
        if levels == 0:
            return y
        pair = self._pair.to(y)
        y = self._with_corner(y, lambda corner: self._synthesised(corner, levels - 1))
        for axis in range(-self.axes, 0):
            bands = torch.stack(y.movedim(axis, -1).chunk(2, -1), -1)
            frames = torch.unflatten(bands @ pair, -1, (-1, 2))
            parts = [part.roll(j, -2) for j, part in enumerate(frames.unbind(-2))]
            y = sum(parts[1:], parts[0]).flatten(-2).movedim(-1, axis)
        return y

    def _with_corner(self, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """x with its half at the origin changed."""
        found = change(self._corner(x, 1))
        for axis in range(-1, -self.axes - 1, -1):
            half = x.shape[axis] // 2
            beside = x.narrow(axis, half, half)
            for other in range(-self.axes, axis):
                beside = beside.narrow(other, 0, beside.shape[other] // 2)
            found = torch.cat([found, beside], axis)
        return found

    def _corner(self, x: Tensor, levels: int) -> Tensor:
        """A view of what lies at the origin after so many halvings."""
        for axis in range(-self.axes, 0):
            x = x.narrow(axis, 0, x.shape[axis] >> levels)
        return x

    def _levels_of(self, domain: Size) -> int:
        taps = self._pair.shape[1]
        sizes, possible = list(domain[-self.axes :]), 0
        while len(domain) >= self.axes and all(n % 2 == 0 and n >= taps for n in sizes):
            sizes, possible = [n // 2 for n in sizes], possible + 1
        wanted = max(1, possible) if self.levels is None else self.levels
        if wanted > possible:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, whose last {self.axes} axes allow {possible} "
                f"levels of a wavelet of {taps} taps, not {wanted}: each axis is halved, and no "
                "shorter than the wavelet; give fewer levels, a shorter wavelet or other lengths."
            )
        return wanted


def filters(name: str | Sequence[float]) -> Tensor:
    """The scaling filter and the wavelet's, ``(2, taps)``, of a name or a scaling filter."""
    low = daubechies(name) if isinstance(name, str) else np.asarray(name, dtype=np.float64)
    _require_orthonormal(low)
    high = low[::-1] * (-1.0) ** np.arange(len(low))
    return torch.from_numpy(np.stack([low, high]))


def daubechies(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The scaling filter of so many vanishing moments p and 2p taps, of least phase.

    By spectral factorisation: Σ_k C(p − 1 + k, k) y^k with y = (2 − z − 1/z)/4 is split into the
    roots inside of the unit circle and the others (Daubechies, "Ten Lectures on Wavelets", 1992,
    6.1 and 6.4).

    Raises
    ------
    ErgodualError
        If the name is none of them.
    """
    found = re.fullmatch(r"db([1-9]|10)", "db1" if name == "haar" else name)
    if found is None:
        raise ErgodualError(
            f'There is no wavelet "{name}" here; give "haar", "db1" to "db10", or the scaling '
            "filter of another one, as pywt.Wavelet(name).rec_lo."
        )
    p = int(found[1])
    in_y = [math.comb(p - 1 + k, k) for k in range(p)]
    filter_ = np.ones(1)
    for y in np.roots(in_y[::-1]):
        # z + 1/z = 2 − 4y
        both = np.roots([1, 4 * y - 2, 1])
        filter_ = np.convolve(filter_, [1, -both[np.argmin(np.abs(both))]])
    for _ in range(p):
        filter_ = np.convolve(filter_, [1, 1])
    low = np.real(filter_)
    return np.asarray(low * (math.sqrt(2) / low.sum()), dtype=np.float64)


def _require_orthonormal(low: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    require(
        low.ndim == 1 and len(low) >= 2 and len(low) % 2 == 0,
        f"Wavelet's filter has shape {low.shape}; give an even count of numbers.",
    )
    products = [float(low[2 * k :] @ low[: len(low) - 2 * k]) for k in range(len(low) // 2)]
    off = max(abs(products[0] - 1), *map(abs, products[1:]), 0.0)
    require(
        off <= 1e-8,
        f"Wavelet's filter is off by {off:.1e} from being orthonormal to its even shifts; give "
        "that of an orthogonal wavelet, with all its digits.",
    )
