"""The short-time Fourier transform as a tight frame."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.tensors import described, of_any_batch, require


class Stft(Operator):
    """The short-time Fourier transform of real signals, scaled to a tight frame: KᵀK = 1, ‖K‖ = 1.

    From ``(batch, *c, n)`` to ``(batch, 2, *c, frequencies, frames)``, real and imaginary parts
    first, so that ``L21(weight, dim=1)`` is the ℓ1 norm of complex coefficients. Frames begin every
    ``hop`` samples, the first and the last as far outside of the signal, in zeros, as still touch
    it, and a window is divided by the root of the sum of squares of its shifts (Daubechies,
    Grossmann, Meyer, "Painless nonorthogonal expansions", 1986).

    Parameters
    ----------
    window
        A whole number, of samples of a Hann window; or the window itself, a floating-point tensor.
    hop
        Samples from one frame to the next; a quarter of the window if None.

    Raises
    ------
    ErgodualError
        If the hop is below 1 or longer than the window, or the windows leave samples out.

    Examples
    --------
    >>> K = ed.Stft(64, hop=16)
    >>> x = torch.randn(1, 256)
    >>> torch.allclose(K.adjoint(K(x), x.shape[1:]), x, atol=1e-5)
    True
    """

    def __init__(self, window: int | Tensor, hop: int | None = None) -> None:
        super().__init__()
        if isinstance(window, int):
            require(window >= 2, f"Stft's window has {window} samples; give 2 or more.")
            window = torch.hann_window(window, dtype=torch.float64)
        require(
            isinstance(window, Tensor) and window.is_floating_point() and window.ndim == 1,
            f"Stft's window is {described(window)}; give a whole number, or a floating-point "
            "tensor of one axis.",
        )
        s = len(window)
        hop = max(1, s // 4) if hop is None else hop
        require(1 <= hop <= s, f"Stft's hop is {hop}; give 1 to {s}, the window's length.")
        squares = torch.nn.functional.pad(window.double().square(), (0, -s % hop)).view(-1, hop)
        covered = squares.sum(0)
        require(
            covered > 1e-6 * covered.max(),
            f"Stft's windows leave samples out at hop {hop}; give a smaller hop.",
        )
        self.hop = hop
        self._window = window.double() / covered.sqrt().repeat(-(-s // hop))[:s]

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        before, after = self._ends(x.shape[-1])
        count, overlap = self._counts(x.shape[-1])
        pieces = torch.unflatten(torch.nn.functional.pad(x, (before, after)), -1, (-1, self.hop))
        frames = torch.cat([pieces.narrow(-2, j, count) for j in range(overlap)], -1)
        frames = frames[..., : len(self._window)] * self._window.to(x)
        seen = of_any_batch(lambda t: torch.fft.rfft(t, norm="ortho"), frames).transpose(-1, -2)
        scales = self._scales(x)
        return torch.stack([seen.real * scales, seen.imag * scales], 1)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        domain = self.domain(y.shape[1:]) if domain is None else domain
        self._require_dual(y, domain)
        n, s = domain[-1], len(self._window)
        # those that stand for two frequencies count twice in irfft
        y = y / self._scales(y)
        z = torch.complex(y[:, 0], y[:, 1]).transpose(-1, -2)
        frames = of_any_batch(lambda t: torch.fft.irfft(t, s, norm="ortho"), z)
        frames = frames * self._window.to(y)
        before, _ = self._ends(n)
        _, overlap = self._counts(n)
        whole = torch.nn.functional.pad(frames, (0, overlap * self.hop - s))
        added = [
            torch.nn.functional.pad(piece, (0, 0, j, overlap - 1 - j))
            for j, piece in enumerate(torch.split(whole, self.hop, -1))
        ]
        return sum(added[1:], added[0]).flatten(-2)[..., before : before + n].contiguous()

    def codomain(self, domain: Size) -> Size:
        if not domain or domain[-1] < 1:
            raise ErgodualError(f"A sample has shape {tuple(domain)}; Stft needs a signal.")
        frames, _ = self._counts(domain[-1])
        return Size((2, *domain[:-1], len(self._window) // 2 + 1, frames))

    def norm(self, domain: Size | None = None) -> Tensor:
        return torch.ones(())

    def norm_bound(self, domain: Size | None = None) -> float:
        return 1 + 1e-6  # what rounding adds

    def extra_repr(self) -> str:
        return f"window={len(self._window)}, hop={self.hop}"

    def _ends(self, n: int) -> tuple[int, int]:
        """Zeros before and after, so that every sample lies in as many frames as any."""
        frames, overlap = self._counts(n)
        before = (overlap - 1) * self.hop
        return before, (frames + overlap - 1) * self.hop - before - n

    def _counts(self, n: int) -> tuple[int, int]:
        """How many frames there are, and how many hops a window takes."""
        overlap = -(-len(self._window) // self.hop)
        return overlap - 1 + -(-n // self.hop), overlap

    def _scales(self, like: Tensor) -> Tensor:
        """√2 for what stands for two frequencies, ``(frequencies, 1)``."""
        s = len(self._window)
        scales = torch.full((s // 2 + 1, 1), math.sqrt(2), dtype=like.dtype, device=like.device)
        scales[0] = 1.0
        if s % 2 == 0:
            scales[-1] = 1.0
        return scales
