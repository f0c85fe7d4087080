"""Learning from a corpus that is larger than the memory that the process may use."""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import ergodual as ed
from benchmarks.measure import ROOT, one_core, paired, ratio, report
from ergodual.bilevel import Data
from ergodual.bilevel.data import Share
from ergodual.speech.corpora import find_audio, load_corpus, synthetic_speech
from ergodual.speech.quantizers import MidRise
from ergodual.speech.store import store_corpus

HOURS = 20
LIMIT = 1.5e9
BATCH = 32
NOTES = [
    f"{HOURS} hours of FLAC made by linking the synthetic speech many times over; depth 8, batch "
    f"{BATCH}, one core. In rounds of 100 mini-batches, learning from the corpus on the disk and "
    "from a small one in memory take turns. The memory is the highest resident one of `ergodual "
    f"train --depth 1 --batch 1024 --epochs 1` on it, which may allocate {LIMIT / 1e9} GB of data "
    "(RLIMIT_DATA).",
]


def main(out: Path) -> None:
    """Decode, learn side by side, and a whole run under a limit."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_TMP")) as folder:
        corpus, store = Path(folder) / "corpus", Path(folder) / "store"
        files = link(corpus)
        begun = time.perf_counter()
        big = store_corpus(files, 320, store / "train")
        decoding = time.perf_counter() - begun
        run = whole_run(corpus, store, Path(folder) / "run")
        one_core()
        small = load_corpus(synthetic_speech())
        seconds = paired(
            {"disk": learner(big.data(pair)), "memory": learner(small.data(pair))}, rounds=9
        )
        rows = [
            {
                "hours": len(big) * 320 / big.rate / 3600,
                "decoding s": decoding,
                "frames per s": 100 * BATCH / sorted(seconds["disk"])[len(seconds["disk"]) // 2],
                "disk/memory": ratio(seconds, "disk", "memory"),
                **run,
            }
        ]
    report("data", "A corpus larger than memory", rows, out, NOTES)


def link(folder: Path) -> list[Path]:
    """Names for the synthetic recordings until there are enough hours of them."""
    folder.mkdir()
    sources = find_audio(synthetic_speech())
    hours = load_corpus(synthetic_speech()).frames.numel() / 16_000 / 3600
    for i in range(round(HOURS / hours)):
        for source in sources:
            (folder / f"{i:04}-{source.name}").symlink_to(source)
    return find_audio(folder)


def pair(x_true: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """At 4 bits."""
    return MidRise(4).quantize(x_true), x_true


def learner(data: Data) -> Any:
    """Learns from the next hundred mini-batches each time it is called."""
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=1 / 16), ed.Dense.dct(320)), 8)
    stepper = torch.optim.SGD(model.parameters(), lr=0.01)
    batches = (
        batch
        for epoch in itertools.count()
        for batch in data.batches(BATCH, 0, epoch, 0, Share())
        if len(batch[0]) == BATCH
    )

    def run() -> None:
        for x_tilde, x_true in itertools.islice(batches, 100):
            stepper.zero_grad()
            ((model(x_tilde) - x_true).square().sum() / (2 * BATCH)).backward()
            stepper.step()

    return run


def whole_run(corpus: Path, store: Path, out: Path) -> dict[str, float]:
    """An epoch of ``ergodual train`` under a limit of memory."""
    options = [
        "--depth",
        "1",
        "--batch",
        "1024",
        "--epochs",
        "1",
        "--corpus",
        str(corpus),
        "--store",
        str(store),
        "--out",
        str(out),
    ]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "ergodual", "train", *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (int(LIMIT), int(LIMIT))),  # noqa: PLW1509
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"ergodual train ended with the status {status}")
    loss = json.loads((out / "log.jsonl").read_text().splitlines()[-1])["train_loss"]
    return {
        "memory MB": 1024 * usage.ru_maxrss / 1e6,
        "whole run s": time.perf_counter() - begun,
        "its loss": loss,
    }
