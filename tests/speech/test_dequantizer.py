"""Whatever the quantizer, the length and the blocks: inside the cells, and the same in a stream."""

import numpy as np
import pytest
import torch
from cases import QUANTIZERS
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed
from ergodual.functions import Box
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.model import ModelSpec, build, save_model
from ergodual.speech.stream import estimator_of, restore_channel

RATE, N = 16_000, 48


def dequantizer(overlap: float = 0.75) -> Dequantizer:
    models = {
        bits: build(ModelSpec(n=N, m=N + 16, depth=bits, units="half-steps")) for bits in (2, 4)
    }
    return Dequantizer(models, RATE, overlap)


def recording(length: int, seed: int = 0) -> np.ndarray:
    """Something with loud and with silent places, beyond the range of the quantizers here and
    there.
    """
    time, noise = np.arange(length), np.random.default_rng(seed)
    return np.sin(time / 7 + seed) * np.sin(time / 190 + seed) * 1.3 + 0.02 * noise.standard_normal(
        length
    )


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("name", QUANTIZERS)
def test_inside_the_cells(name: str, overlap: float) -> None:
    quantizer = QUANTIZERS[name]
    meant = torch.from_numpy(recording(5 * N + 7))
    stored = quantizer.quantize(meant)
    restored = torch.from_numpy(dequantizer(overlap).restore(stored.numpy(), 4, quantizer))
    lower, upper = quantizer.cell(stored)
    assert ((lower <= restored) & (restored <= upper)).all()
    assert restored.isfinite().all()


@given(
    length=st.integers(1, 6 * N),
    cuts=st.lists(st.integers(0, 6 * N), max_size=12),
    overlap=st.sampled_from([0.0, 0.3, 0.5, 0.75, 0.97]),
    seed=st.integers(0, 3),
)
def test_a_stream_gives_the_same_a_frame_later(
    length: int, cuts: list[int], overlap: float, seed: int
) -> None:
    whole, tool = (
        QUANTIZERS["mid-rise 4"].quantize(torch.from_numpy(recording(length, seed))).numpy(),
        dequantizer(overlap),
    )
    offline = tool.restore(whole, 4)
    assert offline.shape == whole.shape
    blocks = np.split(whole, sorted(min(cut, length) for cut in cuts))
    given_out, pushed = [], 0
    for number, block in enumerate(tool.restore_stream(blocks, 4)):
        given_out.append(block)
        pushed += len(blocks[number]) if number < len(blocks) else 0
        assert sum(map(len, given_out)) > pushed - N
    assert np.abs(np.concatenate(given_out) - offline).max() < 1e-6


def test_channels_are_independent() -> None:
    tool, quantizer = dequantizer(), QUANTIZERS["mid-tread 4"]
    stereo = quantizer.quantize(
        torch.from_numpy(np.stack([recording(300), recording(300, 1)], axis=1))
    ).numpy()
    both = tool.restore(stereo, 4, quantizer)
    assert np.allclose(both[:, 0], tool.restore(stereo[:, 0], 4, quantizer), atol=1e-7)
    assert np.allclose(both[:, 1], tool.restore(stereo[:, 1], 4, quantizer), atol=1e-7)


@pytest.mark.parametrize(("bits", "model"), [(1, 2), (2, 2), (3, 2), (4, 4), (8, 4)])
def test_the_model_of_the_nearest_word_length(bits: int, model: int) -> None:
    tool, samples = (
        dequantizer(),
        QUANTIZERS["mid-rise 4"].quantize(torch.from_numpy(recording(200))).numpy(),
    )
    alone = Dequantizer({model: tool.models[model]}, RATE)
    quantizer = QUANTIZERS["mid-rise 4"]
    assert np.array_equal(
        tool.restore(samples, bits, quantizer), alone.restore(samples, bits, quantizer)
    )


@pytest.mark.parametrize("name", ["mid-rise 8", "mid-tread 8", "mu-law", "a-law"])
def test_the_model_for_g711(name: str) -> None:
    tool, quantizer = dequantizer(), QUANTIZERS[name]
    own = build(ModelSpec(n=N, depth=3, units="half-steps"))
    samples = quantizer.quantize(torch.from_numpy(recording(200))).numpy()
    expected = Dequantizer({8: own} if quantizer.companded else tool.models, RATE)
    assert quantizer.companded == name.endswith("law")
    with_it = Dequantizer(tool.models, RATE, g711=own)
    assert np.array_equal(
        with_it.restore(samples, 8, quantizer), expected.restore(samples, 8, quantizer)
    )
    assert np.array_equal(
        with_it.restore(samples / 2, 8, quantizer.scaled(0.5)),
        with_it.restore(samples, 8, quantizer) / 2,
    )


