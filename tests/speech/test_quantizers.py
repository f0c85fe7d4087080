"""The mid-rise quantizer, the paper's data, and a recording restored."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed
from ergodual.bilevel import mean_loss
from ergodual.speech.corpora import Corpus, load_corpus
from ergodual.speech.measures import snr_db
from ergodual.speech.model import ModelSpec, build, load_model, save_model
from ergodual.speech.quantizers import MidRise

samples = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20)


@given(samples, st.integers(1, 16), st.booleans())
def test_the_truth_lies_in_the_cell(values: list[float], bits: int, clip: bool) -> None:
    x, quantizer = torch.tensor(values), MidRise(bits, clip)
    quantized = quantizer.quantize(x)
    assert ((quantized - x).abs() <= quantizer.radius).all()
    assert torch.equal(quantizer.quantize(-x)[x != 0], -quantized[x != 0])
    if clip:
        assert quantized.abs().max() <= 1 - quantizer.radius


@pytest.mark.parametrize("bits", range(1, 9))
def test_levels(bits: int) -> None:
    x = torch.linspace(-1, 1, 10_001)
    assert len(MidRise(bits).quantize(x).unique()) == 2**bits
    assert (
        float(MidRise(bits, clip=False).quantize(torch.ones(1))) == 1 + MidRise(bits).radius
    )  # the paper's one level too many
    assert float(MidRise(bits).quantize(torch.zeros(1))) == MidRise(bits).radius  # sign(0) = +1


@pytest.mark.parametrize("bits", [0, 17, -1])
def test_word_length_out_of_range(bits: int) -> None:
    with pytest.raises(ed.ErgodualError, match=f"is {bits} bits"):
        MidRise(bits)


@pytest.fixture(scope="module")
def ieee() -> Corpus:
    if not os.environ.get("ERGODUAL_CORPORA"):
        pytest.skip("ERGODUAL_CORPORA names no folder with the corpora")
    return load_corpus(Path(os.environ["ERGODUAL_CORPORA"]) / "ieee" / "train")


def test_the_papers_frames(ieee: Corpus) -> None:
    assert (ieee.files, ieee.rate, tuple(ieee.frames.shape)) == (504, 16_000, (66_628, 320))
    error = MidRise(4, clip=False).quantize(ieee.frames) - ieee.frames
    assert round(float(error.square().sum(dtype=torch.float64)) / 2 / 66_628, 4) == 0.3183


@pytest.mark.parametrize(
    ("output", "depth", "loss"),
    [("plain", 1, 0.3076), ("plain", 2, 0.3079), ("plain", 4, 0.2685), ("plain", 8, 0.2191)]
    + [("ergodic", 2, 0.3047), ("ergodic", 4, 0.2835), ("ergodic", 8, 0.2527)],
)
def test_losses_before_learning(ieee: Corpus, output: str, depth: int, loss: float) -> None:
    model = build(ModelSpec(depth=depth, output=output), bits=4)
    model.steps = ed.StepSizes.fixed(0.99, 0.99)  # the exact norm, not the line above it
    assert (
        round(mean_loss(model, MidRise(4, clip=False).quantize(ieee.frames), ieee.frames), 4)
        == loss
    )


def test_snr() -> None:
    clean = np.array([3.0, 4.0])
    assert math.isclose(snr_db(clean, clean + [0.5, 0.0]), 20)
    assert snr_db(clean, clean) == math.inf
    for bad, said in ((clean[:1], "one length"), (None, "silent")):
        with pytest.raises(ed.ErgodualError, match=said):
            snr_db(clean if bad is not None else 0 * clean, clean if bad is None else bad)


SPECS = [
    ModelSpec(n=16, depth=2),
    ModelSpec(
        n=16,
        depth=3,
        output="plain",
        steps="weighted",
        weight=5.0,
        learn=("K", "steps"),
        per_iteration=True,
    ),
    ModelSpec(n=16, depth=3, learn=("weights", "steps")),
    ModelSpec(
        n=16,
        m=20,
        depth=3,
        regulariser="l21",
        learn=("K", "steps"),
        per_iteration=True,
        relative=True,
        units="half-steps",
    ),
]


@pytest.mark.parametrize("bits", [4, 6])
@pytest.mark.parametrize("spec", SPECS)
def test_model_file(spec: ModelSpec, bits: int, tmp_path: Path) -> None:
    model, path, x = build(spec, bits), tmp_path / "model.safetensors", torch.randn(5, 16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn(parameter.shape)
        save_model(path, model, spec, {"bits": bits, "quantizer": "mid-rise", "rate": 16_000})
        again, its_spec, metadata = load_model(path)
        assert its_spec == spec
        assert metadata == {"bits": bits, "quantizer": "mid-rise", "rate": 16_000}
        assert torch.equal(again(x), model(x))
    assert [p.requires_grad for p in again.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]


def test_weights_cannot_be_learned_without_an_average() -> None:
    with pytest.raises(ed.ErgodualError, match="ergodic output only"):
        build(ModelSpec(output="plain", learn=("weights",)))
