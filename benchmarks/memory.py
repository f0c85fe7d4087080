"""Peak memory of one gradient, each in its own process, and the time that keeping less costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ergodual as ed
from benchmarks import sweeps
from benchmarks.measure import ROOT, one_core, paired, ratio, report

BATCH = 256
WAYS = {
    "reverse": lambda depth: sweeps.ours(BATCH, depth, ed.Reverse()),
    "checkpointed": lambda depth: sweeps.ours(BATCH, depth, ed.Checkpointed()),
    "tape": lambda depth: sweeps.taped(BATCH, depth),
}
NOTES = [
    f"Batch {BATCH}. The highest resident memory during a gradient minus that before it, after a "
    "gradient of depth 1; MB = 10⁶ bytes."
]


def main(out: Path) -> None:
    """Depth 8, 64, 1000."""
    one_core()
    rows = []
    for depth in (8, 64, 1000):
        peak = {way: in_a_process(way, depth) for way in WAYS}
        seconds = paired({way: WAYS[way](depth) for way in ("reverse", "checkpointed")}, rounds=5)
        rows.append(
            {
                "depth": depth,
                **{f"{way} MB": bytes_ / 1e6 for way, bytes_ in peak.items()},
                "reverse/tape": peak["reverse"] / peak["tape"],
                "checkpointed/tape": peak["checkpointed"] / peak["tape"],
                "time of checkpointed/reverse": ratio(seconds, "checkpointed", "reverse"),
            }
        )
    report("memory", "Memory of one gradient", rows, out, NOTES)


def in_a_process(way: str, depth: int) -> int:
    """Bytes."""
    command = [
        sys.executable,
        "-c",
        f"from benchmarks.memory import peak; print(peak({way!r}, {depth}))",
    ]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def peak(way: str, depth: int) -> int:
    """Bytes that one gradient needs at most in this process, which must be a fresh one."""
    one_core()
    WAYS[way](1)()
    return counted(WAYS[way](depth))


def counted(run: Callable[[], object]) -> int:
    """Bytes that a run needs at most."""
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # Linux: the highest resident memory is counted anew from here
    before = status("VmRSS")
    run()
    return status("VmHWM") - before


def status(field: str) -> int:
    """A number of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])
