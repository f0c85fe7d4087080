"""``ergodual train`` and its neighbours as a person calls them."""

import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ergodual.cli import main
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio, synthetic_speech
from ergodual.speech.frames import normalize
from ergodual.speech.measures import snr_db
from ergodual.speech.model import load_model
from ergodual.speech.quantizers import mid_rise

SMALL = ["--frame", "32", "--depth", "2", "--epochs", "2", "--threads", "1"]


def train(corpus: Path, out: Path, *more: str) -> int:
    return main(["train", "--corpus", str(corpus), "--out", str(out), *SMALL, *more])


def log(out: Path) -> list[dict[str, object]]:
    return [
        {**json.loads(line), "seconds": None}
        for line in (out / "log.jsonl").read_text().splitlines()
    ]


@pytest.mark.parametrize(
    "more",
    [
        [],
        [
            "--output",
            "plain",
            "--optimizer",
            "adam",
            "--learn",
            "K",
            "steps",
            "--per-iteration",
            "--relative",
        ],
        [
            "--learn",
            "K",
            "steps",
            "weights",
            "--steps",
            "weighted",
            "--weight",
            "5",
            "--schedule",
            "cosine",
            "--units",
            "signal",
        ],
        [
            "--rows",
            "40",
            "--units",
            "half-steps",
            "--shift",
            "--bias",
            "1",
            "--windowed",
            "--optimizer",
            "adam",
            "--warmup",
            "2",
            "--lr-scale",
            "0.3",
        ],
        ["--regulariser", "l21", "--rows", "48", "--optimizer", "adam"],
        [
            "--quantizer",
            "mu-law",
            "--bits",
            "8",
            "--units",
            "half-steps",
            "--shift",
            "--bias",
            "1",
            "--optimizer",
            "adam",
        ],
        ["--quantizer", "a-law", "--bits", "8", "--units", "half-steps", "--optimizer", "adam"],
    ],
)
def test_what_a_run_leaves(
    more: list[str],
    recordings: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".config.json.ergodual-0123abcd.tmp").touch()  # of one that was killed
    assert train(recordings(), out, "--dev", str(recordings("dev", 1)), *more) == 0
    assert {file.name for file in out.iterdir()} == {
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "best.safetensors",
        "checkpoint.pt",
    }
    config = json.loads((out / "config.json").read_text())
    assert config["lr"] == (1e-3 if "adam" in more else 0.05 if "signal" in more else 2e-3)
    bits, quantizer = (8, more[1]) if "--quantizer" in more else (4, "mid-rise")
    assert config["bits"] == bits
    assert config.get("quantizer", "mid-rise") == quantizer
    lines = log(out)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert set(lines[0]) == {
        *(
            "epoch",
            "train_loss",
            "dev_loss",
            "gradient_norm",
            "norm",
            "sigma",
            "tau",
            "weights",
            "lr",
            "seconds",
            "iterations",
        ),
    }
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    model, spec, metadata = load_model(out / "model.safetensors")
    assert (spec.depth, spec.n, metadata["bits"], metadata["quantizer"], metadata["rate"]) == (
        2,
        32,
        bits,
        quantizer,
        16_000,
    )
    assert metadata["training"] == config
    printed = capsys.readouterr()
    assert "3 files at 16000 Hz, 63 frames of 32 samples" in printed.out
    assert printed.err == ""


