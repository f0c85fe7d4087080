"""An error as the ear hears it: less where the speech itself is strong."""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.tensors import of_any_batch, require, total

NOISE = 1e-4
"""What is added to each frame's power before it is predicted, relative to it: −40 dB."""


class PerceptualError:
    """½ Σ_t ((w ∗ (x̂ − x†))_t)² of each frame, with the weighting filter of speech coders,

    W(z) = A(z/γ₁) / A(z/γ₂), A(z) = 1 + Σ_k a_k z^−k,

    where a predicts the frame x† from its past (Atal, Schroeder, "Predictive coding of speech
    signals and subjective error criteria", 1979, section III; as the loss of networks: Brauer,
    Zhao, Lorenz, Fingscheidt, ICASSP 2019). W is small at the formants, which hide an error, and
    large between them. The gradient in x̂ is exact, and there is none in x†.

    Parameters
    ----------
    order
        Coefficients a_k; 16 are usual at 16 kHz, 10 at 8 kHz. With 0 of them it is ``HalfSquared``.
    gamma1, gamma2
        From 0 to 1, the first not below the second; 0.92 and 0.6 are what wideband coders have.

    Notes
    -----
    a solves the normal equations of the frame under a Hann window, with ``NOISE``. The filter is
    applied as a product of spectra of twice the frame's length, so that what of its response is
    longer (below 0.6ⁿ of it) is counted where it began.

    Raises
    ------
    ErgodualError
        If the order is negative or not below the frame's length, γ is not as said, or x̂ and x†
        have different shapes or more axes than ``(batch, n)``.

    Examples
    --------
    >>> from ergodual.speech.weighting import PerceptualError
    >>> x = torch.sin(0.1 * torch.arange(320.0))[None]
    >>> low, high = (0.1 * torch.cos(f * torch.arange(320.0)) for f in (0.1, 2.0))
    >>> loss = PerceptualError()
    >>> bool(loss(x + low, x) < loss(x + high, x))
    True
    """

    def __init__(self, order: int = 16, gamma1: float = 0.92, gamma2: float = 0.6) -> None:
        require(order >= 0, f"The order of prediction is {order}; give 0 or more.")
        require(
            0 <= gamma2 <= gamma1 <= 1,
            f"The weighting filter has γ₁ = {gamma1} and γ₂ = {gamma2}; give numbers with "
            "0 ≤ γ₂ ≤ γ₁ ≤ 1.",
        )
        self.order, self.gamma1, self.gamma2 = order, gamma1, gamma2

    def __call__(self, x_hat: Tensor, x_true: Tensor) -> Tensor:
        if x_hat.shape != x_true.shape or x_true.ndim != 2:
            raise ErgodualError(
                f"The estimates have shape {tuple(x_hat.shape)} and the ground truths "
                f"{tuple(x_true.shape)}; give both as (batch, n)."
            )
        x_true = x_true.detach()
        powers = _powers(x_hat - x_true, x_true.shape[1])
        # of a real signal of even length all frequencies but the first and the last count twice
        counts = torch.full_like(powers[:1], 2.0)
        counts[:, [0, -1]] = 1.0
        return total(counts * self.weights(x_true) * powers) / (4 * x_true.shape[1])

    def weights(self, x_true: Tensor) -> Tensor:
        """|W|² of each frame at n + 1 frequencies from 0 to half the sampling rate."""
        a = predictor(x_true, self.order)
        k = torch.arange(self.order + 1, dtype=a.dtype, device=a.device)
        above, below = (
            _powers(a * gamma**k, x_true.shape[1]) for gamma in (self.gamma1, self.gamma2)
        )
        found: Tensor = (above / below).to(x_true.dtype)
        return found


def predictor(x: Tensor, order: int) -> Tensor:
    """(1, a₁, …, a_p) of each frame in float64, ``(batch, p + 1)``: the least of
    Σ_t (w_t x_t + Σ_k a_k w_{t−k} x_{t−k})² under a Hann window w, all zeros of A within the circle
    (the autocorrelation method; Makhoul, "Linear prediction: a tutorial review", 1975, section
    III).

    Parameters
    ----------
    x
        Frames, ``(batch, n)``.
    order
        p.

    Raises
    ------
    ErgodualError
        If p is not below n.
    """
    n = x.shape[1]
    require(order < n, f"Frames of {n} samples have no prediction of order {order}; lower it.")
    x = x.detach().double()
    window = torch.hann_window(n, periodic=False, dtype=x.dtype, device=x.device)
    correlation = of_any_batch(torch.fft.irfft, _powers(x * window, n))[:, : order + 1]
    power = correlation[:, :1]
    correlation = correlation / torch.where(power > 0, power, 1.0)
    k = torch.arange(order, device=x.device)
    matrix = correlation[:, (k[:, None] - k).abs()]
    # a silent frame has the matrix 0, and this makes it 1
    matrix.diagonal(dim1=-2, dim2=-1)[:] = 1 + NOISE
    a = torch.linalg.solve(matrix, -correlation[:, 1:])
    return torch.cat([torch.ones_like(power), a], 1)


def _powers(x: Tensor, n: int) -> Tensor:
    """|Σ_t x_t e^(−iωt)|² of each frame at n + 1 frequencies from 0 to half the sampling rate."""
    spectrum = of_any_batch(lambda frames: torch.fft.rfft(frames, 2 * n), x)
    return spectrum.real.square() + spectrum.imag.square()
