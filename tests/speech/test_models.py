"""The models that come with the package do what their card says, on speech that they were not
trained on.
"""

import numpy as np
import pytest
import torch

import ergodual as ed
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio, synthetic_speech
from ergodual.speech.dequantizer import Quality
from ergodual.speech.frames import normalize
from ergodual.speech.measures import snr_db
from ergodual.speech.models import model_files, shipped
from ergodual.speech.quantizers import Levels, a_law, mid_rise, mid_tread, mu_law

CLEAN = normalize(read_audio(find_audio(synthetic_speech())[3])[0][: 3 * 16_000]).astype(np.float64)
GAIN = {2: 5, 3: 4, 4: 3, 5: 2, 6: 1, 7: 0, 8: 0}
"""In dB, at least."""
QUALITIES: tuple[Quality, ...] = ("fast", "normal", "best")
FURTHER = {4: 0.5, 5: 0.3, 6: 0.1}
"""By so many dB a model of whole recordings is better than that of frames, on synthetic speech."""
CASES = [
    *((bits, mid_rise(bits), gain) for bits, gain in GAIN.items()),
    (4, mid_tread(4), 2),
    (8, mu_law(), 0.3),
    (8, a_law(), 0.3),
]


def test_what_is_shipped() -> None:
    assert shipped() == ["speech-16k"]
    files = model_files("speech-16k")
    networks = [f"network-{name}" for name in (3, 4, 5, 6, 8, "g711")]
    frames = [str(bits) for bits in range(2, 9)]
    assert [file.stem for file in files] == [*frames, "g711", *networks]
    assert sum(file.stat().st_size for file in files) < 40e6
    assert ed.Dequantizer.load().rate == 16_000
    assert ed.Dequantizer.load().g711 is not None
    assert "CC BY 4.0" in (files[0].parent / "CARD.md").read_text()


@pytest.mark.parametrize("bits", FURTHER)
def test_whole_recordings_gain_more(bits: int) -> None:
    stored = mid_rise(bits).quantize(torch.from_numpy(CLEAN)).numpy()
    found = [
        snr_db(CLEAN, ed.Dequantizer.load(quality=quality).restore(stored, bits))
        for quality in QUALITIES
    ]
    assert found[1] > found[0] + FURTHER[bits]
    assert found[2] > found[1]


@pytest.mark.parametrize(
    ("bits", "quantizer", "gain"),
    CASES,
    ids=lambda case: case.name if isinstance(case, Levels) else str(case),
)
def test_every_word_length_gains(bits: int, quantizer: Levels, gain: float) -> None:
    stored = quantizer.quantize(torch.from_numpy(CLEAN)).numpy()
    restored = ed.Dequantizer.load().restore(stored, bits, quantizer)
    assert snr_db(CLEAN, restored) > snr_db(CLEAN, stored) + gain
    lower, upper = quantizer.cell(torch.from_numpy(stored))
    assert ((lower.numpy() <= restored) & (restored <= upper.numpy())).all()
