"""A dense matrix as an analysis operator."""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators.base import Operator
from ergodual.operators.dense_norms import LineFinder, line_above_in_graph
from ergodual.products import addmm, mm
from ergodual.tensors import described, hold_learned, transformed


class Dense(Operator):
    """K given by its matrix.

    Parameters
    ----------
    matrix
        Shape ``(m, n)``. An nn.Parameter is used as it is (and may be shared); a tensor that
        already requires a gradient is used as it is, so that the gradient flows on to whatever made
        it; any other tensor becomes a parameter.

    Raises
    ------
    ErgodualError
        If the matrix is not a floating-point matrix.

    Examples
    --------
    >>> K = ed.Dense(torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]]))
    >>> x = torch.tensor([[1.0, 2.0, 4.0]])
    >>> K(x).tolist(), K.T(K(x)).tolist()
    ([[-1.0, -2.0]], [[-1.0, -1.0, 2.0]])
    """

    joins_products: ClassVar[bool] = True
    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        if not isinstance(matrix, Tensor) or matrix.ndim != 2 or not matrix.is_floating_point():
            raise ErgodualError(
                f"Dense got {described(matrix)}; it takes a floating-point tensor (m, n)."
            )
        hold_learned(self, "matrix", matrix)
        self._lines = LineFinder()

    @classmethod
    def dct(cls, n: int, dtype: torch.dtype = torch.float32, m: int | None = None) -> Dense:
        """The DCT-II of length n at m frequencies: K_kj = c_k cos(π (2j + 1) k / 2m), c_0 = √(1/m),
        c_k = √(2/m).

        Orthonormal for m = n, the default; for m > n its columns still are (KᵀK = I), as those of
        an orthonormal DCT-II of length m.
        """
        m = n if m is None else m
        if n < 1 or m < n:
            raise ErgodualError(
                f"The DCT's length is {n} and it has {m} frequencies; give at least 1 and at "
                "least as many."
            )
        k, j = torch.arange(m, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
        matrix = torch.cos(math.pi * (2 * j + 1) * k / (2 * m)) * math.sqrt(2 / m)
        matrix[0] /= math.sqrt(2)
        return cls(matrix.to(dtype))

    @classmethod
    def dft(cls, n: int, m: int, dtype: torch.dtype = torch.float32) -> Dense:
        """Real parts, then imaginary parts, of m/2 frequencies: K_kj = √(2/m) cos(π (2j + 1 − n)(k
        + ½)/m), below with sin.

        Phases count from the middle of the frame, and KᵀK = I: half of an orthonormal DFT of length
        m between the usual frequencies, as those of a real signal come in conjugate pairs. For
        pairs of coefficients, :class:`~ergodual.L21`.
        """
        if n < 1 or m < n or m % 2:
            raise ErgodualError(
                f"The DFT's length is {n} and it has {m} rows; give at least 1 and an even number "
                "that is not below it."
            )
        k, j = (
            torch.arange(m // 2, dtype=torch.float64)[:, None],
            torch.arange(n, dtype=torch.float64),
        )
        phase = math.pi * (2 * j + 1 - n) * (k + 0.5) / m
        return cls((torch.cat([torch.cos(phase), torch.sin(phase)]) * math.sqrt(2 / m)).to(dtype))

    def extra_repr(self) -> str:
        return f"matrix={tuple(self.matrix.shape)}"

    def forward(self, x: Tensor) -> Tensor:
        self.codomain(x.shape[1:])
        return mm(x, self.matrix.T)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        self._require_dual(y, self.matrix.shape[1:])
        return mm(y, self.matrix)

    def codomain(self, domain: Size) -> Size:
        m, n = self.matrix.shape
        if len(domain) != 1 or domain[0] != n:
            raise ErgodualError(
                f"A sample has shape {tuple(domain)}; this Dense operator takes ({n},): flatten "
                f"the samples, or cut the signal into frames of {n}."
            )
        return Size((m,))

    def domain(self, codomain: Size) -> Size:
        return self.matrix.shape[1:]

    def norm(self, domain: Size | None = None) -> Tensor:
        return cast(Tensor, torch.linalg.matrix_norm(self.matrix, 2))

    def norm_bound(self, domain: Size | None = None) -> float:
        """See :class:`Operator`; at most 2 % above ‖K‖."""
        # under a transform the matrix is none to be remembered
        lines = LineFinder() if transformed() else self._lines
        return lines(self.matrix.detach())

    def norm_bound_in_graph(self, domain: Size | None = None) -> Tensor:
        return line_above_in_graph(self.matrix.double())

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.matrix,)

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor | None, ...]:
        return (mm(dual.T, primal),)

    def forward_onto(
        self,
        base: Tensor,
        x: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        if isinstance(scale, float) and isinstance(keep, float):
            return addmm(base, x, self.matrix.T, keep, scale, out)
        return super().forward_onto(base, x, scale, out, keep)

    def adjoint_onto(
        self,
        base: Tensor,
        y: Tensor,
        scale: float | Tensor,
        out: Tensor,
        keep: float | Tensor = 1.0,
    ) -> Tensor:
        if isinstance(scale, float) and isinstance(keep, float):
            return addmm(base, y, self.matrix, keep, scale, out)
        return super().adjoint_onto(base, y, scale, out, keep)

    def gradients_onto(
        self, totals: list[Tensor | None], dual: Tensor, primal: Tensor, scale: float
    ) -> None:
        old = totals[0]
        keep, total = (0.0, torch.empty_like(self.matrix)) if old is None else (1.0, old)
        totals[0] = addmm(total, dual.T, primal, keep, scale, total)
