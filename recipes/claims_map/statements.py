"""What the paper's figures say, held against the runs of each cell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ergodual.experiments.claims import ERGODIC_SPREAD, PLAIN_SPREAD
from recipes.claims_map.cells import BATCHES, CELLS, DEPTHS, OTHERS, Cell, Run, times
from recipes.relatives import over_seeds

Values = Sequence[float]


def _rises(values: Values) -> bool:
    return all(a < b for a, b in pairwise(values))


def _spread(values: Values) -> float:
    return max(values) / min(values)


STATEMENTS: dict[str, tuple[str, str, Callable[[Values], bool]]] = {
    "plain loss rises with d": ("plain", "loss", _rises),
    "plain loss above d = 1": ("plain", "loss", lambda values: min(values[1:]) > values[0]),
    "ergodic loss falls with d": ("ergodic", "loss", lambda values: _rises(values[::-1])),
    "ergodic norms within 1.3": (
        "ergodic",
        "gradient_norm",
        lambda values: _spread(values) <= ERGODIC_SPREAD,
    ),
    "plain norms 3 apart": (
        "plain",
        "gradient_norm",
        lambda values: _spread(values) >= PLAIN_SPREAD,
    ),
}
"""Of an output, what it is about, and whether values over the depths do it."""
ALL = "all at once"


def verdicts(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each cell that is whole: at which marks each statement holds, as digits, and all at once;
    the last losses and gradient norms, and how far the estimates moved.
    """
    found = []
    known = {tuple(run["is"]): run for run in runs}
    for cell in CELLS:
        own = [run for run in cell.runs() if tuple(run.described()) in known]
        if len(own) < len(cell.runs()):
            continue
        by = {(run.output, run.depth): known[tuple(run.described())] for run in own}
        by["ergodic", 1] = by["plain", 1]
        at = times(cell, BATCHES)[1:]
        row: dict[str, Any] = {**cell._asdict(), "end": at[-1]}
        for name, (output, key, holds) in STATEMENTS.items():
            curves = [by[output, depth][key][-len(at) :] for depth in DEPTHS]
            row[name] = "".join(str(int(holds(v))) for v in zip(*curves, strict=True))
        row[ALL] = "".join(min(digits) for digits in zip(*map(row.get, STATEMENTS), strict=True))
        for output in ("plain", "ergodic"):
            for key in ("loss", "gradient_norm"):
                row[f"{output} {key}"] = [by[output, depth][key][-1] for depth in DEPTHS]
            row[f"{output} moved"] = [by[output, depth]["moved"] for depth in DEPTHS]
        found.append(row)
    return found


def others(cells: list[dict[str, Any]]) -> list[dict[str, str]]:
    """When each statement holds in the cells that lie on neither of the map's axes, in words."""
    found = []
    for row in cells:
        cell = Cell(*(row[name] for name in Cell._fields))
        if cell in OTHERS:
            at = times(cell, BATCHES)[1:]
            held = {name: _when(row[name], at) for name in (*STATEMENTS, ALL)}
            found.append({"setting": _said(cell), "last time": f"{at[-1]:.0f}", **held})
    return found


def _said(cell: Cell) -> str:
    """What differs from the standard cell."""
    names = {"weight": "w = {:g}", "theta": "θ = {:g}", "bits": "{} bits", "start": "K {} at first"}
    names |= {"rate": "rate {:g}", "schedule": "schedule {}"}
    pairs = zip(names.values(), cell, Cell(), strict=True)
    return ", ".join(form.format(value) for form, value, usual in pairs if value != usual)


def _when(digits: str, at: Values) -> str:
    if len(set(digits)) == 1:
        return "always" if digits[0] == "1" else "never"
    spans = []
    for one in re.finditer("1+", digits):
        first, last = f"{at[one.start()]:.0f}", f"{at[one.end() - 1]:.0f}"
        if one.end() == len(digits):
            spans.append(f"from {first}")
        elif one.start() == 0:
            spans.append(f"to {last}")
        else:
            spans.append(first if first == last else f"{first} to {last}")
    return ", ".join(spans)


def beyond(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last loss of each kind, depth and output of the standard setting, over three seeds."""
    standard = [
        {**dict(zip(Run._fields[1:], one["is"][len(Cell._fields) :], strict=True)), "loss": loss}
        for one, loss in ((run, run["loss"][-1]) for run in runs)
        if Cell(*one["is"][: len(Cell._fields)]) == Cell()
    ]
    return [row for row in over_seeds(standard) if row["seeds"] == 3]


def beside_figures(runs: list[dict[str, Any]], figures: Path) -> list[dict[str, Any]]:
    """The last loss of each standard run beside that of the paper's figures at its seed."""
    whole = {
        (run["depth"], run["output"], run["seed"]): run["loss"][-1]
        for run in json.loads(figures.read_text())["runs"]
    }
    found = []
    for run in runs:
        depth, output, kind, seed = run["is"][len(Cell._fields) :]
        if kind == "standard":
            ours, theirs = run["loss"][-1], whole[depth, output, seed]
            row = {"depth": depth, "output": output, "loss": ours, "of figures": theirs}
            found.append({**row, "apart in percent": round(100 * (ours / theirs - 1), 2)})
    return sorted(found, key=lambda row: (row["depth"], row["output"]))
