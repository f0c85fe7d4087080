"""What was done to coarse samples before and after: dither, amplification, offsets."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ergodual.speech.audio import read_audio
from ergodual.speech.benefit import helped
from ergodual.speech.corpora import find_audio, synthetic_speech
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.found import Found
from ergodual.speech.model import ModelSpec, build
from ergodual.speech.quantizers import mid_rise, mid_tread
from ergodual.speech.survey import survey

SPEECH = read_audio(find_audio(synthetic_speech())[0])[0].astype(np.float64)
SPEECH /= np.abs(SPEECH).max()


def found_in(samples: np.ndarray, subtype: str = "PCM_16", **said) -> tuple[Found, np.ndarray]:
    """What is found out about samples in a file, and these."""
    unit = {"PCM_16": 2.0**15, "PCM_24": 2.0**23}[subtype]
    stored = np.clip(np.rint(samples * unit), -unit, unit - 1) / unit
    return survey(lambda: [stored[:, None]], ["in.wav"], subtype, **said)[0], stored


@pytest.mark.parametrize("bits", [4, 5, 6])
@pytest.mark.parametrize("dither", ["none", "rpdf", "tpdf"])
@pytest.mark.parametrize("gain", [1.0, 0.73])
def test_dither_is_told(dither: str, bits: int, gain: float) -> None:
    noise = np.random.default_rng(bits).random((2, len(SPEECH))) - 0.5
    added = {"none": 0, "rpdf": noise[0], "tpdf": noise.sum(0)}[dither]
    quantizer = mid_tread(bits)
    meant = 0.85 * (1 - quantizer.step) * SPEECH
    samples = quantizer.quantize(torch.from_numpy(meant + added * quantizer.step)).numpy()
    found, stored = found_in(gain * samples)
    assert found.dither == dither, found.said
    assert ("dither" in found.said) == (dither != "none")
    _, lower, upper = found.cells.intervals(torch.from_numpy(stored)).numpy()
    assert ((lower - 2.0**-14 <= gain * meant) & (gain * meant <= upper + 2.0**-14)).all()
    wide = {"none": 1, "rpdf": 2, "tpdf": 3}[dither]
    assert np.median(upper - lower) == pytest.approx(wide * gain * quantizer.step, rel=0.01)
    overruled, _ = found_in(gain * samples, dither="none")
    assert overruled.dither == "none"


@pytest.mark.parametrize("make", [mid_rise, mid_tread])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("bits", [4, 6, 8])
@pytest.mark.parametrize("gain", [1.3, 1.6, 2.0, 4 / 3])
def test_what_was_cut_off_lay_beyond(make: Callable, bits: int, gain: float, subtype: str) -> None:
    quantizer = make(bits)
    before = quantizer.quantize(torch.from_numpy(0.97 * SPEECH)).numpy()
    found, stored = found_in(np.clip(gain * before, -1, 1), subtype)
    assert found.quantizer is not None, found.said
    assert found.quantizer.step == pytest.approx(gain * quantizer.step, rel=1e-3)
    _, lower, upper = found.cells.intervals(torch.from_numpy(stored)).numpy()
    slack = 2.0**-14
    assert ((lower - slack <= gain * before) & (gain * before <= upper + slack)).all()
    cut = np.abs(gain * before) > 1 + slack
    assert np.isinf(np.where(before > 0, upper, lower))[cut].all()
    assert not np.isinf(np.where(before > 0, lower, upper))[cut].any()


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.5, 3.3])
def test_an_offset_is_spared_the_model(offset: float) -> None:
    step = mid_tread(5).step
    for constant_low_bits in (True, False):
        meant = 0.7 * SPEECH + (not constant_low_bits) * offset * step
        samples = mid_tread(5).quantize(torch.from_numpy(meant)).numpy()
        found, stored = found_in(samples + constant_low_bits * offset * step)
        assert found.centre == pytest.approx(offset * step, abs=0.1 * step)
        tool = Dequantizer({5: build(ModelSpec(n=64, depth=3, units="half-steps"))}, 16_000)
        restored = tool.restore(stored)
        assert restored.mean() == pytest.approx(stored.mean(), abs=0.06 * step)


def test_a_dither_below_0_is_a_floor_with_dither() -> None:
    noise = np.random.default_rng(0).random(len(SPEECH)) - 1
    found, stored = found_in(np.rint(0.9 * 8 * SPEECH + noise) / 8)
    assert "floor, 4 bits" in found.said
    assert found.dither == "rpdf"
    _, lower, upper = found.cells.intervals(torch.from_numpy(stored)).numpy()
    assert ((lower - 1e-4 <= 0.9 * SPEECH) & (upper + 1e-4 >= 0.9 * SPEECH)).all()


@pytest.mark.parametrize("gain", [1.0, 0.731])
@pytest.mark.parametrize("bits", [4, 6])
def test_a_dither_of_the_format_around_a_lattice(bits: int, gain: float) -> None:
    quantizer = mid_tread(bits)
    before = gain * quantizer.quantize(torch.from_numpy(0.9 * SPEECH)).numpy()
    noise = np.random.default_rng(0).random((2, len(SPEECH))).sum(0) - 1
    found, stored = found_in(before + noise * 2.0**-15)
    assert found.bits == bits, found.said
    assert found.off < len(stored) / 1000
    _, lower, upper = found.cells.intervals(torch.from_numpy(stored)).numpy()
    inside = (lower - 2.0**-15 <= 0.9 * gain * SPEECH) & (0.9 * gain * SPEECH <= upper + 2.0**-15)
    assert inside.mean() > 0.999


def spliced(first: int, then: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Two word lengths, the second from 40,000 on."""
    samples = np.concatenate(
        [
            mid_tread(bits).quantize(torch.from_numpy(0.9 * SPEECH[part])).numpy()
            for bits, part in ((first, slice(40_000)), (then, slice(40_000, None)))
        ]
    )
    steps = np.where(np.arange(len(SPEECH)) < 40_000, 2.0 ** (1 - first), 2.0 ** (1 - then))
    return samples, steps, [0, 40_000]


