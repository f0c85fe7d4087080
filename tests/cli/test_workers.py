"""Many processes, as torchrun starts them: the same losses as one, also when one is killed."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ergodual.cli import main

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="the processes are looked up in /proc"
)

LEAVE = """
import os
import torch
from ergodual.bilevel.workers import joined

def threads():
    return len(os.listdir("/proc/self/task"))

before = threads()
with joined(torch.device("cpu")) as workers:
    torch.optim.SGD([torch.zeros(1)], lr=1.0)  # imports much of torch.distributed
    workers.wait()
    assert threads() > before
assert threads() == before
"""
SETTING = [
    "--frame",
    "32",
    "--depth",
    "3",
    "--batch",
    "10",
    "--threads",
    "1",
    "--checkpoint-every",
    "20",
    "--units",
    "signal",
]
"""In units of the signal: steps are so small there that rounding does not grow."""
MASTER = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]  # any free port


def torchrun(processes: int, corpus: Path, out: Path, *more: str) -> "subprocess.Popen[str]":
    launcher = [
        "torch.distributed.run",
        "--nproc-per-node",
        str(processes),
        "--max-restarts",
        "1",
        *MASTER,
    ]
    command = [
        sys.executable,
        "-W",
        "default",
        "-m",
        *launcher,
        "-m",
        "ergodual",
        "train",
        "--corpus",
        str(corpus),
        "--out",
        str(out),
        *SETTING,
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait, no longer than two minutes, for a good end; what was printed."""
    try:
        said, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return said


def wait_for_epoch(process: "subprocess.Popen[str]", out: Path) -> None:
    """Until the first epoch is in the log."""
    deadline = time.monotonic() + 100
    while not (out / "log.jsonl").exists() or len(log(out)) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.002)


def log(out: Path) -> list[dict[str, object]]:
    return [
        {**json.loads(line), "seconds": None}
        for line in (out / "log.jsonl").read_text().splitlines()
    ]


def close(ours: Path, theirs: Path) -> bool:
    pairs = zip(log(ours), log(theirs), strict=True)
    return all(
        math.isclose(a[key], b[key], rel_tol=1e-5)
        for a, b in pairs
        for key in ("train_loss", "dev_loss", "norm")
    )


@pytest.mark.parametrize("memory", ["0.5", "0"])
def test_two_processes_learn_what_one_does(
    memory: str, recordings: Callable[..., Path], tmp_path: Path
) -> None:
    """Also where the last mini-batch has one frame, so that the second process has none; and one
    goes on where two were.
    """
    corpus, dev = recordings(count=3, samples=32 * 17), recordings("dev", 1)
    options = ["--dev", str(dev), "--memory", memory]
    assert (
        main(
            [
                "train",
                "--corpus",
                str(corpus),
                "--out",
                str(tmp_path / "one"),
                *SETTING,
                *options,
                "--epochs",
                "3",
            ]
        )
        == 0
    )
    with torchrun(2, corpus, tmp_path / "two", *options, "--epochs", "3") as process:
        said = finish(process)
    assert (
        said.count("3 files at 16000 Hz, 51 frames of 32 samples") == 1
    )  # the leading process alone speaks
    assert close(tmp_path / "two", tmp_path / "one")
    assert {file.name for file in (tmp_path / "two").iterdir()} == {
        file.name for file in (tmp_path / "one").iterdir()
    }


def test_no_thread_of_the_group_outlives_it(tmp_path: Path) -> None:
    """One that still works as Python ends can abort the process, and all would start again."""
    script = tmp_path / "leave.py"
    script.write_text(LEAVE)
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", *MASTER]
    subprocess.run([sys.executable, "-m", *launcher, str(script)], check=True, timeout=120)


def test_a_worker_that_is_killed(recordings: Callable[..., Path], tmp_path: Path) -> None:
    """torchrun starts all again, they go on from the last checkpoint, and the log is that of an
    undisturbed run.
    """
    corpus, dev = recordings(count=8, samples=6_000), recordings("dev", 1)
    options = ["--dev", str(dev), "--epochs", "4"]
    with torchrun(2, corpus, tmp_path / "whole", *options) as process:
        finish(process)
    out = tmp_path / "broken"
    with torchrun(2, corpus, out, *options) as process:
        wait_for_epoch(process, out)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        assert len(log(out)) < 5
        finish(process)
    assert log(out) == log(tmp_path / "whole")
    for name in ("model.safetensors", "best.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_another_number_of_processes_goes_on(
    recordings: Callable[..., Path], tmp_path: Path
) -> None:
    corpus, out = recordings(count=8, samples=6_000), tmp_path / "run"
    options = ["--dev", str(recordings("dev", 1)), "--epochs", "4"]
    assert (
        main(
            ["train", "--corpus", str(corpus), "--out", str(tmp_path / "whole"), *SETTING, *options]
        )
        == 0
    )
    with torchrun(2, corpus, out, *options) as process:
        wait_for_epoch(process, out)
        process.terminate()
        process.communicate(timeout=60)
    assert len(log(out)) < 5
    assert (
        main(["train", "--corpus", str(corpus), "--out", str(out), *SETTING, *options, "--resume"])
        == 0
    )
    assert close(out, tmp_path / "whole")
