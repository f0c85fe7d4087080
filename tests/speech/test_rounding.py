"""Rounded, cut down, or cut towards 0: told where the samples tell, and restored accordingly."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ergodual.speech.convert import dequantize_file
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.model import ModelSpec, build
from ergodual.speech.quantizers import quantizer_of
from ergodual.speech.rounding import Rounding

TOOL = Dequantizer({4: build(ModelSpec(n=64, depth=3, units="half-steps"))}, 16_000)
T = np.arange(20_000) / 16_000
MEANT = 0.45 * np.sin(1320 * T) * (1 + np.sin(19 * T)) + 0.05 * np.sin(10870 * T)


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize(
    ("rounding", "kind"), [(np.rint, "mid-tread"), (np.floor, "floor"), (np.trunc, "truncate")]
)
def test_what_was_done_is_told(rounding, kind: str, bits: int) -> None:
    top = 2 ** (bits - 1)
    stored = np.clip(rounding(MEANT * top), -top, top - 1) / top
    assert np.array_equal(quantizer_of(kind, bits).quantize(torch.from_numpy(MEANT)), stored)
    count = Rounding(2.0 ** (1 - bits))
    for block in np.array_split(stored, 3):
        count.add(block)
    told = kind if kind != "truncate" or bits > 3 else "mid-tread"
    assert count.kind(bits) == told


@pytest.mark.parametrize(
    ("rounding", "bits", "offset", "kind"),
    [
        (np.trunc, 4, -0.3, "truncate"),  # with an offset of its own
        (np.trunc, 8, -0.6, "truncate"),
        (np.rint, 5, -0.25, "mid-tread"),
        (np.floor, 5, 0.15, "floor"),
        (np.rint, 10, -0.5, "mid-tread"),  # half a step is as small as offsets are
    ],
)
def test_offsets_of_the_recording(rounding, bits: int, offset: float, kind: str) -> None:
    count = Rounding(1.0)
    count.add(rounding(0.9 * 2 ** (bits - 1) * MEANT + offset))
    assert count.kind(bits) == kind


@pytest.mark.parametrize("gain", [1.0, 0.7])
def test_floors_are_restored_in_their_cells(tmp_path: Path, gain: float) -> None:
    stored = gain * np.floor(MEANT * 8) / 8
    soundfile.write(tmp_path / "in.wav", stored, 16_000, "PCM_24")
    for kind, said in ((None, "assumed to be cut down"), ("floor", "floor, 4"), ("mid-tread", "")):
        done = dequantize_file(tmp_path / "in.wav", tmp_path / "out.wav", TOOL, None, kind)
        assert said in done.said
        restored = soundfile.read(tmp_path / "out.wav")[0]
        if kind == "mid-tread":
            assert (restored < stored - 1e-3).any()
        else:
            assert (restored >= stored - 1e-6).all()
            assert (restored <= stored + gain / 8 + 1e-6).all()
            error = [np.square(x - gain * MEANT).mean() for x in (stored, restored)]
            assert error[1] < error[0] / 4


def test_too_little_to_tell() -> None:
    count = Rounding(0.125)
    for block in (np.zeros(5000), np.full(5000, -0.125), np.zeros(1), np.zeros(0)):
        count.add(block)
    assert count.kind(4) == "mid-tread"
