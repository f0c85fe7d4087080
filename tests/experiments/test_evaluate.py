"""The methods that are compared do what their names say, and the table says what was measured."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch

from ergodual.cli import main
from ergodual.experiments.classical import Linear, Perceptron, converged_dct, gabor
from ergodual.functions import Box
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio, synthetic_speech
from ergodual.speech.model import ModelSpec, build, save_model
from ergodual.speech.quantizers import mid_rise

SPEECH = torch.from_numpy(
    read_audio(find_audio(synthetic_speech())[0])[0][16_000 : 16_000 + 320 * 40]
)
FRAMES = (SPEECH / SPEECH.abs().max()).reshape(-1, 320) * 16
STORED = mid_rise(4).quantize(FRAMES / 16) * 16
BOX = Box(radius=1.0)


def error(estimate: torch.Tensor) -> float:
    return float((estimate - FRAMES).square().mean())


def test_least_squares_is_best_among_the_linear_ones() -> None:
    matrix = Linear(STORED, FRAMES)._matrix
    assert error(STORED @ matrix) < error(STORED)
    for _ in range(5):
        assert error(STORED @ (matrix + 1e-3 * torch.randn(320, 320))) > error(STORED @ matrix)


@pytest.mark.parametrize(
    "make",
    [lambda: Linear(STORED, FRAMES), lambda: Perceptron(320, 10_000), lambda: converged_dct(320)],
)
def test_consistent(make) -> None:
    with torch.no_grad():
        estimate = make()(STORED, G=BOX)
    assert (estimate - STORED).abs().max() <= 1 + 1e-5


def test_a_perceptron_of_so_many_parameters_learns() -> None:
    torch.manual_seed(0)
    perceptron = Perceptron(320, 204_800)
    assert sum(p.numel() for p in perceptron.parameters()) == pytest.approx(204_800, rel=0.01)
    perceptron.learn(STORED, FRAMES, epochs=20)
    with torch.no_grad():
        assert error(perceptron(STORED, G=BOX)) < 0.7 * error(STORED)


def test_the_dct_has_converged() -> None:
    model, longer = converged_dct(320), converged_dct(320)
    longer.depth *= 4
    with torch.no_grad():
        energies = [
            float((found @ model.problem.K.matrix.T).abs().sum())
            for found in (model(STORED), longer(STORED))
        ]
    assert energies[0] == pytest.approx(energies[1], rel=1e-3)


def test_gabor_is_tight_consistent_and_sparser() -> None:
    stored, true = STORED.reshape(-1).double(), FRAMES.reshape(-1).double()
    free = torch.full_like(stored, torch.inf)
    assert (
        gabor(stored, -free, free, 512, 300).abs().max() < 1e-3
    )  # nothing holds it from 0, at the rate of an isometry
    found = gabor(stored, stored - 1, stored + 1, 512, 100)
    assert (found - stored).abs().max() <= 1 + 1e-9
    assert (found - true).square().sum() < 0.8 * (stored - true).square().sum()


LEFT = ".measures.json.ergodual-0123abcd.tmp"


def model(folder: Path) -> Path:
    spec = ModelSpec(depth=4, units="half-steps")
    save_model(folder / "model.safetensors", build(spec), spec, {"bits": 4, "rate": 16_000})
    return folder / "model.safetensors"


def test_the_table(
    recordings: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = recordings(count=2, samples=8000), tmp_path / "out"
    options = [
        "--bits",
        "3",
        "4",
        "--models",
        f"ergodic={model(tmp_path)}",
        "--train",
        str(recordings("train", samples=8000)),
    ]
    assert main(["evaluate", "--corpus", str(corpus), "--out", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert "4 bits, mean over 2 files" in said
    assert "4 bits, level over the original in dB" in said
    assert "4000–8000" in said
    drawing = (out / "levels.svg").read_text()
    assert all(name in drawing for name in ("3 bits", "4 bits", "quantized", "ergodic"))
    rows = json.loads((out / "measures.json").read_text())["rows"]
    assert {row["method"] for row in rows} == {
        "quantized",
        "linear",
        "perceptron",
        "dct",
        "gabor",
        "ergodic",
    }
    assert {row["bits"] for row in rows} == {3, 4}
    by_name = {(row["bits"], row["method"], row["measure"]): row for row in rows}
    for (bits, method, measure), row in by_name.items():
        if row["mean"] is not None:
            assert row["ci95"][0] <= row["mean"] <= row["ci95"][1]
            assert row["least"] <= row["mean"]
        if measure == "delta_snr_db":
            difference = (
                by_name[bits, method, "snr_db"]["mean"]
                - by_name[bits, "quantized", "snr_db"]["mean"]
            )
            assert row["mean"] == pytest.approx(difference)
    # the noise of the quantizer is white, and these recordings are not
    assert by_name[3, "quantized", "level_4000_8000_db"]["mean"] > 1
    with (out / "measures.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["mean"] or "nan") for row in table] == pytest.approx(
        [math.nan if row["mean"] is None else row["mean"] for row in rows], nan_ok=True
    )


def test_what_one_recording_cannot_tell_is_null(
    recordings: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = recordings(count=1, samples=8000), tmp_path / "out"
    out.mkdir()
    (out / LEFT).touch()  # of one that was killed
    options = ["--bits", "4", "--models", f"ergodic={model(tmp_path)}", "--no-gabor"]
    assert main(["evaluate", "--corpus", str(corpus), "--out", str(out), *options]) == 0
    assert "nan" not in capsys.readouterr().out
    text = (out / "measures.json").read_text()
    assert "NaN" not in text
    assert all(row["ci95"] == [None, None] for row in json.loads(text)["rows"])
    with (out / "measures.csv").open() as file:
        assert {row["ci95_low"] for row in csv.DictReader(file)} == {""}
    assert not (out / LEFT).exists()


def elsewhere(corpus: Path, folder: Path, length: int | None = None) -> Path:
    """As another program leaves it: here what was quantized, by other means than evaluate's."""
    (folder / "4").mkdir(parents=True)
    for file in find_audio(corpus):
        target = folder / "4" / f"{file.stem}.flac"
        assert main(["quantize", str(file), str(target), "--bits", "4", "--normalize"]) == 0
        if length is not None:
            soundfile.write(target, soundfile.read(target)[0][:length], 16_000)
    return folder


