"""A training step of the speech network, through the reverse sweep and through the tape."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

import ergodual as ed
from benchmarks.measure import ROOT, one_core, paired, ratio, report
from benchmarks.memory import status
from ergodual.products import rounded_products
from ergodual.speech.network import Network, NetworkSpec

BATCH, LENGTH = 8, 5120
NOTES = [
    f"Loss and gradient of {BATCH} pieces of {LENGTH} samples, 8 iterations, 2.49 million "
    "parameters. bfloat16: products of the reverse sweep and of the map, as in training; on the "
    "tape the map's only and those that autocast makes. Memory: the highest resident during a "
    "step minus that before it, after a step of one short piece; MB = 10⁶ bytes."
]


def main(out: Path) -> None:
    """In float32, and with products in bfloat16."""
    one_core()
    rows = []
    for rounded in (False, True):
        runs = {way: step(way, rounded) for way in ("reverse", "tape")}
        seconds = paired(runs, rounds=9)
        peak = {way: in_a_process(way, rounded) for way in runs}
        rows.append(
            {
                "products": "bfloat16" if rounded else "float32",
                **{f"{way} ms": 1e3 * sorted(taken)[4] for way, taken in seconds.items()},
                "time of reverse/tape": ratio(seconds, "reverse", "tape"),
                **{f"{way} MB": bytes_ / 1e6 for way, bytes_ in peak.items()},
                "memory of reverse/tape": peak["reverse"] / peak["tape"],
            }
        )
    report("recordings", "A training step of the speech network", rows, out, NOTES)


def step(way: str, rounded: bool, batch: int = BATCH, length: int = LENGTH) -> Callable[[], object]:
    """A loss and its gradient."""
    torch.manual_seed(0)
    network = Network(NetworkSpec())
    network.unrolled.adjoint = ed.Reverse() if way == "reverse" else ed.Tape()
    x_true = 4 * torch.randn(batch, length)
    x_tilde = 2 * (x_true / 2).floor() + 1

    def run() -> None:
        network.zero_grad()
        with rounded_products() if rounded else contextlib.nullcontext():
            with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                x_hat = network(x_tilde)
            (x_hat - x_true).square().mean().backward()

    return run


def in_a_process(way: str, rounded: bool) -> int:
    """Bytes."""
    code = f"from benchmarks.recordings import peak; print(peak({way!r}, {rounded}))"
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def peak(way: str, rounded: bool) -> int:
    """Bytes that one step needs at most in this process, which must be a fresh one."""
    one_core()
    step(way, rounded, 1, 640)()
    run = step(way, rounded)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the highest is counted anew from here
    before = status("VmRSS")
    run()
    return status("VmHWM") - before
