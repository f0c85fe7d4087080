"""The long results of the gallery's pages on the paper's relatives, three seeds where something is
learned.
"""

from __future__ import annotations

import importlib
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import machine, one_core
from ergodual.files import write_atomically
from recipes.training import ROOT

RESULTS = ROOT / "results" / "relatives"
NAMES = (
    "quantized_speech",
    "ergodic_rates",
    "lista",
    "filter_weights",
    "learned_primal_dual",
    "structured_models",
    "residual_networks",
    "truncated_backpropagation",
    "inexact_piggyback",
    "segmentation",
    "accelerated_networks",
    "perceptual_loss",
    "depth_super_resolution",
    "atgv_net",
    "analysis_synthesis",
    "learned_regularisers",
)
"""Modules beside this one, each with ``NOTES``, ``SEEDS`` and ``run(data, seed)``, which gives
rows."""

Row = dict[str, Any]


def main(data: Path, names: list[str]) -> None:
    """Those that are named, all if none is; seeds that are in the file are not run again."""
    one_core()
    for name in names or NAMES:
        if name not in NAMES:
            raise SystemExit(f"There is no relative {name!r}; there are {', '.join(NAMES)}.")
        relative = importlib.import_module(f"recipes.relatives.{name}")
        path = RESULTS / f"{name}.json"
        runs = json.loads(path.read_text())["runs"] if path.exists() else []
        for seed in relative.SEEDS:
            if any(row["seed"] == seed for row in runs):
                continue
            torch.manual_seed(seed)
            runs += [{"seed": seed, **row} for row in relative.run(data, seed)]
            content = {
                "command": f"make relatives DATA=corpora ONLY={name}",
                "machine": machine(),
                "notes": relative.NOTES,
                "rows": brief(over_seeds(runs)),
                "runs": brief(runs),
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            # without spaces, as results are to be light
            write_atomically(path, json.dumps(content, separators=(",", ":")) + "\n")
            print(json.dumps(content["rows"], indent=1), flush=True)


def brief(value: Any) -> Any:
    """The same with six digits of each float."""
    if isinstance(value, dict):
        return {key: brief(each) for key, each in value.items()}
    if isinstance(value, list):
        return [brief(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def over_seeds(runs: list[Row]) -> list[Row]:
    """A row for each setting, which is all but the floats: their means, lowest and highest."""
    groups: dict[Any, list[Row]] = {}
    for row in runs:
        setting = {k: v for k, v in row.items() if k != "seed" and not isinstance(v, float)}
        groups.setdefault(tuple(setting.items()), []).append(row)
    found = []
    for setting, rows in groups.items():
        one: Row = {**dict(setting), "seeds": len(rows)}
        for key in (k for k, v in rows[0].items() if isinstance(v, float)):
            values = [row[key] for row in rows]
            one[key] = statistics.mean(values)
            if len(rows) > 1:
                one[f"{key}, range"] = [min(values), max(values)]
        found.append(one)
    return found
