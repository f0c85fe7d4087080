"""The wavelet transform of signals that are mirrored at their ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.nn.functional import pad

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.operators.wavelet import filters
from ergodual.tensors import require


class SymmetricWavelet(Operator):
    """The wavelet transform along the last axes of a sample, of signals mirrored at their ends.

    As :class:`~ergodual.Wavelet`, but … x_2 x_1 x_1 x_2 … in place of what a period puts there, so
    that no edge joins the two ends of a signal; for any lengths. Of n values a level makes
    ⌊(n + t − 1)/2⌋ of each kind with a filter of t taps, a few more than n together, so that K is
    no longer orthonormal: the adjoint, which is exact, is not the inverse (PyWavelets has the
    inverse; its mode ``"symmetric"`` is this K). What lies at an end counts twice at each level, so
    that ‖K‖ grows by √2 with each level of each axis.

    Coefficients are flat, ``(*leading, count)``: the coarsest approximation, then the details from
    the coarsest to the finest level, of each level by axes, the last one fastest.

    Parameters
    ----------
    name
        As of :class:`~ergodual.Wavelet`.
    levels
        How many; as many as an axis of (t − 1) 2^levels values has if None, at least one.
    axes
        How many axes, from the last one.

    Raises
    ------
    ErgodualError
        If there is no such wavelet, or the filter is not orthonormal, or, when a signal comes, it
        has fewer axes or an empty one.

    Examples
    --------
    >>> K = ed.SymmetricWavelet("db2", axes=1)
    >>> K(torch.ones(1, 9)).shape
    torch.Size([1, 12])
    """

    def __init__(
        self, name: str | Sequence[float] = "db4", levels: int | None = None, axes: int = 2
    ) -> None:
        super().__init__()
        require(
            levels is None or levels >= 1,
            f"SymmetricWavelet's levels are {levels}; give 1 or more, or None.",
        )
        require(
            axes >= 1,
            f"SymmetricWavelet's axes are {axes}; give how many are transformed, at least 1.",
        )
        self.name, self.levels, self.axes = name if isinstance(name, str) else "given", levels, axes
        self._pair = filters(name)

    def forward(self, x: Tensor) -> Tensor:
        low, details = x, list[Tensor]()
        for _ in self._shapes(x.shape[1:])[1:]:
            bands = [low]
            for axis in range(-self.axes, 0):
                bands = [half for band in bands for half in self._analysed(band, axis)]
            low, *others = bands
            details[:0] = others
        return torch.cat([band.flatten(-self.axes) for band in (low, *details)], -1)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        domain = self.domain(y.shape[1:]) if domain is None else domain
        self._require_dual(y, domain)
        shapes = self._shapes(domain)
        kinds = 2**self.axes - 1
        sizes = [shapes[-1], *(s for s in reversed(shapes[1:]) for _ in range(kinds))]
        parts = y.split([math.prod(size) for size in sizes], -1)
        low, *details = (torch.unflatten(p, -1, s) for p, s in zip(parts, sizes, strict=True))
        for shape in reversed(shapes[:-1]):
            bands, details = [low, *details[:kinds]], details[kinds:]
            for axis in range(-1, -self.axes - 1, -1):
                pairs = zip(bands[::2], bands[1::2], strict=True)
                bands = [self._synthesised(*pair, axis, shape[axis]) for pair in pairs]
            (low,) = bands
        return low

    def codomain(self, domain: Size) -> Size:
        shapes = self._shapes(domain)
        count = math.prod(shapes[-1])
        count += (2**self.axes - 1) * sum(math.prod(shape) for shape in shapes[1:])
        return Size((*domain[: -self.axes], count))

    def norm_bound(self, domain: Size | None = None) -> float:
        known: dict[Size | None, float] = self.__dict__.setdefault("_bounds", {})
        if domain not in known:
            known[domain] = super().norm_bound(domain)
        return known[domain]

    def details(self, domain: Sequence[int]) -> Tensor:
        """As of :class:`~ergodual.Wavelet`, flat."""
        shapes = self._shapes(Size(domain))
        mask = torch.ones(self.codomain(Size(domain))[-1])
        mask[: math.prod(shapes[-1])] = 0
        return mask

    def extra_repr(self) -> str:
        return f'"{self.name}", levels={self.levels}, axes={self.axes}'

    def _analysed(self, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        pair = self._pair.to(x)
        mirrored = x.movedim(axis, -1)[..., self._mirror(x.shape[axis]).to(x.device)]
        # not unfold, whose derivative vmap does not batch
        last = mirrored.shape[-1] - pair.shape[1]
        frames = [mirrored[..., j : j + last + 1 : 2] for j in range(pair.shape[1])]
        low, high = (torch.stack(frames, -1) @ pair.T).unbind(-1)
        return low.movedim(-1, axis), high.movedim(-1, axis)

    def _synthesised(self, low: Tensor, high: Tensor, axis: int, length: int) -> Tensor:
        pair = self._pair.to(low)
        frames = torch.stack([low.movedim(axis, -1), high.movedim(axis, -1)], -1) @ pair
        parts = torch.unflatten(frames, -1, (-1, 2)).unbind(-2)
        last = len(parts) - 1
        mirrored = sum(pad(part, (0, 0, j, last - j)) for j, part in enumerate(parts[1:], 1))
        mirrored = (pad(parts[0], (0, 0, 0, last)) + mirrored).flatten(-2)
        index = self._mirror(length).to(low.device)
        found = mirrored.new_zeros((*mirrored.shape[:-1], length)).index_add(-1, index, mirrored)
        return found.movedim(-1, axis)

    def _mirror(self, length: int) -> Tensor:
        """Which value lies at each place that frames reach, from 2 − t on."""
        taps = self._pair.shape[1]
        places = torch.arange(2 - taps, 2 * _half(length, taps)) % (2 * length)
        return torch.where(places < length, places, 2 * length - 1 - places)

    def _shapes(self, domain: Size) -> list[Size]:
        """Of the approximations, from the signal on."""
        taps, shape = self._pair.shape[1], Size(domain[-self.axes :])
        if len(shape) < self.axes or 0 in shape:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}, and SymmetricWavelet takes {self.axes} axes "
                "that are not empty; give others, or another axes=."
            )
        possible = max(1, (min(shape) // (taps - 1)).bit_length() - 1)
        shapes = [shape]
        for _ in range(possible if self.levels is None else self.levels):
            shapes.append(Size(_half(n, taps) for n in shapes[-1]))
        return shapes


def _half(length: int, taps: int) -> int:
    return (length + taps - 1) // 2
