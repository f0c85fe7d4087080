"""What ``reuse_memory`` gains, where iterates are images: with and without, in processes of their
own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

import ergodual as ed
from benchmarks.measure import ROOT, one_core, ratio, report
from benchmarks.memory import status
from ergodual.images.loss import InteriorError
from ergodual.images.networks import Centred, an_operator_per_iteration

ROUNDS, REPEATS = 5, 3
NOTES = [
    f"A step: gradients in eight iterations' 48 filters of 7 × 7 each on three crops of 88 × 88. "
    f"Solve: natural-grey on 256 × 256 to 1e-3. Medians of {ROUNDS} ratios, each of two processes "
    f"one after the other, each the median of {REPEATS} runs; MB = 10⁶ bytes at the most."
]


def _step() -> Callable[[], object]:
    model, loss = Centred(an_operator_per_iteration()), InteriorError()
    x = 10 * torch.rand(3, 1, 88, 88)
    return lambda: loss(model(x + torch.randn_like(x)), x).mean().backward()


def _solve() -> Callable[[], object]:
    F, K = ed.load_regulariser("natural-grey").terms(noise=0.1)
    problem = ed.Problem(F, ed.SquaredL2(), K)
    x_tilde = torch.rand(1, 1, 256, 256)
    return lambda: ed.solve(problem, x_tilde, tol=1e-3)


WORK = {"learning filters": _step, "solving with filters": _solve}


def main(out: Path) -> None:
    """Both kinds of work."""
    rows = []
    for work in WORK:
        seconds: dict[str, list[float]] = {"as it is": [], "reused": []}
        most: dict[str, list[float]] = {"as it is": [], "reused": []}
        for i in range(ROUNDS):
            for way in list(seconds)[:: 1 - 2 * (i % 2)]:
                code = f"from benchmarks.reuse import run; run({work!r}, {way == 'reused'})"
                command = [sys.executable, "-c", code]
                said = subprocess.check_output(command, cwd=ROOT, text=True)
                found = map(float, said.split())
                seconds[way].append(next(found))
                most[way].append(next(found))
        rows.append(
            {
                "work": work,
                "reused / as it is": ratio(seconds, "reused", "as it is"),
                "as it is, ms": 1e3 * median(seconds["as it is"]),
                "as it is, MB": median(most["as it is"]) / 1e6,
                "reused, MB": median(most["reused"]) / 1e6,
            }
        )
    report("reuse", "Memory that is used again", rows, out, NOTES)


def run(work: str, reused: bool) -> None:
    """Print the seconds of one run in this process, and the bytes that it had at most."""
    one_core()
    if reused:
        ed.reuse_memory()
    torch.manual_seed(0)
    done = WORK[work]()
    done()
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        done()
        taken.append(time.perf_counter() - begun)
    print(median(taken), status("VmHWM"))
