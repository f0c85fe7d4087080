"""What all benchmarks share: paired timing, the machine's description, a table, the JSON file."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy
import torch
from rich.console import Console
from rich.table import Table

from ergodual.files import write_atomically
from ergodual.products import all_in_use

ROOT = Path(__file__).resolve().parents[1]


def one_core() -> None:
    """Keep this process, and every thread that a library may start in it, on one core."""
    on_cores(1)


def on_cores(count: int) -> None:
    """The same for some cores; libraries may have as many threads."""
    torch.set_num_threads(count)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-count:])


def paired(
    runs: dict[str, Callable[[], Any]], rounds: int = 11, least: float = 0.05
) -> dict[str, list[float]]:
    """The seconds of each run in each round.

    In every round all of them run one after the other, beginning with another one each time, so
    that whatever else the machine does meets all alike; only ratios within a round mean anything.
    Each is repeated until ``least`` seconds have passed.
    """
    repeats = {}
    for name, run in runs.items():
        run()
        begun = time.perf_counter()
        run()
        repeats[name] = max(1, round(least / (time.perf_counter() - begun)))
    names = list(runs)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            begun = time.perf_counter()
            for _ in range(repeats[name]):
                runs[name]()
            seconds[name].append((time.perf_counter() - begun) / repeats[name])
    return seconds


def ratio(seconds: dict[str, list[float]], over: str, under: str) -> float:
    """The median over the rounds of one run's seconds over another's."""
    return statistics.median(a / b for a, b in zip(seconds[over], seconds[under], strict=True))


def processor() -> str:
    """Its name, with the family and model that tell apart those that share one."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = (line.partition(":") for line in info.read_text().splitlines() if ":" in line)
    said = {key.strip(): value.strip() for key, _, value in lines}
    numbers = [f"{key} {said[key]}" for key in ("cpu family", "model") if key in said]
    name = said.get("model name", platform.processor())
    return f"{name} ({', '.join(numbers)})" if numbers else name


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "products": all_in_use(),
    }


def report(
    name: str, title: str, rows: list[dict[str, Any]], out: Path, notes: Iterable[str] = ()
) -> None:
    """Print the rows as a table and write them as JSON."""
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(
            column.replace("_", " "),
            justify="left" if isinstance(rows[0][column], str) else "right",
        )
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
    content = {
        "command": f"make bench ONLY={name}",
        "machine": machine(),
        "title": title,
        "rows": rows,
        "notes": list(notes),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / f"{name}.json", json.dumps(content, indent=1) + "\n")


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
