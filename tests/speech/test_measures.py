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


@pytest.mark.parametrize("measure", [m.snr_db, m.si_sdr_db])
def test_refusals(measure) -> None:
    with pytest.raises(ed.ErgodualError, match="one length"):
        measure(CLEAN, CLEAN[1:])
    with pytest.raises(ed.ErgodualError, match="silent"):
        measure(0 * CLEAN, CLEAN)