def test_what_was_restored_elsewhere_is_in_the_table(
    recordings: Callable[..., Path], tmp_path: Path
) -> None:
    corpus, out = recordings(count=2, samples=8000), tmp_path / "out"
    other = elsewhere(corpus, tmp_path / "other")
    options = ["--bits", "4", "--models", f"ergodic={model(tmp_path)}", "--no-gabor"]
    options += ["--restored", f"other={other}"]
    assert main(["evaluate", "--corpus", str(corpus), "--out", str(out), *options]) == 0
    rows = json.loads((out / "measures.json").read_text())["rows"]
    mean = {(row["method"], row["measure"]): row["mean"] for row in rows}
    assert mean["other", "delta_snr_db"] == pytest.approx(0, abs=1e-4)
    for measure in ("snr_db", "lsd_db", "level_1000_2000_db"):
        assert mean["other", measure] == pytest.approx(mean["quantized", measure], rel=1e-3)
    assert ("other", "audio_seconds_per_second") not in mean


def test_what_was_not_restored_whole(
    recordings: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = recordings(count=2, samples=8000)
    given = ["evaluate", "--corpus", str(corpus), "--out", str(tmp_path / "out"), "--bits", "4"]
    given += ["--models", f"a={model(tmp_path)}", "--no-gabor"]
    short = elsewhere(corpus, tmp_path / "short", 7000)
    assert main([*given, "--restored", f"other={short}"]) == 2
    assert "has 7000 samples at 16000 Hz and the recording 8000" in capsys.readouterr().err
    next((short / "4").iterdir()).unlink()
    assert main([*given, "--restored", f"other={short}"]) == 2
    assert "has nothing for" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--models", "speech-16k"], "give NAME=MODEL"),
        (["--restored", "folder"], "give NAME=FOLDER"),
        (["--restored", "dct=folder"], "the name of another row"),
        (["--restored", "other=nowhere"], "nowhere/4 is not a folder"),
        (["--models", "a=nothing"], "no model 'nothing'"),
        (["--bits", "0"], "0 bits"),
        (["--threads", "0"], "--threads is 0"),
        (["--quantizer", "mu-law"], "add --bits 8"),
        (["--corpus", "nowhere"], "nowhere is not a folder"),
        (["--train", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_bad_values(
    options: list[str], said: str, recordings: Callable[..., Path], tmp_path: Path, capsys
) -> None:
    given = [
        "--corpus",
        str(recordings()),
        "--out",
        str(tmp_path / "out"),
        "--models",
        f"a={model(tmp_path)}",
    ]
    assert main(["evaluate", *given, *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
