"""Measures against their definitions."""

import math
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import ergodual as ed
from ergodual.speech import measures as m
from ergodual.speech.audio import read_audio

RATE = 16_000
RANDOM = np.random.default_rng(0)
CLEAN = np.sin(np.arange(2 * RATE) / 9) * np.sin(np.arange(2 * RATE) / 3000)
NOISE = RANDOM.standard_normal(len(CLEAN))


@pytest.mark.parametrize(
    ("measure", "estimate", "value"),
    [
        (m.snr_db, CLEAN, math.inf),
        (m.snr_db, 0.9 * CLEAN, 20.0),
        (m.snr_db, 0 * CLEAN, 0.0),
        (m.si_sdr_db, 0 * CLEAN, -math.inf),
        (lambda c, e: m.segmental_snr_db(c, e, RATE), 0.9 * CLEAN, 20.0),
        (lambda c, e: m.segmental_snr_db(c, e, RATE), CLEAN, m.HIGHEST),
        (lambda c, e: m.segmental_snr_db(c, e, RATE), 100 * CLEAN, m.LOWEST),
        (lambda c, e: m.log_spectral_distance_db(c, e, RATE), CLEAN, 0.0),
        (lambda c, e: m.log_spectral_distance_db(c + NOISE, 10 * (e + NOISE), RATE), CLEAN, 20.0),
        (lambda c, e: m.estoi(c[:100], e[:100], RATE), CLEAN, math.nan),
    ],
)
def test_what_they_give(measure, estimate: np.ndarray, value: float) -> None:
    assert measure(CLEAN, estimate) == pytest.approx(value, abs=1e-6, nan_ok=True)


def filtered(factors: dict[tuple[float, float], float]) -> np.ndarray:
    """Noise whose frequencies from LOW to HIGH Hz are multiplied."""
    spectrum = np.fft.rfft(NOISE)
    f = np.fft.rfftfreq(len(NOISE), 1 / RATE)
    for (low, high), factor in factors.items():
        spectrum[(low <= f) & (f < high)] *= factor
    return np.fft.irfft(spectrum, len(NOISE))


@pytest.mark.parametrize("dB", [-3.0, 0.0, 2.5])
def test_an_attenuated_octave_reads_so(dB: float) -> None:
    # an octave of the frames sees a little of its neighbours: a few of its 64 frequencies
    levels = m.band_levels_db(NOISE, filtered({(2000, 4000): 10 ** (dB / 20)}), RATE)
    assert list(levels) == [
        *("level_125_250_db", "level_250_500_db", "level_500_1000_db", "level_1000_2000_db"),
        *("level_2000_4000_db", "level_4000_8000_db"),
    ]
    for name, level in levels.items():
        expected = dB if name == "level_2000_4000_db" else 0.0
        assert level == pytest.approx(expected, abs=0.06), name


@pytest.mark.parametrize(
    ("rate", "last"), [(8000, (2000, 4000)), (11_025, (4000, 5512.5)), (44_100, (16_000, 22_050))]
)
def test_octaves_end_at_half_the_rate(rate: int, last: tuple[float, float]) -> None:
    octaves = m.octaves(rate)
    assert octaves[0] == (125, 250)
    assert octaves[-1] == last
    assert all(one[1] == other[0] for one, other in zip(octaves, octaves[1:], strict=False))


def test_levels_of_silence() -> None:
    tone = np.sin(2 * np.pi * 750 * np.arange(RATE) / RATE)
    levels = m.band_levels_db(tone, 0 * tone, RATE)
    assert levels["level_500_1000_db"] == pytest.approx(-100, abs=0.1)  # the floor
    assert levels["level_4000_8000_db"] == pytest.approx(0, abs=0.1)
    doubled = m.band_levels_db(tone, 2 * tone, RATE)
    assert doubled["level_500_1000_db"] == pytest.approx(20 * math.log10(2))


def test_pesq_of_a_recording_that_is_too_short() -> None:
    pytest.importorskip("pesq")
    assert math.isnan(m.pesq_wideband(CLEAN[:1000], CLEAN[:1000], 16_000))


def test_si_sdr_does_not_mind_the_volume() -> None:
    noisy = CLEAN + 0.1 * NOISE
    assert m.si_sdr_db(CLEAN, 3 * noisy) == pytest.approx(m.si_sdr_db(CLEAN, noisy))
    orthogonal = NOISE - CLEAN * (CLEAN @ NOISE) / (CLEAN @ CLEAN)
    orthogonal *= np.linalg.norm(CLEAN) / np.linalg.norm(orthogonal) / 10
    assert m.si_sdr_db(CLEAN, CLEAN + orthogonal) == pytest.approx(20.0)


def test_more_noise_is_worse_in_every_measure() -> None:
    # PESQ, where it is installed, wants speech
    clean = read_audio(
        Path(str(resources.files("ergodual") / "data" / "synthetic" / "01-america-man.flac"))
    )[0].astype(np.float64)
    noise = np.random.default_rng(1).standard_normal(clean.shape)
    for name, measure in m.measures(16_000).items():
        better, worse = (measure(clean, clean + size * noise) for size in (0.001, 0.01))
        assert (better < worse) if name == "lsd_db" else (better > worse), name


@pytest.mark.parametrize(
    "measure", [m.snr_db, m.si_sdr_db, lambda c, e: m.band_levels_db(c, e, RATE)]
)
def test_refusals(measure) -> None:
    with pytest.raises(ed.ErgodualError, match="one length"):
        measure(CLEAN, CLEAN[1:])
    with pytest.raises(ed.ErgodualError, match="silent"):
        measure(0 * CLEAN, CLEAN)
