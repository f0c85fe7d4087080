"""Memory of the gradient of 48 filters at a solution, by each rule, each in its own process."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import ergodual as ed
from benchmarks.filters import FILTERS, NOISE, SIZE, losses, problem_of
from benchmarks.images import crops
from benchmarks.measure import ROOT, one_core, report
from benchmarks.memory import counted

ITERATIONS = 64
CROPS = (64, 128)
RULES: dict[str, ed.Piggyback | ed.Implicit | ed.Neumann | None] = {
    "Piggyback": ed.Piggyback(max_iterations=ITERATIONS),
    "Implicit(Minres())": ed.Implicit(solver=ed.Minres(max_iterations=ITERATIONS)),
    "Neumann": ed.Neumann(ITERATIONS),
    "Reverse": None,
}
NOTES = [
    f"{FILTERS} filters of {SIZE} x {SIZE}, ℓ1, one crop of an image, float64: the highest "
    f"resident memory during one forward and backward pass of {ITERATIONS} iterations each, which "
    "more of them do not change but for Reverse, minus that before; MB = 10⁶ bytes.",
    "Direct: what K alone takes as a matrix, as Implicit(Direct()) would set it up, which refuses "
    "at these sizes.",
]


def main(out: Path) -> None:
    """64² and 128²."""
    rows = []
    for size in CROPS:
        megabytes = {f"{rule} MB": in_a_process(rule, size) / 1e6 for rule in RULES}
        matrix = 8 * FILTERS * size**4 / 1e6
        rows.append(
            {
                "crop": f"{size} x {size}",
                **megabytes,
                "Direct MB": matrix,
                "Piggyback/Direct": megabytes["Piggyback MB"] / matrix,
            }
        )
    report("adjoints", "Memory of a gradient at the solution", rows, out, NOTES)


def in_a_process(rule: str, size: int) -> int:
    """Bytes."""
    code = f"from benchmarks.adjoints import peak; print(peak({rule!r}, {size}))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(found.stdout)


def peak(rule: str, size: int) -> int:
    """Bytes that one gradient needs at most in this process, which must be a fresh one."""
    one_core()
    warnings.simplefilter("ignore")

    def gradient(size: int) -> None:
        x, observed = crops(1, size, NOISE)
        problem, adjoint = problem_of(), RULES[rule]
        layer = (
            ed.Unrolled(problem, ITERATIONS, output=ed.Last())
            if adjoint is None
            else ed.Solved(problem, adjoint=adjoint, max_iterations=ITERATIONS)
        )
        losses(layer(observed), x).sum().backward()

    gradient(16)
    return counted(lambda: gradient(size))
