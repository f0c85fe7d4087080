"""Recordings that are arrays: every type that audio comes in, found out and restored alike."""

import numpy as np
import pytest
import torch

import ergodual as ed
from ergodual.errors import NotQuantizedWarning
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.model import ModelSpec, build
from ergodual.speech.quantizers import mid_rise, mid_tread

N = 48


def dequantizer() -> Dequantizer:
    spec = ModelSpec(n=N, m=N + 16, depth=2, units="half-steps")
    return Dequantizer({bits: build(spec) for bits in (4, 6)}, 16_000)


def recording(length: int, seed: int = 0) -> np.ndarray:
    """Something with loud and with silent places, over the whole of the scale."""
    time, noise = np.arange(length), np.random.default_rng(seed)
    voice = np.sin(time / 7 + seed) * np.sin(time / 190 + seed)
    return np.clip(1.1 * voice + 0.02 * noise.standard_normal(length), -0.999, 0.999)


STORED = mid_tread(4).quantize(torch.from_numpy(recording(20 * N))).numpy()
AS = {
    "float32": STORED.astype(np.float32),
    "float32 tensor": torch.from_numpy(STORED).float(),
    "with a gradient": torch.from_numpy(STORED).requires_grad_(),
    "int16": (STORED * 2**15).astype(np.int16),
    "int16 tensor": torch.from_numpy((STORED * 2**15).astype(np.int16)),
    "int32": (STORED * 2**31).astype(np.int32),
    "big-endian": STORED.astype(">f8"),
    "reversed view": STORED[::-1].copy()[::-1],
}


@pytest.mark.parametrize("name", AS)
def test_every_type_is_restored_alike(name: str) -> None:
    tool, samples = dequantizer(), AS[name]
    expected = tool.restore(STORED, 4, mid_tread(4))
    restored = tool.restore(samples)
    assert isinstance(restored, torch.Tensor) == isinstance(samples, torch.Tensor)
    assert np.allclose(np.asarray(restored), expected, atol=1e-6)
    assert np.abs(expected - STORED).max() > 1e-3


@pytest.mark.parametrize("name", AS)
def test_every_type_is_detected_alike(name: str) -> None:
    samples = AS[name]
    cells = ed.detect(samples)
    assert cells.coarse
    assert cells.said == "mid-tread, 4 bits, step 0.125"
    quantizer = cells.channels[0].quantizer
    for bound, expected in zip(
        (cells.lower, cells.upper), quantizer.cell(torch.from_numpy(STORED)), strict=True
    ):
        assert isinstance(bound, torch.Tensor) == isinstance(samples, torch.Tensor)
        assert np.array_equal(np.asarray(bound), expected.numpy())


def test_what_was_detected_is_restored_without_detecting_again() -> None:
    fine = np.rint(recording(20 * N) / 1.4 * 2**15) / 2**15
    stereo, tool = np.stack([STORED, fine], axis=1), dequantizer()
    cells = ed.detect(stereo)
    assert "channel 1: mid-tread, 4 bits" in cells.said
    assert cells.lower.shape == cells.upper.shape == stereo.shape
    assert np.array_equal(cells.lower[:, 1], fine)
    assert np.array_equal(cells.upper[:, 1], fine)
    with pytest.warns(NotQuantizedWarning, match="Channel 1 is returned as it is") as warned:
        restored, again = tool.restore(stereo), tool.restore(stereo, cells=cells)
    assert {warning.filename for warning in warned} == {__file__}
    assert np.array_equal(restored, again)
    with pytest.raises(ed.ErgodualError, match="give those that they were detected in"):
        tool.restore(stereo[:5], cells=cells)
    with pytest.raises(ed.ErgodualError, match="both bits and cells"):
        tool.restore(stereo, 4, cells=cells)


