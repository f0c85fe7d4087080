"""The quantizer is found again, whatever happened to the volume; good recordings are not taken for
bad ones.
"""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio, synthetic_speech
from ergodual.speech.detect import detect
from ergodual.speech.quantizers import a_law, mid_rise, mid_tread, mu_law, mu_law_continuous
from ergodual.speech.tally import Tally

WORD = {"PCM_U8": 2**7, "PCM_16": 2**15, "PCM_24": 2**23}
SPEECH = read_audio(find_audio(synthetic_speech())[0])[0].astype(np.float64)
SPEECH /= np.abs(SPEECH).max()


def stored(samples: np.ndarray, subtype: str) -> np.ndarray:
    """As a file holds it."""
    if subtype == "FLOAT":
        return samples.astype(np.float32).astype(np.float64)
    return (
        np.clip(np.rint(samples * WORD[subtype]), -WORD[subtype], WORD[subtype] - 1) / WORD[subtype]
    )


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize(("make", "kind"), [(mid_rise, "mid-rise"), (mid_tread, "mid-tread")])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("gain", [1.0, 0.8317, 1 / 3, 0.1])
def test_found_again(subtype: str, make, kind: str, bits: int, gain: float) -> None:
    if (gain * 2.0 ** (1 - bits) * 2**15 < 20 and subtype == "PCM_16") or (
        bits == 1 and kind == "mid-tread"
    ):
        pytest.skip(
            "a step of so few units of the file cannot be told from its rounding; one level and "
            "silence is no lattice"
        )
    quantizer = make(bits)
    values = stored(gain * quantizer.quantize(torch.from_numpy(0.97 * SPEECH)).numpy(), subtype)
    found = detect(Tally(*[values]), subtype)
    assert found.quantizer is not None, found.said
    assert kind in found.said
    assert found.bits == bits
    step = float(found.quantizer.levels.diff().mean())
    assert step == pytest.approx(gain * 2.0 ** (1 - bits), rel=2e-3)
    lower, upper = (edge.numpy() for edge in found.quantizer.cell(torch.from_numpy(values)))
    slack = 2.0 / WORD.get(subtype, 2**22)
    meant = gain * 0.97 * SPEECH
    clipped = np.abs(0.97 * SPEECH) > 1 - 2.0**-bits * (1 + (kind == "mid-tread"))
    assert (((lower - slack <= meant) & (meant <= upper + slack)) | clipped).all()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize(("peak", "bits"), [(3.4, 3), (16.4, 5), (50.4, 7), (127.4, 8)])
def test_few_steps_of_the_format(subtype: str, peak: float, bits: int) -> None:
    unit = 1 / WORD[subtype]
    found = detect(Tally(stored(peak * unit * SPEECH, subtype)), subtype)
    assert found.quantizer is not None, found.said
    assert (found.kind, found.bits, found.quantizer.step) == ("mid-tread", bits, unit)
    assert found.quantizer.edges.isfinite().all()  # the format would have held louder samples
    louder = detect(Tally(stored(200 * unit * SPEECH, subtype)), subtype)
    assert louder.quantizer is None, louder.said


@pytest.mark.parametrize(
    ("subtype", "step", "fewest", "most"),
    [("PCM_U8", 1.42, 5, 7), ("PCM_U8", 2.0, 5, 7), ("PCM_U8", 2.8, 4, 6), ("PCM_U8", 5.6, 4, 5)]
    + [("PCM_U8", 8.0, 4, 5), ("PCM_16", 1.42, 5, 8), ("PCM_16", 3.3, 4, 8), ("PCM_24", 7.7, 4, 8)],
)
@pytest.mark.parametrize("make", [mid_rise, mid_tread])
def test_no_matter_how_few_steps_of_the_format_a_step_has(
    subtype: str, step: float, fewest: int, most: int, make
) -> None:
    for bits in range(fewest, most + 1):
        quantizer = make(bits)
        gain = step / WORD[subtype] / quantizer.step
        values = quantizer.quantize(torch.from_numpy(0.98 * SPEECH)).numpy()
        values = np.floor(gain * values * WORD[subtype] + 0.5) / WORD[subtype]
        found = detect(Tally(values), subtype)
        assert found.quantizer is not None, found.said
        assert found.bits == bits, found.said
        assert found.quantizer.step == pytest.approx(gain * quantizer.step, rel=0.02)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_good_recordings_are_left_alone(subtype: str) -> None:
    for gain in (1.0, 0.3, 0.01):
        found = detect(Tally(*[stored(gain * SPEECH, subtype)]), subtype)
        assert found.quantizer is None
        assert "not coarsely quantized" in found.said


