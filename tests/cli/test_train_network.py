"""``ergodual train`` on whole recordings, and what its models are for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ergodual.cli import main
from ergodual.speech.corpora import find_audio, synthetic_speech
from ergodual.speech.frames import normalize
from ergodual.speech.model import load_model
from ergodual.speech.network import Network

SMALL = ["--frame", "32", "--depth", "2", "--epochs", "1", "--bits", "3"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two recordings."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for file in find_audio(synthetic_speech())[:2]:
        shutil.copy(file, folder)
    return folder


def train(corpus: Path, out: Path, *more: str) -> int:
    return main(["train", "--corpus", str(corpus), "--out", str(out), *SMALL, *more])


@pytest.mark.parametrize(
    "more",
    [
        ["--model", "network", "--precision", "medium"],
        ["--model", "convex", "--bias", "0.5"],
        ["--model", "network", "--loss", "spectral"],
        ["--model", "network", "--quantizer", "mu-law", "--bits", "8"],
    ],
)
def test_train_resume_and_dequantize(
    more: list[str], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(corpus, run, "--dev", str(corpus), *more) == 0
    said = capsys.readouterr().out
    assert "parameters; " in said
    assert "in dB" in said
    model, spec, metadata = load_model(run / "best.safetensors")
    assert isinstance(model, Network)
    assert (spec.n, spec.depth, metadata["bits"]) == (32, 2, 8 if "mu-law" in more else 3)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert all(line["seconds"] > 0 for line in lines)

    # the options that the run was begun with, and one more epoch
    assert main(["train", "--out", str(run), "--resume", "--epochs", "2"]) == 0
    assert len((run / "log.jsonl").read_text().splitlines()) == 3
    assert main(["train", "--out", str(run), "--resume", "--epochs", "2"]) == 0  # nothing is left
    tuned = tmp_path / "tuned"
    init = ["--init", str(run / "model.safetensors")]
    assert train(corpus, tuned, *init, *more[:2], "--bits", "4", "--lr", "1e-4") == 0

    clean = normalize(soundfile.read(find_audio(corpus)[0], dtype="float32")[0])[:20_000]
    stored = (np.floor(clean * 4) + 0.5) / 4
    soundfile.write(tmp_path / "in.wav", stored, 16_000, subtype="FLOAT")
    words = [str(tmp_path / "in.wav"), str(tmp_path / "out.wav"), "--bits", "3"]
    for quality in ("normal", "best"):
        model_file = str(run / "model.safetensors")
        assert main(["dequantize", *words, "--model", model_file, "--quality", quality]) == 0
        restored = soundfile.read(tmp_path / "out.wav")[0]
        assert np.abs(restored - stored).max() <= 1 / 8 + 1e-6
        assert not np.array_equal(restored, stored)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--learn", "steps"], "--learn means nothing for --model network"),
        (["--output", "plain"], "--output means nothing"),
        (["--quantizer", "mu-law"], "give --bits 8"),
        (["--quantizer", "a-law", "--bits", "8", "--bias", "0.5"], "leave out --bias"),
        (["--store", "x"], "--store means nothing"),
        (["--frame", "33"], "must be even"),
        (["--bias", "1"], "from 0 to 0.5"),
        (["--precision", "high"], "highest or medium"),
        (["--device", "cuda"], ""),
        (["--bits", "17"], "17"),
        (["--batch", "0"], "--batch is 0"),
        (["--lr", "0"], "--lr is 0"),
        (["--memory", "0"], "larger than --memory"),
        (["--init", "nowhere.safetensors"], "does not exist"),
    ],
)
def test_bad_values(
    more: list[str], said: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(corpus, tmp_path / "run", "--model", "network", *more) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("losses", [("squared", "spectral"), ("spectral", "squared")])
def test_a_run_keeps_its_loss(
    losses: tuple[str, str], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, (old, new) = tmp_path / "run", losses
    assert train(corpus, run, "--model", "network", "--loss", old) == 0
    again = ["train", "--out", str(run), "--resume", "--epochs", "2"]
    assert main([*again, "--loss", new]) == 2
    assert f"loss was '{old}' and is now '{new}'" in capsys.readouterr().err
    assert main(again) == 0
    _, _, metadata = load_model(run / "model.safetensors")
    assert metadata["training"].get("loss", "squared") == old
    assert (run / "log.jsonl").read_text().count("\n") == 3


def test_refused_losses(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(corpus, tmp_path / "run", "--loss", "spectral") == 2
    assert "--loss spectral means nothing for --model frames" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train(corpus, tmp_path / "run", "--model", "network", "--loss", "loud")
    assert "'squared'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_model_of_another_kind_to_start_from(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(corpus, tmp_path / "run", "--model", "convex") == 0
    init = str(tmp_path / "run" / "model.safetensors")
    assert train(corpus, tmp_path / "other", "--model", "network", "--init", init) == 2
    assert "its model is 'convex'" in capsys.readouterr().err
    assert train(corpus, tmp_path / "other", "--model", "frames", "--init", init) == 2


@pytest.mark.parametrize("pays", [False, True])
def test_bfloat16_only_where_it_pays(
    pays: bool,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ergodual.cli.train_network.rounding_pays", lambda: pays)
    for precision in ("highest", "medium"):
        out = tmp_path / precision
        assert train(corpus, out, "--model", "network", "--precision", precision) == 0
        said = "no units for bfloat16" in capsys.readouterr().out
        assert said == (precision == "medium" and not pays)
    logs = [(tmp_path / p / "log.jsonl").read_text().splitlines() for p in ("highest", "medium")]
    losses = [json.loads(log[-1])["train_loss"] for log in logs]
    assert (losses[0] == losses[1]) == (not pays)