def test_unsigned_bytes_are_centred() -> None:
    stored = mid_tread(8).quantize(torch.from_numpy(recording(20 * N))).numpy()
    tool, bytes_ = dequantizer(), (stored * 128 + 128).astype(np.uint8)
    assert np.allclose(tool.restore(bytes_), tool.restore(stored, 8, mid_tread(8)), atol=1e-6)


def test_each_channel_has_its_own_quantizer() -> None:
    signal = recording(20 * N)
    six = mid_rise(6).quantize(torch.from_numpy(recording(20 * N, 1))).numpy()
    fine = np.rint(signal / 1.4 * 2**15) / 2**15
    tool = dequantizer()
    with pytest.warns(NotQuantizedWarning, match="Channel 2 is returned as it is"):
        restored = tool.restore(np.stack([STORED, six, fine], axis=1))
    assert np.allclose(restored[:, 0], tool.restore(STORED, 4, mid_tread(4)), atol=1e-6)
    assert np.allclose(restored[:, 1], tool.restore(six, 6), atol=1e-6)
    assert np.array_equal(restored[:, 2], fine)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.int32])
def test_a_quiet_recording_of_16_bits_is_left_alone_in_every_type(kind: type) -> None:
    whole = np.rint(recording(20 * N) * 200)
    scale = {np.int16: 1.0, np.int32: 2.0**16}.get(kind, 2.0**-15)
    with pytest.warns(NotQuantizedWarning):
        restored = dequantizer().restore((whole * scale).astype(kind))
    assert np.array_equal(restored, whole / 2**15)


@pytest.mark.parametrize(
    "samples",
    [
        STORED,
        STORED * 0.9,
        mid_rise(5).quantize(torch.from_numpy(recording(200))).numpy(),
        np.zeros(10),
    ],
)
def test_a_word_length_that_the_samples_contradict(samples: np.ndarray) -> None:
    for bits in (3, 4, 8):
        with pytest.raises(ed.ErgodualError, match="no level of a mid-rise quantizer with"):
            dequantizer().restore(samples, bits)
        with pytest.raises(ed.ErgodualError, match="no level of a mid-rise quantizer with"):
            list(dequantizer().restore_stream([samples], bits))


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (np.array([0.0, np.nan]), "not finite at 1"),
        (np.array([[0.0, 0.0], [0.0, 0.0], [np.inf, 0.0]]), "not finite at 2"),
        (np.array([0.0, 1e300]), "largest sample is 1e.300"),
        (np.zeros((2, 2, 2)), "the shape"),
        (np.float64(0.5), "give a numpy array"),
        (np.zeros(()), "the shape"),
        (np.zeros((5, 0)), "the shape"),
        (np.zeros((2, 100)), "more channels than samples"),
        (np.zeros(9, dtype=np.int64), "no scale"),
        (torch.zeros(9, dtype=torch.bool), "no scale"),
        (np.zeros(9, dtype=complex), "no scale"),
        (np.array(["a"]), "no scale"),
        ([0.0, 0.5], "are a list"),
    ],
)
def test_what_is_no_recording(samples, sentence: str) -> None:
    with pytest.raises(ed.ErgodualError, match=sentence):
        dequantizer().restore(samples)
    with pytest.raises(ed.ErgodualError, match=sentence):
        ed.detect(samples)


def test_a_quantizer_without_its_word_length() -> None:
    with pytest.raises(ed.ErgodualError, match="give bits too"):
        dequantizer().restore(STORED, quantizer=mid_tread(4))


@pytest.mark.parametrize("shape", [(0,), (0, 2), (1,), (1, 1)])
def test_nothing_and_one_sample_come_back(shape: tuple[int, ...]) -> None:
    samples = np.full(shape, 0.25)
    cells = ed.detect(samples)
    assert "one value only" in cells.said
    assert not cells.coarse
    assert np.shape(cells.lower) == np.shape(cells.upper) == shape
    with pytest.warns(NotQuantizedWarning):
        assert np.array_equal(dequantizer().restore(samples), samples)