def test_a_folder_with_a_model_for_g711(tmp_path) -> None:
    for name, depth, metadata in [
        ("4", 2, {"bits": 4}),
        ("g711", 3, {"bits": 8, "quantizer": "mu-law"}),
    ]:
        spec = ModelSpec(n=N, depth=depth, units="half-steps")
        save_model(tmp_path / f"{name}.safetensors", build(spec), spec, {**metadata, "rate": RATE})
    both, alone = Dequantizer.load(tmp_path), Dequantizer.load(tmp_path / "g711.safetensors")
    assert (list(both.models), both.models[4].depth) == ([4], 2)
    assert both.g711 is not None
    assert both.g711.depth == alone.models[8].depth == 3  # on its own it serves for everything


def test_the_volume_does_not_matter() -> None:
    quantizer = QUANTIZERS["mid-rise 4"]
    samples = quantizer.quantize(torch.from_numpy(recording(300))).numpy()
    quiet = dequantizer().restore(samples * 1e-3, 4, quantizer.scaled(1e-3))
    assert np.allclose(quiet, 1e-3 * dequantizer().restore(samples, 4), atol=1e-9)


def test_a_model_in_units_of_the_signal_is_refused(tmp_path) -> None:
    for units in ("signal", "half-steps"):
        spec = ModelSpec(n=N, depth=2, units=units)
        save_model(tmp_path / f"{units}.safetensors", build(spec), spec, {"bits": 4, "rate": RATE})
    assert Dequantizer.load(tmp_path / "half-steps.safetensors").rate == RATE
    with pytest.raises(ed.ErgodualError, match="units of the signal"):
        Dequantizer.load(tmp_path / "signal.safetensors")
    with pytest.raises(ed.ErgodualError, match="There is no model 'nothing'"):
        Dequantizer.load("nothing")


def test_a_model_in_units_of_the_signal_restores_what_it_was_trained_for() -> None:
    """In full frames without overlap, the stream gives what the model gives, whatever its units."""
    spec = ModelSpec(n=N, depth=3)
    model, quantizer = build(spec, 4), QUANTIZERS["mid-rise 4"]
    stored = quantizer.quantize(torch.from_numpy(recording(3 * N)).clamp(-0.99, 0.99))
    whole = restore_channel(estimator_of(model, spec, 4), N, stored.numpy(), quantizer, overlap=0)
    with torch.no_grad():
        lower, upper = (edge - stored for edge in quantizer.cell(stored))
        boxes = Box(lower=lower.float().reshape(-1, N), upper=upper.float().reshape(-1, N))
        frames = model(stored.float().reshape(-1, N), G=boxes)
    assert np.allclose(whole, frames.reshape(-1), atol=1e-6)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, float("nan")])
def test_impossible_overlaps(overlap: float) -> None:
    with pytest.raises(ed.ErgodualError, match="at least 0 and below 1"):
        dequantizer(overlap).restore(np.zeros(10), 4)


@pytest.mark.parametrize("name", ["mid-rise 2", "mid-tread 4"])
def test_an_offset_of_a_second_or_more_is_spared_the_model(name: str) -> None:
    quantizer, bits = QUANTIZERS[name], int(name[-1])
    wave = 0.3 * recording(RATE) / 1.3 + 0.2
    stored = quantizer.quantize(torch.from_numpy(wave)).numpy()
    tool, mean = dequantizer(), float(quantizer.intervals(torch.from_numpy(stored))[0].mean())
    stream = tool.stream(quantizer, bits, mean)
    told = np.concatenate([stream.push(stored), stream.finish()])
    assert np.array_equal(tool.restore(stored, bits, quantizer), told)
    plain = np.concatenate(list(tool.restore_stream([stored], bits, quantizer)))
    assert not np.array_equal(plain, told)
    short = stored[: RATE - 1]
    assert np.array_equal(
        tool.restore(short, bits, quantizer),
        np.concatenate(list(tool.restore_stream([short], bits, quantizer))),
    )