def test_killed_in_the_middle_of_an_epoch_and_resumed(
    recordings: Callable[..., Path], tmp_path: Path
) -> None:
    corpus, dev = recordings(count=6, samples=5_000), recordings("dev", 1)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = ["--dev", str(dev), "--epochs", "6", "--batch", "2"]
    assert train(corpus, whole, *arguments) == 0
    command = [
        sys.executable,
        "-m",
        "ergodual",
        "train",
        "--corpus",
        str(corpus),
        "--out",
        str(broken),
        *SMALL,
        *arguments,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (broken / "log.jsonl").exists() or len(log(broken)) < 3:
            assert time.monotonic() < deadline
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert 3 <= len(log(broken)) < 7
    (broken / ".checkpoint.pt.ergodual-0123abcd.tmp").touch()  # whatever the kill met
    assert train(corpus, broken, *arguments, "--resume") == 0
    assert log(broken) == log(whole)
    for name in ("model.safetensors", "best.safetensors"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
    assert not list(broken.glob(".*"))
    assert train(corpus, broken, *arguments, "--resume") == 0  # nothing is left to do
    assert log(broken) == log(whole)


def test_a_model_for_another_word_length_to_start_from(
    recordings: Callable[..., Path], tmp_path: Path, capsys
) -> None:
    corpus, options = recordings(), ["--units", "half-steps", "--rows", "36"]
    assert train(corpus, tmp_path / "four", *options) == 0
    four = str(tmp_path / "four" / "model.safetensors")
    assert train(corpus, tmp_path / "five", *options, "--bits", "5", "--init", four) == 0
    assert train(corpus, tmp_path / "same", *options, "--init", four) == 0
    assert log(tmp_path / "same")[0]["train_loss"] == pytest.approx(
        log(tmp_path / "four")[-1]["train_loss"], rel=1e-6
    )
    assert (
        train(
            corpus,
            tmp_path / "g711",
            *options,
            "--bits",
            "8",
            "--quantizer",
            "mu-law",
            "--init",
            four,
        )
        == 0
    )
    capsys.readouterr()
    assert train(corpus, tmp_path / "other", *options, "--depth", "3", "--init", four) == 2
    assert "its depth is 2 and that of the new one 3" in capsys.readouterr().err


def shell_of_the_readme() -> dict[str, list[str]]:
    """The first line of each command in the part about training."""
    text = (Path(__file__).parents[2] / "README.md").read_text().split("## Five lines of shell")[1]
    lines = re.findall(r"^    ergodual (.*?)(?:  +#.*)?$", text, re.M)
    return {line.split()[0]: line.split() for line in reversed(lines)}


def test_the_model_of_the_readme_dequantizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines for training and for dequantizing with what was trained, as printed."""
    monkeypatch.chdir(tmp_path)
    for name, clip in zip(("train", "dev"), find_audio(synthetic_speech()), strict=False):
        Path("corpora/ieee", name).mkdir(parents=True)
        meant = normalize(read_audio(clip)[0][16_000:48_000])
        soundfile.write(f"corpora/ieee/{name}/0.wav", meant, 16_000, "FLOAT")
    soundfile.write("in.wav", mid_rise(4).quantize(torch.from_numpy(meant)).numpy(), 16_000)
    commands = shell_of_the_readme()
    assert main(commands["train"]) == 0
    assert main(commands["dequantize"]) == 0
    stored, restored = (soundfile.read(name)[0] for name in ("in.wav", "out.wav"))
    assert snr_db(meant, restored) > snr_db(meant, stored) + 2


def test_resumed_with_what_may_differ(
    recordings: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ERGODUAL_PRODUCTS", "torch")
    corpus, whole, out = recordings(count=4), tmp_path / "whole", tmp_path / "run"
    options = ["--output", "plain", "--learn", "K", "steps", "--per-iteration", "--rows", "40"]
    assert train(corpus, whole, *options, "--epochs", "4") == 0
    assert train(corpus, out, *options) == 0
    resume = ["train", "--resume", "--out", str(out)]
    assert main(resume) == 0  # nothing is left to do
    assert [line["epoch"] for line in log(out)] == [0, 1, 2]
    assert main([*resume, "--epochs", "3", "--threads", "2", "--checkpoint-every", "1"]) == 0
    moved = corpus.rename(tmp_path / "moved")
    assert main(resume) == 2
    assert "corpus is not a folder" in capsys.readouterr().err
    assert main([*resume, *options, "--corpus", str(moved), "--threads", "1"]) == 0
    assert main([*resume, "--epochs", "4"]) == 0
    assert json.loads((out / "config.json").read_text())["corpus"] == str(moved)
    for one, other in zip(log(out), log(whole), strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
    assert main([*resume, "--rows", "41"]) == 2
    assert "rows was 40 and is now 41" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):  # nothing there that would say what the corpus is
        main(["train", "--resume", "--out", str(tmp_path / "nothing")])


def test_a_loss_that_rose_is_said_and_the_best_model_is_left(
    recordings: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = recordings(), tmp_path / "run"
    assert train(corpus, out, "--lr", "1e20") == 0
    error = capsys.readouterr().err
    assert ", where it began; lower --lr." in error
    assert error.count("\n") == 1
    assert load_model(out / "model.safetensors")[2]["epoch"] == 0
    before = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").unlink()
    assert train(corpus, out, "--lr", "1e20", "--resume") == 0
    assert (out / "model.safetensors").read_bytes() == before


BAD = {
    "bits": (["--bits", "0"], "0 bits"),
    "too many bits": (["--bits", "17"], "17 bits"),
    "bits of G.711": (["--quantizer", "mu-law"], "give --bits 8"),
    "units of G.711": (
        ["--quantizer", "a-law", "--bits", "8", "--units", "signal"],
        "--units half-steps",
    ),
    "depth": (["--depth", "0"], "--depth is 0"),
    "epochs": (["--epochs", "0"], "--epochs is 0"),
    "batch": (["--batch", "0"], "--batch is 0"),
    "frame": (["--frame", "0"], "--frame is 0"),
    "endless frame": (["--frame", "1000000"], "1000000 rows for frames of 1000000 samples"),
    "endless rows": (["--rows", "100000000"], "100000000 rows for frames of 32 samples"),
    "threads": (["--threads", "0"], "--threads is 0; it must be from 1 to 1024"),
    "too many threads": (["--threads", "100000"], "--threads is 100000"),
    "seed": (["--seed", "-1"], "--seed is -1"),
    "too large a seed": (["--seed", str(2**63)], "--seed is 9223372036854775808"),
    "learning rate": (["--lr", "0"], "--lr is 0"),
    "not a number": (["--lr", "nan"], "--lr is nan"),
    "weight": (["--weight", "-1"], "--weight is -1"),
    "weight of balanced steps": (["--weight", "5"], "--steps weighted"),
    "plain weights": (["--output", "plain", "--learn", "weights"], "--output ergodic"),
    "pairs of nothing": (["--per-iteration"], "add steps to --learn"),
    "relative to nothing": (["--relative"], "--relative means nothing"),
    "long frames": (["--frame", "5000"], "no frame to learn from"),
    "rows": (["--rows", "31"], "--rows is 31"),
    "odd rows": (["--regulariser", "l21", "--rows", "33"], "33 rows"),
    "bias": (["--shift", "--bias", "-1"], "--bias is -1"),
    "bias of all": (["--shift", "--bias", "8"], "--bias is 8"),
    "bias alone": (["--bias", "1"], "add it"),
    "warmup": (["--warmup", "-1"], "--warmup is -1"),
    "scale": (["--lr-scale", "0"], "--lr-scale is 0"),
    "start": (["--init", "nowhere"], "nowhere does not exist"),
    "nothing to shift": (["--shift", "--frame", "400"], "leave out --shift"),
    "a folder to start from": (["--init", "/"], "/ cannot be read"),
    "shifted on a disk": (["--shift", "--memory", "0"], "larger than --memory"),
    "dev": (["--dev", "nowhere"], "nowhere is not a folder"),
    "corpus": (["--corpus", "nowhere"], "nowhere is not a folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values(
    name: str, recordings: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, said = BAD[name]
    assert train(recordings(), tmp_path / "run", *options) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_dev_at_another_rate(
    recordings: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(recordings(), tmp_path / "run", "--dev", str(recordings("dev", 1, rate=8000))) == 2
    assert "8000 Hz" in capsys.readouterr().err


@pytest.mark.parametrize("memory", ["0.5", "0"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:1000]), "is truncated"),
        (lambda file: file.write_text("text"), "is not a readable"),
        (lambda file: soundfile.write(file, np.zeros(700), 16_000), "no frame to learn from"),
        (lambda file: soundfile.write(file, np.ones(700) / 2, 8000), "8000 Hz"),
    ],
)
def test_a_bad_recording_leaves_nothing_behind(
    spoil: Callable[[Path], object],
    said: str,
    memory: str,
    recordings: Callable[..., Path],
    tmp_path: Path,
    capsys,
) -> None:
    """Also where the corpus goes through a file, so that the same command does once the recording
    is mended.
    """
    corpus, dev, out = recordings(), recordings("dev", 1), tmp_path / "run"
    options = ["--dev", str(dev), "--memory", memory]
    good = (dev / "0.wav").read_bytes()
    spoil(dev / "0.wav")
    assert train(corpus, out, *options) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
    (dev / "0.wav").write_bytes(good)
    assert train(corpus, out, *options) == 0
    (dev / "0.wav").unlink()
    assert train(corpus, out, *options, "--resume") == 2
    assert (out / "model.safetensors").exists()


def test_folders_that_are_taken(
    recordings: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = recordings(), tmp_path / "run"
    assert train(corpus, out) == 0
    before = {file: file.read_bytes() for file in out.iterdir()}
    capsys.readouterr()
    for options, said in [
        ([], "is not empty"),
        (["--resume", "--bits", "5"], "bits was 4 and is now 5"),
        (["--resume", "--seed", "1"], "seed was 0 and is now 1"),
        (["--resume", "--units", "signal"], "units was 'half-steps' and is now 'signal'"),
        (["--resume", "--bits", "8", "--quantizer", "mu-law"], "bits was 4 and is now 8"),
        (["--resume", "--corpus", str(recordings("other", 2))], "data was '63"),
    ]:
        assert train(corpus, out, *options) == 2
        assert said in capsys.readouterr().err
        assert {file: file.read_bytes() for file in out.iterdir()} == before
    (out / "checkpoint.pt").write_bytes(before[out / "checkpoint.pt"][:1000])
    assert train(corpus, out, "--resume") == 2
    assert "not a whole checkpoint" in capsys.readouterr().err
    assert train(corpus, corpus, "--resume") == 2
    assert "no run to resume" in capsys.readouterr().err
    for damaged in (b"", b"{", b"[]", b"null", b"3", b"\xff", b'{"colour": 3}'):
        (out / "config.json").write_bytes(damaged)
        assert train(corpus, out, "--resume") == 2
        assert "config.json is damaged; start again in another folder" in capsys.readouterr().err
    file = tmp_path / "file"
    file.touch()
    assert train(corpus, file) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rate", "said"),
    [("1e4", "at the learning rate 10000"), ("1e29", "at the learning rate 1e+29")],
)
def test_a_training_that_diverges_leaves_the_last_good_model(
    rate: str,
    said: str,
    recordings: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, page = tmp_path / "run", tmp_path / "page.html"
    assert train(recordings(), out, "--learn", "K", "steps", "--lr", rate) == 2
    error = capsys.readouterr().err
    assert said in error
    assert (
        f"the last good epoch; lower the learning rate. The best one is "
        f"{out / 'model.safetensors'}." in error
    )
    assert error.count("\n") == 1
    best = min(log(out), key=lambda line: line["train_loss"])
    assert load_model(out / "model.safetensors")[2]["epoch"] == best["epoch"]
    assert main(["report", str(out), "--out", str(page), "--count", "1", "--seconds", "0.5"]) == 0


def test_a_disk_that_is_full(
    recordings: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    """Whichever file does not fit: a sentence, only whole files, and with --resume all that an
    undisturbed run leaves.
    """
    corpus, whole, fits = recordings(), tmp_path / "whole", math.inf
    dev = ["--dev", str(recordings("dev", 1)), "--lr", "0.02"]

    def full(_descriptor: int) -> None:
        nonlocal fits
        fits -= 1
        if fits < 0:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert train(corpus, whole, *dev) == 0
    for number in itertools.count():
        out, fits = tmp_path / str(number), number
        if train(corpus, out, *dev) == 0:
            break
        error = capsys.readouterr().err
        assert f"refused {out}" in error
        assert "No space left on device" in error
        assert error.count("\n") == 1
        assert not list(out.rglob("*tmp*"))
        fits = math.inf
        assert train(corpus, out, *dev, "--resume") == 0
        assert log(out) == log(whole)
        for name in ("model.safetensors", "best.safetensors"):
            assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert number > 8


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(),
    reason="there is no /proc, where not even the superuser may make a folder",
)
def test_an_output_that_is_read_only(
    recordings: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(recordings(), Path("/proc/self/run")) == 2
    error = capsys.readouterr().err
    assert "The file system refused /proc/self/run" in error
    assert error.count("\n") == 1


def test_tensorboard_that_is_not_installed(
    recordings: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert train(recordings(), tmp_path / "run", "--tensorboard") == 2
    assert "pip install ergodual[tensorboard]" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["train"], ["figures"], ["data"], ["demo"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    assert "ergodual" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["train"], ["train", "--nonsense"], ["train", "--depth", "two"], ["unheard-of"]],
)
def test_arguments_that_make_no_sense(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
