"""One process against two, as torchrun starts them, on the same mini-batches."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, report
from ergodual.speech.corpora import synthetic_speech

ROUNDS = 3
NOTES = [
    "`ergodual train` on the synthetic speech, depth 8, 4 epochs, one thread a process; the "
    f"processes of 1 and of 2 take turns, {ROUNDS} times; seconds of the epochs as the log has "
    "them, the loss over all frames included. batch: frames of both processes together.",
]


def main(out: Path) -> None:
    """Batch 32, 256 and 1024."""
    rows = []
    for batch in (32, 256, 1024):
        rounds = [(run(1, batch), run(2, batch)) for _ in range(ROUNDS)]
        (_, loss_of_one), (_, loss_of_two) = rounds[0]
        rows.append(
            {
                "batch": batch,
                "speed of 2/speed of 1": statistics.median(
                    one / two for (one, _), (two, _) in rounds
                ),
                "difference of the losses": abs(loss_of_two - loss_of_one) / loss_of_one,
            }
        )
    report("scale", "Two processes", rows, out, NOTES)


def run(processes: int, batch: int) -> tuple[float, float]:
    """Seconds an epoch, and the last loss."""
    with tempfile.TemporaryDirectory() as folder:
        options = [
            "--corpus",
            str(synthetic_speech()),
            "--out",
            folder,
            "--batch",
            str(batch),
            "--epochs",
            "4",
        ]
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        subprocess.run(
            [sys.executable, "-m", *launcher, "-m", "ergodual", "train", *options],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        epochs = [
            json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()
        ]
        return statistics.median(epoch["seconds"] for epoch in epochs[1:]), epochs[-1]["train_loss"]