@given(values=st.lists(st.floats(-1, 1), min_size=12, max_size=200))
def test_numbers_at_random_are_no_lattice(values: list[float]) -> None:
    different = np.unique(stored(np.asarray(values), "PCM_24"))
    assume(len(different) >= 12)
    gaps = np.diff(different)
    assume(np.abs(gaps / gaps.min() - np.round(gaps / gaps.min())).max() > 0.05)
    assert detect(Tally(different), "PCM_24").quantizer is None


@pytest.mark.parametrize("make", [mu_law, a_law])
def test_g711_decoded_to_16_bits(make) -> None:
    values = make().quantize(torch.from_numpy(0.9 * SPEECH)).numpy()
    found = detect(Tally(*[values]), "PCM_16")
    assert found.quantizer is not None
    assert found.quantizer.name == make().name
    assert found.bits == 8


LAWS = {
    "mu-law": mu_law(),
    "A-law": a_law(),
    "mu-law-continuous, 8": mu_law_continuous(8),
    "mu-law-continuous, 6": mu_law_continuous(6, zero=True),
}


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize(
    ("volume", "gain", "edit"),
    [(1, 1, False), (1, 0.8, False), (1, 0.31, True), (0.05, 2.5, False), (1, 1, True)],
)
@pytest.mark.parametrize("name", LAWS)
def test_companded_at_any_volume(
    name: str, volume: float, gain: float, edit: bool, subtype: str
) -> None:
    before = LAWS[name].quantize(torch.from_numpy(0.97 * volume * SPEECH)).numpy() * gain
    values = before.copy()
    if edit:
        values[1000] += 5 * 2.0**-15
        values[30_000:30_160] = 0.9 * SPEECH[30_000:30_160]
    values = stored(values, subtype)
    found = detect(Tally(values), subtype)
    assert found.quantizer is not None, found.said
    assert found.said.startswith(name), found.said
    assert ("off its levels and were kept" in found.said) == edit
    _, lower, upper = found.cells.intervals(torch.from_numpy(values)).numpy()
    expected = LAWS[name].scaled(gain).cell(torch.from_numpy(before))
    untouched = np.abs(values - before) < 2.0**-15
    for edge, right in zip((lower, upper), expected, strict=True):
        near = np.isclose(edge, right.numpy(), atol=2.0**-15)
        assert near[untouched].mean() > (0.999 if edit else 0.9999)


@pytest.mark.parametrize(("make", "bits"), [(mu_law, 8), (a_law, 5)])
def test_quiet_g711(make, bits: int) -> None:
    values = make().quantize(torch.from_numpy(0.00405 * SPEECH))
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        found = detect(Tally(values.numpy()), subtype)
        assert found.quantizer is not None
        assert found.bits == bits  # in the first two segments A-law is uniform
        for edge, right in zip(found.quantizer.cell(values), make().cell(values), strict=True):
            assert torch.allclose(edge, right)


def test_files_of_eight_bits() -> None:
    found = detect(Tally(mid_tread(8).quantize(torch.from_numpy(0.5 * SPEECH)).numpy()), "PCM_U8")
    assert found.quantizer is not None
    assert float(found.quantizer.levels.diff().mean()) == 2.0**-7


