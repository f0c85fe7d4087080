"""Upper bounds of the norms of convolutions, from their symbols."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from ergodual.errors import NotFiniteError

POINTS = 16
"""Points of the mesh an axis, for each tap beyond the first: at most 1 % too much an axis."""
ROUNDING = 1e-12
"""What is added, relatively, for the rounding errors of float64."""
SURE = 1e-2
"""How far above a frequency's eigenvalue, relatively, the others are shown to stay below."""


def symbol_bound(kernel: Tensor, stride: tuple[int, ...]) -> float:
    """A number not below the norm of the convolution on signals of every length and boundary.

    The symbol Ĥ(ω) = Σ_t H_t exp(−iω·t) is a C_out × C_in matrix for each frequency, and its
    largest singular value over all ω is the norm on ℤᵈ. Periodic signals see some of the
    frequencies, and zeros outside are a restriction: both norms are at most that. v*ĤᴴĤv is a
    trigonometric polynomial of degree s − 1 an axis, which by the inequality of M. Riesz keeps
    cos((s − 1) δ) of its maximum at distance δ: on a mesh of N = 16 (s − 1) points (1 for s = 1)
    the maximum is missed by a factor of at most 1/√cos(π (s − 1)/N) = 1.0097 an axis.

    With a stride q the input's q phases count as channels, and the kernels have ⌈s/q⌉ taps.

    Parameters
    ----------
    kernel
        Shape ``(C_out, C_in, *s)``.
    stride
        One for each spatial axis.

    Returns
    -------
    float
        A function of the kernel alone, in float64. Where there is more than one channel on the
        smaller side, it may be another 0.5 % larger.

    Raises
    ------
    NotFiniteError
        If the kernel has entries that are not finite.

    Notes
    -----
    With m the smaller number of channels, M the larger one, T taps in all, and F frequencies
    (half of the mesh, as the kernel is real), it costs 2 M (T m)² operations for the Gram matrix,
    and F Cholesky factorisations of m × m matrices; for m = 1 only the F values are needed.
    Memory is F m² complex numbers.
    """
    H = _phases(kernel.detach().double(), stride)
    largest = float(H.abs().amax()) if H.numel() else 0.0
    if not math.isfinite(largest):
        raise NotFiniteError(
            "A convolution's kernel has entries that are not finite; lower the learning rate or "
            "check what it was given."
        )
    if largest == 0:
        return 0.0
    squared = _largest(_grams(H / largest))  # squares of tiny numbers would be 0
    return largest * math.sqrt(squared) * _between(H)


def symbol_bound_in_graph(kernel: Tensor, stride: tuple[int, ...]) -> Tensor:
    """:func:`symbol_bound` without decisions that depend on values, for graphs for export."""
    H = _phases(kernel.double(), stride)
    largest: Tensor = torch.linalg.eigvalsh(_grams(H)).amax()
    return largest.clamp_min(0).sqrt() * _between(H)


def _phases(kernel: Tensor, stride: tuple[int, ...]) -> Tensor:
    """``(M, m, *taps)``: phases as channels, the smaller number of channels second."""
    H = kernel
    for axis, q in enumerate(stride):
        taps = -(-kernel.shape[2 + axis] // q)
        missing = taps * q - kernel.shape[2 + axis]
        # The axis moves to the end and, as taps and phases, back: the phases join the channels
        rows = torch.nn.functional.pad(H.movedim(2 + axis, -1), (0, missing))
        rows = rows.view(*rows.shape[:-1], taps, q).movedim(-1, 2).flatten(1, 2)
        H = rows.movedim(-1, 2 + axis)
    return H if H.shape[0] >= H.shape[1] else H.transpose(0, 1)


def _between(H: Tensor) -> float:
    """What the mesh may miss, and rounding."""
    axes = sum(s > 1 for s in H.shape[2:])
    return float(math.cos(math.pi / POINTS) ** (-axes / 2) * (1 + ROUNDING))


def _grams(H: Tensor) -> Tensor:
    """ĤᴴĤ on half of the mesh, ``(F, m, m)`` complex; on the other half it is the conjugate."""
    taps, m = H.shape[2:], H.shape[1]
    seen = _lags(H)
    real = True
    for axis in reversed(range(len(taps))):
        s = taps[axis]
        points = max(POINTS * (s - 1), 1)
        half = real and points > 1
        used = points // 2 + 1 if half else points
        real = real and not half
        frequencies = torch.arange(used, dtype=H.dtype, device=H.device) * (2 * math.pi / points)
        lags = torch.arange(1 - s, s, dtype=H.dtype, device=H.device)
        angles = frequencies[:, None] * lags
        waves = torch.complex(angles.cos(), angles.sin())
        seen = torch.tensordot(waves, seen.to(waves), dims=([1], [axis])).movedim(0, axis)
    return seen.reshape(-1, m, m)


def _lags(H: Tensor) -> Tensor:
    """Σ_t H_tᵀ H_{t+d} for each lag d from 1 − s to s − 1, ``(*(2 s − 1), m, m)``."""
    M, m, *taps = H.shape
    count, shape = math.prod(taps), [2 * s - 1 for s in taps]
    columns = H.movedim(1, -1).reshape(M, count * m)
    pairs = (columns.T @ columns).view(count, m, count, m).transpose(1, 2).reshape(-1, m * m)
    at = torch.tensor(list(itertools.product(*map(range, taps))), device=H.device)
    lag = (at[None] - at[:, None] + torch.tensor(taps, device=H.device) - 1).flatten(0, 1)
    steps = torch.tensor([math.prod(shape[a + 1 :]) for a in range(len(shape))], device=H.device)
    found = H.new_zeros(math.prod(shape), m * m).index_add_(0, (lag * steps).sum(1), pairs)
    return found.view(*shape, m, m)


def _largest(grams: Tensor) -> float:
    """A number from the largest eigenvalue of all to 1 % above.

    Few are computed: that all others stay below a number c needs no eigenvalue, as c I − G has a
    Cholesky factor if and only if c is above those of G. In float32 that errs by less than the 1 %
    where the matrices are small.
    """
    if grams.shape[-1] == 1:
        return float(grams.real.amax())
    # A factorisation errs by at most about 4 m² ε of its matrix
    small = 4 * grams.shape[-1] ** 2 * torch.finfo(torch.float32).eps < SURE / 2
    tested = grams.to(torch.complex64) if small else grams
    size, top = torch.view_as_real(tested).square().sum((1, 2, 3)), 0.0
    while len(size):
        # Which one is the largest is guessed by its size; a wrong guess costs another round
        found = torch.linalg.eigvalsh(grams[int(size.argmax())])[-1]
        top = max(top, float(found) * (1 + SURE))
        shifted = tested.neg()
        shifted.diagonal(dim1=-2, dim2=-1).add_(top * (1 - SURE / 2))
        above = torch.linalg.cholesky_ex(shifted).info != 0
        above[int(size.argmax())] = False
        grams, tested, size = grams[above], tested[above], size[above]
    return top
