"""What the page shows of a recording."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import ergodual as ed
from ergodual.app.shown import equally_loud, show
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.model import ModelSpec, build
from ergodual.speech.quantizers import mid_rise

TOOL = Dequantizer({4: build(ModelSpec(n=64, depth=2, units="half-steps"))}, 8000)
VOICE = np.sin(np.arange(9000) / 9) * np.sin(np.arange(9000) / 800)
STEREO = mid_rise(4).quantize(torch.from_numpy(np.stack([VOICE, VOICE[::-1]], axis=1))).numpy()


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "in.wav", 0.1 * STEREO, 8000, "PCM_16")
    return tmp_path / "in.wav"


def test_what_is_heard_and_seen(stored: Path, tmp_path: Path) -> None:
    told: list[float] = []
    first, again = (show(stored, tmp_path, TOOL, report=told.append) for _ in range(2))
    assert (first.file.name, again.file.name) == ("in.wav", "in-2.wav")
    assert told[-1] == 1.0
    before, after = (soundfile.read(one)[0] for one in (first.before, first.after))
    assert before.shape == after.shape == (9000, 2)
    assert np.square(before).mean() == pytest.approx(np.square(after).mean(), rel=1e-3)
    assert max(np.abs(before).max(), np.abs(after).max()) == pytest.approx(0.9, abs=1e-3)
    restored = soundfile.read(first.file)[0]
    assert np.corrcoef(after[:, 0], restored[:, 0])[0, 1] > 0.9999
    power = np.square(restored - 0.1 * STEREO).sum() / np.square(0.1 * STEREO).sum()
    assert first.change == pytest.approx(10 * np.log10(power), abs=0.05)
    assert first.picture.read_bytes()[:4] == b"\x89PNG"


def test_another_format_and_one_that_does_not_exist(stored: Path, tmp_path: Path) -> None:
    flac = show(stored, tmp_path, TOOL, ".flac", "PCM_16")
    assert soundfile.info(flac.file).subtype == "PCM_16"
    with pytest.raises(ed.ErgodualError, match="FLAC file of floating-point samples"):
        show(stored, tmp_path, TOOL, ".flac", "FLOAT")


@pytest.mark.parametrize("scale", [1e-4, 0.0])
def test_silence_stays_silent(scale: float) -> None:
    one, other = equally_loud(scale * STEREO, np.zeros_like(STEREO))
    assert np.isfinite(one).all()
    assert not other.any()
