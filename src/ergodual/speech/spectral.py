"""How far the spectrum of an estimate is from the true one, as a loss: levels without phases."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from ergodual.errors import ErgodualError
from ergodual.tensors import of_any_batch

FLOOR = 1e-3
"""What is added to the power of a frequency, in units of that of white noise of variance 1: below
it, 30 dB under half a step of the quantizer, all is silence.
"""


class SpectralDistance:
    """The mean of |10 log₁₀((|X̂|² + ε)/(|X|² + ε))| of each signal in dB, over the frequencies and
    frames of several short-time spectra X,

    D(x̂, x) = mean over lengths, frames t, frequencies ω of that,  X_tω = Σ_s w_s x_{t+s} e^(−iωs),

    under Hann windows w that overlap by three quarters; ε = ``FLOOR`` Σ_s w_s² (cf. the
    log magnitudes of several resolutions in Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020).

    The least squared error makes what can only be guessed too weak, up to silent; this says how
    strong it should be and not where its waves lie. It is no norm: at a frequency where the
    estimate is right it has a kink, whose derivative is 0 here.

    Parameters
    ----------
    lengths
        Samples of the windows, each a multiple of 4; 256, 512 and 1024 are 16, 32 and 64 ms at
        16 kHz. Shorter signals are filled up with zeros.

    Raises
    ------
    ErgodualError
        If there are no lengths or one is not a positive multiple of 4; when called, if x̂ and x
        have different shapes or more axes than ``(batch, n)``.

    Examples
    --------
    >>> from ergodual.speech.spectral import SpectralDistance
    >>> x = 10 * torch.randn(1, 4096)
    >>> bool((SpectralDistance()(x / 2, x) - 20 * torch.tensor(2.0).log10()).abs() < 0.1)
    True
    """

    def __init__(self, lengths: tuple[int, ...] = (256, 512, 1024)) -> None:
        if not lengths or any(length < 4 or length % 4 for length in lengths):
            raise ErgodualError(
                f"The windows have {lengths} samples; give at least one length, each a positive "
                "multiple of 4."
            )
        self.lengths = lengths

    def __call__(self, x_hat: Tensor, x_true: Tensor) -> Tensor:
        if x_hat.shape != x_true.shape or x_true.ndim != 2:
            raise ErgodualError(
                f"The estimates have shape {tuple(x_hat.shape)} and the ground truths "
                f"{tuple(x_true.shape)}; give both as (batch, n)."
            )
        distances = [
            (_logarithms(x_hat, length) - _logarithms(x_true, length)).abs().mean((1, 2))
            for length in self.lengths
        ]
        return torch.stack(distances).mean(0)


def _logarithms(x: Tensor, length: int) -> Tensor:
    """10 log₁₀(|X|² + ε), ``(batch, frames, frequencies)``."""
    window = torch.hann_window(length, dtype=x.dtype, device=x.device)
    frames = pad(x, (0, max(0, length - x.shape[1]))).unfold(1, length, length // 4)
    spectra = of_any_batch(torch.fft.rfft, frames * window)
    powers = spectra.real.square() + spectra.imag.square()
    floor = FLOOR * window.square().sum()
    return 10 / math.log(10) * (powers + floor).log()
