"""How near an estimate is to the truth."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ergodual.errors import ErgodualError

Signal = NDArray[np.floating]
FRAME, HOP = 0.032, 0.016
"""Of the measures by frames, in seconds."""
LOWEST, HIGHEST = -10.0, 35.0
"""Bounds of a frame's SNR in dB, so that silent frames do not decide the mean."""
SHORTEST = 0.4
"""Seconds of which ESTOI needs at least so many."""
FLOOR = 1e-10
"""Power of a frequency, relative to the loudest one, below which all are taken as equal."""
LOWEST_BAND = 125.0
"""Frequency in Hz at which the first octave begins."""


def snr_db(clean: Signal, estimate: Signal) -> float:
    """The signal-to-noise ratio 10 log₁₀(‖s‖² / ‖s − ŝ‖²) in dB; infinite for equal signals.

    Raises
    ------
    ErgodualError
        If the signals differ in shape or the clean one is silent.
    """
    clean, estimate = _alike(clean, estimate)
    return _decibels(float(np.square(clean).sum()), float(np.square(clean - estimate).sum()))


def si_sdr_db(clean: Signal, estimate: Signal) -> float:
    """The SNR of the estimate against that multiple of s which is nearest to it (Le Roux et al.,
    ICASSP 2019, eq. 3).
    """
    clean, estimate = _alike(clean, estimate)
    target = clean * (clean @ estimate) / (clean @ clean)
    return _decibels(float(np.square(target).sum()), float(np.square(target - estimate).sum()))


def segmental_snr_db(clean: Signal, estimate: Signal, rate: int) -> float:
    """The mean SNR of frames of 32 ms, each between −10 and 35 dB; frames in which s is silent are
    left out.
    """
    clean, estimate = _alike(clean, estimate)
    signal = np.square(_frames(clean, rate)).sum(1)
    noise = np.square(_frames(clean - estimate, rate)).sum(1)
    sounding = signal > 0
    ratios = 10 * np.log10(signal[sounding] / np.maximum(noise[sounding], 1e-30))
    return float(np.clip(ratios, LOWEST, HIGHEST).mean())


def log_spectral_distance_db(clean: Signal, estimate: Signal, rate: int) -> float:
    """The mean over frames of 32 ms of the root mean square over the frequencies of the difference
    of the log power spectra.
    """
    clean, estimate = _alike(clean, estimate)
    spectra = [_powers(x, rate) for x in (clean, estimate)]
    floor = FLOOR * spectra[0].max()
    logarithms = [10 * np.log10(np.maximum(spectrum, floor)) for spectrum in spectra]
    return float(np.sqrt(np.square(logarithms[0] - logarithms[1]).mean(1)).mean())


def octaves(rate: int) -> list[tuple[float, float]]:
    """The octaves from 125 Hz on, as pairs of frequencies in Hz; the last one ends at half the
    sampling rate.
    """
    found, low = [], LOWEST_BAND
    while low < rate / 2:
        found.append((low, min(2 * low, rate / 2)))
        low *= 2
    return found


def band_levels_db(clean: Signal, estimate: Signal, rate: int) -> dict[str, float]:
    """How much too strong an estimate is in each octave: 10 log₁₀(P̂/P) in dB, P the power of all
    frames of 32 ms at its frequencies, by the name ``level_LOW_HIGH_db`` of the octave in Hz.

    0 is right, whatever the phases; noise that was added reads positive, and so does one of the
    quantizer, while an estimate with the least squared error is rather too weak where little is
    known. To both powers so little is added (``FLOOR`` of the whole) that silence reads 0.

    Raises
    ------
    ErgodualError
        If the signals differ in shape or the clean one is silent.

    Examples
    --------
    >>> import numpy as np
    >>> from ergodual.speech.measures import band_levels_db
    >>> low, high = (np.sin(2 * np.pi * f * np.arange(8000) / 16_000) for f in (750, 3000))
    >>> levels = band_levels_db(low + high, low + high / 2, 16_000)
    >>> round(levels["level_500_1000_db"], 1), round(levels["level_2000_4000_db"], 1)
    (0.0, -6.0)
    """
    clean, estimate = _alike(clean, estimate)
    true, found = (_powers(x, rate).sum(0) for x in (clean, estimate))
    frequencies = np.fft.rfftfreq(round(FRAME * rate), 1 / rate)
    floor = FLOOR * true.sum()
    levels = {}
    for low, high in octaves(rate):
        within = (low <= frequencies) & (frequencies < high)
        ratio = (found[within].sum() + floor) / (true[within].sum() + floor)
        levels[f"level_{low:.0f}_{high:.0f}_db"] = 10 * math.log10(ratio)
    return levels


