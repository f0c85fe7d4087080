"""``python -m benchmarks [NAME ...] [--out DIR]``: each benchmark in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT

NAMES = (
    "gradient",
    "against",
    "memory",
    "precision",
    "step",
    "inference",
    "data",
    "scale",
    "solve",
    "networks",
    "norms",
    "filters",
    "adjoints",
    "derivatives",
    "lasso",
    "bilevel",
    "trial",
    "outputs",
    "regressions",
    "zoo",
    "recordings",
    "restoring",
    "peers",
    "fista",
    "reuse",
)


def main() -> int:
    """The exit status: that of the first benchmark that failed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description="Measure, print tables and write JSON; let nothing else run meanwhile.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; all if none is given"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "results" / "benchmarks", help="folder for the JSON"
    )
    arguments = parser.parse_args()
    names = arguments.names or NAMES
    for name in names:
        if name not in NAMES:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(NAMES)}")
    if len(names) == 1:
        importlib.import_module(f"benchmarks.{names[0]}").main(arguments.out)
        return 0
    for (
        name
    ) in names:  # one core, one compiler cache, one peak of memory: none may touch the next one's
        status = subprocess.run(
            [sys.executable, "-m", "benchmarks", name, "--out", str(arguments.out)], cwd=ROOT
        ).returncode
        if status:
            return status
    return 0


sys.exit(main())
