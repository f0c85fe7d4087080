"""The convex model, stopped early and solved: the paper's question on whole recordings.

Its iteration converges to the solution of min F(Kx) over the cells, which ``ergodual.solve``
certifies; the output of d iterations may be nearer to the truth than that.
"""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ergodual as ed
from ergodual.files import write_atomically
from ergodual.primal_dual.outputs import Output
from ergodual.speech.corpora import load_corpus
from ergodual.speech.model import load_model
from ergodual.speech.network import Network
from ergodual.speech.quantizers import MidRise
from recipes.training import ROOT

RESULTS = ROOT / "results" / "whole"
RUN = "convex-4"
DEPTHS = (2, 4, 8, 16, 64)
EVERY = 4
"""One recording in so many."""
GAP = 1e-4
"""Relative."""


def main(corpora: Path, work: Path) -> None:
    """WORK holds the run ``convex-4``, learned on ieee/train at 4 bits with d = 8."""
    model, _, metadata = load_model(work / RUN / "best.safetensors")
    assert isinstance(model, Network)
    quantizer = MidRise(metadata["bits"])
    recordings = load_corpus(corpora / "ieee" / "dev").recordings[::EVERY]
    rows: dict[str, list[dict[str, Any]]] = {}
    with torch.no_grad():
        for number, x in enumerate(recordings):
            for name, row in _estimates(model, x, quantizer).items():
                rows.setdefault(name, []).append(row)
            print(number + 1, "of", len(recordings), flush=True)
    table: list[dict[str, Any]] = [
        {"output": name} | {key: _mean([row[key] for row in some]) for key in some[0]}
        for name, some in rows.items()
    ]
    sigma, tau, _ = model.unrolled.numbers()
    norm = model.unrolled.problem.K.norm_bound()
    found = {
        "command": "python -m recipes convex CORPORA",
        "training": metadata["training"],
        "files": len(recordings),
        "sigma_tau_norm_squared": sigma[0] * tau[0] * norm**2,
        "rows": table,
    }
    for line in table:
        print(line)
    write_atomically(RESULTS / "convex.json", json.dumps(found, indent=1) + "\n")


def _mean(values: list[float]) -> float | None:
    """None where an estimate was rounded out of its cells, and its objective is infinite."""
    found = statistics.mean(values)
    return found if math.isfinite(found) else None


def _estimates(model: Network, x: Tensor, quantizer: MidRise) -> dict[str, dict[str, float]]:
    """SNR and relative gap of every output of one recording."""
    half = quantizer.radius
    x_tilde = quantizer.quantize(x)[None] / half
    F = model.functions(x_tilde)
    assert isinstance(F, ed.L21)
    problem = model.unrolled.problem.with_functions(F=F)
    one = problem.instance(x_tilde)
    unit = float(one.primal(one.zeros_primal()))

    def row(x_hat: Tensor, lowest: float) -> dict[str, float]:
        error = (x_hat[0] * half - x).square().sum()
        return {
            "snr_db": float(10 * torch.log10(x.square().sum() / error)),
            "relative_distance_of_objectives": (float(one.primal(x_hat - x_tilde)) - lowest) / unit,
        }

    solution = ed.solve(problem, x_tilde, tol=GAP)
    lowest = float(one.primal(solution.r)) - float(solution.gap)
    found = {"stored": row(x_tilde, lowest)}
    outputs: dict[str, Output] = {
        "last": ed.Last(),
        "1/k": ed.Ergodic("1/k"),
        "uniform": ed.Ergodic("uniform"),
    }
    for depth in DEPTHS:
        for name, output in outputs.items():
            layer = ed.Unrolled(problem, depth, model.unrolled.steps, output)
            found[f"{name}, d = {depth}"] = row(layer(x_tilde), lowest)
    found[f"learned average, d = {model.spec.depth}"] = row(model(x_tilde), lowest)
    found["solution"] = row(solution.x, lowest) | {
        "iterations": float(solution.iterations),
        "relative_gap": float(solution.error),
    }
    return found
