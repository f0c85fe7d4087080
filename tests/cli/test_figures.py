"""``ergodual figures`` as it is called: its files, its exit status, its sentences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ergodual.cli import main

SMALL = [
    "--depths",
    "1",
    "2",
    "--epochs",
    "1",
    "--seeds",
    "1",
    "--frame",
    "16",
    "--batch",
    "8",
    "--jobs",
    "1",
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    samples = 0.5 * np.sin(0.3 * np.arange(400)) + 0.1 * np.random.default_rng(0).standard_normal(
        400
    )
    soundfile.write(folder / "a.wav", np.stack([samples, samples], axis=1), 8000)
    soundfile.write(folder / "b.wav", np.zeros(400), 8000)
    soundfile.write(folder / "c.wav", samples[:15], 8000)
    return folder


def test_figures_and_a_second_setting(
    corpus: Path,
    leave_behind: Callable[[Path], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    left = leave_behind(out)
    command = ["figures", "--corpus", str(corpus), "--out", str(out), *SMALL]
    assert main(command) == 0
    assert {"figure1.svg", "figure2.svg", "figures.json"} <= {file.name for file in out.iterdir()}
    assert not left.exists()
    content = json.loads((out / "figures.json").read_text())
    assert set(content) >= {"setting", "runs", "claims", "wall_seconds"}
    said = capsys.readouterr()
    assert "figure1.svg" in said.out
    for note in (
        "a.wav has 2 channels",
        "b.wav is silent",
        "c.wav has 15 samples",
        "1 files at 8000 Hz, 25 frames of 16 samples",
    ):
        assert said.out.count(note) == 1
    assert said.err == ""  # no progress bar where nobody watches

    assert main([*command, "--bits", "5"]) == 2
    said = capsys.readouterr()
    assert "bits was 4 and is now 5" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--bits", "17"], "17 bits"),
        (["--lr", "0"], "--lr"),
        (["--epochs", "0"], "--epochs"),
        (["--depths", "0"], "--depths"),
        (["--jobs", "0"], "--jobs is 0"),
        (["--jobs", "-1"], "--jobs is -1"),
    ],
)
def test_bad_values_are_a_sentence_and_status_2(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    assert (
        main(
            ["figures", "--corpus", str(corpus), "--out", str(tmp_path / "out"), *SMALL, *arguments]
        )
        == 2
    )
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def lives(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="the processes are looked up in /proc"
)
def test_killed_it_leaves_no_process_and_goes_on(corpus: Path, tmp_path: Path) -> None:
    out, patience = tmp_path / "out", time.monotonic() + 100
    arguments = [
        "figures",
        "--corpus",
        str(corpus),
        "--out",
        str(out),
        *SMALL,
        "--jobs",
        "2",
        "--epochs",
        "200",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "ergodual", *arguments], stdout=subprocess.DEVNULL
    ) as command:
        while not list(out.glob("runs/*.pt")):
            assert time.monotonic() < patience
            assert command.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        processes = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        os.kill(command.pid, signal.SIGKILL)
    while any(lives(process) for process in processes):
        assert time.monotonic() < patience
        time.sleep(0.005)
    assert len(processes) >= 2
    # whatever the kill met, there is one of each
    for left in (out, out / "runs"):
        (left / ".d1-plain-s0.json.ergodual-0123abcd.tmp").touch()
    assert main([*arguments, "--jobs", "1"]) == 0
    assert not [*out.rglob("*.pt"), *out.rglob("*.tmp")]


def test_a_corpus_without_audio_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["figures", "--corpus", str(empty), "--out", str(tmp_path / "out"), *SMALL]) == 2
    assert str(empty) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
