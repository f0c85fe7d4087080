"""A matrix on the overlapping frames of a signal."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.nn.functional import pad

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.operators.conv_norms import symbol_bound, symbol_bound_in_graph
from ergodual.products import addmm, mm
from ergodual.tensors import described, hold_learned, require


class Framed(Operator):
    """The coefficients of every frame, (Kx)_f = M x[f · hop − (n − hop) + t], t = 0, …, n − 1.

    Samples ``(length,)`` become ``(frames, m)``: a strided convolution whose channels lie last, so
    that all frames of a batch are the rows of one product. Frames begin every ``hop`` samples, the
    first and the last as far outside of the signal, in zeros, as still touch it, so that every
    sample lies in n/hop of them.

    Parameters
    ----------
    matrix
        M, shape ``(m, n)``. An nn.Parameter is used as it is (and may be shared); a tensor that
        already requires a gradient is used as it is; any other tensor becomes a parameter.
    hop
        Samples from one frame to the next; it divides n.

    Raises
    ------
    ErgodualError
        If the matrix is not a floating-point matrix, or the hop does not divide its columns.

    Examples
    --------
    >>> K = ed.Framed.dft(n=320, hop=160, m=640)  # 320 pairs a frame
    >>> x = torch.randn(1, 1600)
    >>> K(x).shape
    torch.Size([1, 11, 640])
    >>> torch.allclose(K.adjoint(K(x), x.shape[1:]), x, atol=1e-4)  # a tight frame
    True
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor, hop: int) -> None:
        super().__init__()
        require(
            isinstance(matrix, Tensor) and matrix.ndim == 2 and matrix.is_floating_point(),
            f"Framed got {described(matrix)}; it takes a floating-point tensor (m, n).",
        )
        n = matrix.shape[1]
        require(
            isinstance(hop, int) and hop >= 1 and n >= 1 and n % hop == 0,
            f"Framed's hop is {hop}; give a whole number that divides {n}, the length of a frame.",
        )
        hold_learned(self, "matrix", matrix)
        self.hop = hop

    @classmethod
    def dft(
        cls, n: int, hop: int, m: int, gain: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> Framed:
        """Real parts, then imaginary parts, of m/2 frequencies (k + ½)π/(m/2), under the root of
        Hann's window: c √(sin²(π (t + ½)/n)) exp(iπ (2t + 1 − n)(k + ½)/m).

        Where 2 hop ≤ n ≤ m it is tight, KᵀK = gain², and ‖K‖ = gain.
        """
        if m < n or m % 2:
            raise ErgodualError(
                f"A frame has {n} samples and its DFT {m} rows; give an even number that is not "
                "below it."
            )
        t = torch.arange(n, dtype=torch.float64)
        k = torch.arange(m // 2, dtype=torch.float64)[:, None]
        window = torch.sin(math.pi * (t + 0.5) / n)
        phase = math.pi * (2 * t + 1 - n) * (k + 0.5) / m
        matrix = torch.cat([phase.cos(), phase.sin()]) * window
        # sin² sums to n/(2 hop) over the frames of a sample
        return cls((matrix * (gain * 2 * math.sqrt(hop / (n * m)))).to(dtype), hop)

    def forward(self, x: Tensor) -> Tensor:
        shape = self.codomain(x.shape[1:])
        return mm(self._frames(x), self.matrix.T, fine=True).view(len(x), *shape)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        domain = self.domain(y.shape[1:]) if domain is None else domain
        self._require_dual(y, domain)
        frames = mm(y.reshape(-1, len(self.matrix)), self.matrix)
        overlap = self.matrix.shape[1] // self.hop
        frames = frames.view(len(y), y.shape[1], overlap, self.hop)
        parts = [pad(frames[:, :, j], (0, 0, j, overlap - 1 - j)) for j in range(overlap)]
        whole = sum(parts[1:], parts[0]).flatten(1)
        lead = self._lead()
        return whole[:, lead : lead + domain[0]].contiguous()

    def codomain(self, domain: Size) -> Size:
        if len(domain) != 1 or domain[0] < 1:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}; Framed takes signals, (length,)."
            )
        m, n = self.matrix.shape
        return Size((-(-domain[0] // self.hop) + n // self.hop - 1, m))

    def norm_bound(self, domain: Size | None = None) -> float:
        """See :class:`Operator`; that of the convolution, for signals of any length."""
        return symbol_bound(self.matrix[:, None], (self.hop,))

    def alike(self, domain: Size) -> Size:
        return Size((min(domain[0], 4 * self.matrix.shape[1]),))

    def norm_bound_in_graph(self, domain: Size | None = None) -> Tensor:
        return symbol_bound_in_graph(self.matrix[:, None], (self.hop,))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.matrix,)

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        return (mm(dual.reshape(-1, len(self.matrix)).T, self._frames(primal)),)

    def forward_onto(
        self,
        base: Tensor,
        x: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        # in a stack out is a part of what is not contiguous
        if isinstance(scale, float) and isinstance(keep, float) and out.is_contiguous():
            rows = out.view(-1, len(self.matrix))
            columns = self.matrix.T
            addmm(base.reshape(rows.shape), self._frames(x), columns, keep, scale, rows, fine=True)
            return out
        return super().forward_onto(base, x, scale, out, keep)

    def gradients_onto(
        self, totals: list[Tensor | None], dual: Tensor, primal: Tensor, scale: float
    ) -> None:
        old, rows = totals[0], dual.reshape(-1, len(self.matrix)).T
        keep, total = (0.0, torch.empty_like(self.matrix)) if old is None else (1.0, old)
        totals[0] = addmm(total, rows, self._frames(primal), keep, scale, total)

    def extra_repr(self) -> str:
        return f"matrix={tuple(self.matrix.shape)}, hop={self.hop}"

    def _lead(self) -> int:
        """Zeros before the signal."""
        return self.matrix.shape[1] - self.hop

    def _frames(self, x: Tensor) -> Tensor:
        """Those of all samples, one a row."""
        lead, hop = self._lead(), self.hop
        padded = pad(x, (lead, lead + -x.shape[1] % hop))
        pieces = padded.view(len(x), padded.shape[1] // hop, hop)
        overlap = lead // hop + 1
        count = pieces.shape[1] - overlap + 1
        return torch.cat([pieces[:, j : j + count] for j in range(overlap)], -1).flatten(0, 1)