def gain_in_steps(bits: int, *gains: float) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """The volume changes every 20,000 samples."""
    gain = np.asarray(gains)[np.minimum(np.arange(len(SPEECH)) // 20_000, len(gains) - 1)]
    samples = mid_tread(bits).quantize(torch.from_numpy(0.9 * SPEECH)).numpy() * gain
    return samples, gain * 2.0 ** (1 - bits), [20_000 * at for at in range(len(gains))]


@pytest.mark.parametrize(
    ("samples", "steps", "starts"),
    [
        spliced(4, 6),
        spliced(6, 4),
        gain_in_steps(4, 1.0, 0.81, 0.63, 0.5),
        gain_in_steps(6, 0.7, 1.0, 0.52),
    ],
    ids=["4 then 6", "6 then 4", "gains at 4", "gains at 6"],
)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_lattice_that_changes(
    samples: np.ndarray, steps: np.ndarray, starts: list[int], subtype: str
) -> None:
    found, stored = found_in(samples, subtype)
    assert "changes along the recording" in found.said, found.said
    assert len(found.stretches) == len(starts), found.said
    _, lower, upper = found.cells.intervals(torch.from_numpy(stored)).numpy()
    near = np.isclose(upper - lower, steps, rtol=0.01) | np.isinf(upper - lower)
    assert near.mean() > 0.99  # what rests on 0 around a border is on both
    tool = Dequantizer({4: build(ModelSpec(n=64, depth=3, units="half-steps"))}, 16_000)
    restored = tool.restore(stored)
    assert ((lower - 1e-9 <= restored) & (restored <= upper + 1e-9)).all()


@pytest.mark.parametrize(
    ("bits", "rate", "share", "by_whole"),
    [
        *((8, 16_000, 1, 1), (9, 16_000, 0.5, 1), (10, 22_050, 0, 0.75), (6, 8000, 0.75, 1)),
        *((7, 11_025, 0.75, 0.75), (8, 8000, 0.5, 1)),
    ],
)
def test_as_much_as_is_known_to_help(bits: int, rate: int, share: float, by_whole: float) -> None:
    found, stored = found_in(mid_tread(bits).quantize(torch.from_numpy(0.9 * SPEECH)).numpy())
    helped_by = helped(found, rate, 16_000)
    assert helped(found, rate, 16_000, whole=lambda found: True).share == by_whole
    dithered, shipped = found.dithered("tpdf"), Dequantizer.load()
    assert shipped.helped(found, rate).share == by_whole
    assert shipped.helped(dithered, rate).share == (share or 1)
    if not share:
        assert helped_by.quantizer is None
        assert "no model is known to help" in helped_by.said
        return
    assert helped_by.share == share
    assert (f"{share:.0%} of the change" in helped_by.said) == (share < 1)
    tool = Dequantizer({8: build(ModelSpec(n=64, depth=3, units="half-steps"))}, 16_000)
    whole, part = (
        np.concatenate([stream.push(stored), stream.finish()])
        for stream in (tool.stream(found.cells, bits, found.centre), tool.stream_of(helped_by))
    )
    assert np.allclose(part - stored, share * (whole - stored), atol=1e-6)


T = np.arange(48_000) / 16_000
BEEP = np.sin(2 * np.pi * 1.5 * T) > 0
WAVES = {
    "square": 0.3125 * np.sign(np.sin(2000 * T + 0.1)),
    "beeps": 0.3125 * BEEP * np.sign(np.sin(2000 * T + 0.1)),
    "two volumes": BEEP * np.sign(np.sin(2000 * T + 0.1)) * np.where(T < 1, 0.125, 0.625),
    "one bit": np.where(SPEECH[:48_000] < 0, -0.5, 0.5),
}


@pytest.mark.parametrize("wave", WAVES)
def test_synthetic_waves_are_left_alone(wave: str) -> None:
    found, _ = found_in(WAVES[wave])
    assert found.quantizer is None
    assert "no model is known to help" in found.said, found.said
