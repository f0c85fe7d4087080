"""Where each statement of the paper's two figures holds: a scan over step weights, θ, word lengths,
first operators, rates and schedules.
"""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import machine
from ergodual.experiments.plots import save_figure
from ergodual.files import write_atomically
from ergodual.speech.corpora import load_corpus
from recipes.claims_map.cells import (
    BEYOND,
    CELLS,
    NOTES,
    STANDARD,
    THETAS,
    WEIGHTS,
    Cell,
    N,
    Run,
    learned,
    moved_before,
)
from recipes.claims_map.figure import drawn
from recipes.claims_map.statements import beside_figures, beyond, others, verdicts
from recipes.training import JOBS, ROOT

RESULTS = ROOT / "results" / "map"
FIGURES = ROOT / "results" / "figures" / "figures.json"


def main(corpora: Path, _work: Path) -> None:
    """CORPORA holds ieee/train. What the JSON file holds is not learned again."""
    path = RESULTS / "map.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
    known = {json.dumps(run["is"]) for run in runs}
    asked = [run for cell in CELLS for run in cell.runs()] + BEYOND + STANDARD
    pending = [run for run in asked if json.dumps(run.described()) not in known]
    frames = load_corpus(corpora / "ieee" / "train", N).frames
    before = [
        {"weight": weight, "theta": theta, **moved_before(Cell(weight, theta), frames)}
        for theta in THETAS
        for weight in WEIGHTS
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(JOBS, context, _prepare, (corpora / "ieee" / "train",)) as pool:
        for number, future in enumerate(as_completed(pool.submit(_learn, r) for r in pending), 1):
            runs.append(future.result())
            _write(path, runs, before)
            print(
                f"{number} of {len(pending)}: {runs[-1]['is']} {runs[-1]['loss'][-1]}", flush=True
            )
    _write(path, runs, before)


def _write(path: Path, runs: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = verdicts(runs)
    content = {
        "command": "make map CORPORA=corpora",
        "machine": machine(),
        "notes": NOTES,
        "cells": cells,
        "others": others(cells),
        "beyond": beyond(runs),
        "standard": beside_figures(runs, FIGURES),
        "before": before,
        "runs": runs,
    }
    write_atomically(path, json.dumps(content) + "\n")
    save_figure(drawn(cells), RESULTS / "map")


_frames: Tensor


def _prepare(corpus: Path) -> None:
    global _frames
    torch.set_num_threads(1)
    _frames = load_corpus(corpus, N).frames


def _learn(run: Run) -> dict[str, Any]:
    return learned(run, _frames)