def octave_of(name: str) -> tuple[float, float]:
    """LOW and HIGH of ``level_LOW_HIGH_db``."""
    _, low, high, _ = name.split("_")
    return float(low), float(high)


def is_level(name: str) -> bool:
    """Whether a measure is one of :func:`band_levels_db`."""
    return name.startswith("level_")


def estoi(clean: Signal, estimate: Signal, rate: int) -> float:
    """The extended short-time objective intelligibility of pystoi, about 0 to 1; nan for recordings
    too short or silent for it.
    """
    from pystoi import stoi

    clean, estimate = _alike(clean, estimate)
    if len(clean) < SHORTEST * rate:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns and returns 1e-5
        found = float(stoi(clean, estimate, rate, extended=True))
    return math.nan if found == 1e-5 else found


def pesq_wideband(clean: Signal, estimate: Signal, rate: int) -> float:
    """The wideband PESQ (ITU-T P.862.2) of the package ``pesq``, 1 to 4.6; nan where it finds no
    speech or less than 1/4 s.
    """
    import pesq

    try:
        return float(pesq.pesq(rate, *_alike(clean, estimate), "wb"))
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return math.nan


def measures(rate: int) -> dict[str, Callable[[Signal, Signal], float]]:
    """All measures that can be taken at a sampling rate, by name; PESQ where its package is
    installed.
    """
    found: dict[str, Callable[[Signal, Signal], float]] = {
        "snr_db": snr_db,
        "si_sdr_db": si_sdr_db,
        "segmental_snr_db": lambda clean, estimate: segmental_snr_db(clean, estimate, rate),
        "lsd_db": lambda clean, estimate: log_spectral_distance_db(clean, estimate, rate),
        "estoi": lambda clean, estimate: estoi(clean, estimate, rate),
    }
    if rate == 16_000 and importlib.util.find_spec("pesq") is not None:
        found["pesq_wb"] = lambda clean, estimate: pesq_wideband(clean, estimate, rate)
    return found


def _alike(clean: Signal, estimate: Signal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if clean.shape != estimate.shape:
        raise ErgodualError(
            f"The signals have shapes {clean.shape} and {estimate.shape}; they must have one "
            "length."
        )
    if not np.any(clean):
        raise ErgodualError("The clean signal is silent, so it has no signal-to-noise ratio.")
    return clean.astype(np.float64), estimate.astype(np.float64)


def _decibels(signal: float, noise: float) -> float:
    if signal == 0:
        return -math.inf
    return 10 * math.log10(signal / noise) if noise else math.inf


def _powers(signal: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """|Σ_t w_t x_t e^(−iωt)|² of each frame under a Hann window, ``(frames, frequencies)``."""
    windowed = _frames(signal, rate) * np.hanning(round(FRAME * rate))
    powers: NDArray[np.float64] = np.square(np.abs(np.fft.rfft(windowed)))
    return powers


def _frames(signal: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Frames of 32 ms every 16 ms; a shorter signal is filled up with zeros."""
    length, hop = round(FRAME * rate), round(HOP * rate)
    padded = np.pad(signal, (0, max(0, length - len(signal))))
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