@pytest.mark.parametrize("values", [[], [0.0], [0.25]])
def test_too_little_to_tell(values: list[float]) -> None:
    found = detect(Tally(np.asarray(values)), "PCM_16")
    assert found.quantizer is None
    assert "one value only" in found.said


def click(samples: np.ndarray) -> np.ndarray:
    samples[1000] += 5 * 2.0**-15
    return samples


def loud_click(samples: np.ndarray) -> np.ndarray:
    samples[1000] = 0.99
    return 0.7 * samples


def repair(samples: np.ndarray) -> np.ndarray:
    samples[2000:2160] = SPEECH[2000:2160]
    return samples


def faded(samples: np.ndarray) -> np.ndarray:
    return samples * np.clip((np.arange(len(samples)) - 0.2 * len(samples)) / 16_000, 0, 1)


def fine_to_the_end(samples: np.ndarray) -> np.ndarray:
    samples[2 * len(samples) // 3 :] = SPEECH[2 * len(samples) // 3 :]
    return samples


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("bits", [4, 6])
@pytest.mark.parametrize("edit", [click, loud_click, repair, faded, fine_to_the_end])
def test_samples_off_the_lattice_are_known(subtype: str, bits: int, edit) -> None:
    quantizer = mid_tread(bits)
    before = quantizer.quantize(torch.from_numpy(0.9 * SPEECH)).numpy()
    gain = 0.7 if edit is loud_click else 1.0
    values = stored(edit(before.copy()), subtype)
    found = detect(Tally(*np.array_split(values, 5)), subtype)
    assert found.quantizer is not None, found.said
    assert f"mid-tread, {bits} bits" in found.said
    assert f"of {len(values):,} samples are off the lattice and were kept" in found.said
    _, lower, upper = found.cells.intervals(torch.from_numpy(values)).numpy()
    untouched = np.abs(values - gain * before) <= 2.0**-15 * 0.51
    expected = [edge.numpy() * gain for edge in quantizer.cell(torch.from_numpy(before))]
    width = (upper - lower)[untouched & np.isfinite(expected[0]) & np.isfinite(expected[1])]
    assert np.median(width) == pytest.approx(gain * quantizer.step, rel=1e-3)
    touched = (np.abs(values - gain * before) > 2.0**-14) & (values != 0)
    assert (lower == upper)[touched].mean() > 0.8  # the rest is on it by accident
    assert ((lower <= values) & (values <= upper)).all()


@pytest.mark.parametrize(
    "edit",
    [
        lambda x: x * np.linspace(0, 1, len(x)),
        lambda x: np.where(np.arange(len(x)) < 0.6 * len(x), 0, x),
        lambda x: np.convolve(x, [0.25, 0.5, 0.25])[: len(x)],
        lambda x: 0.03 * np.where(np.arange(len(x)) < 0.47 * len(x), 0, x),
        lambda x: 0.1 * np.kron(x[:30_000], [1, 0]),
        lambda x: 0.3 * (np.arange(len(x)) // 800 % 2) * np.sin(np.arange(len(x)) * np.pi / 8),
    ],
    ids=["faded", "mostly silent", "filtered", "half silent", "zero-stuffed", "keyed tone"],
)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_edited_good_recordings_are_left_alone(subtype: str, edit) -> None:
    assert detect(Tally(stored(edit(0.99 * SPEECH), subtype)), subtype).quantizer is None


def test_a_tally_forgets_the_rarest() -> None:
    common, rare = np.tile([0.25, -0.5], 70_000), np.arange(150_000) / 2**20
    tally = Tally(common, *np.array_split(rare, 3))
    assert tally.forgot
    assert tally.total == 290_000
    assert len(tally.values) <= 2**16
    counts = dict(zip(tally.values.tolist(), tally.counts.tolist(), strict=True))
    assert (counts[0.25], counts[-0.5]) == (70_000, 70_000)
