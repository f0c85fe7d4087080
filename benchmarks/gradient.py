"""What one gradient costs over its bare products, and what it costs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import ergodual as ed
from benchmarks import sweeps
from benchmarks.measure import one_core, paired, ratio, report

TOLERANCE = 1e-3
"""Relative difference of two gradients in float32 that still count as the same (a sign at a kink may differ)."""

NOTES = [
    "One core; medians of ratios taken side by side. floor: the 6d − 1 products alone. plain: Reverse with the last iterate as output; "
    "all others have 1/k weights. tape: autograd through addmm and clamp. compiled: torch.compile of that. jax: jit(grad).",
    "deepinv is not here: its package imports torchvision, for which there is no build for the CPU build of torch.",
]


def main(out: Path) -> None:
    """Batch 32, 256, 1024 × depth 1, 8, 64."""
    one_core()
    rows = []
    for batch in (32, 256, 1024):
        for depth in (1, 8, 64):
            runs = {
                "floor": sweeps.floor(batch, depth),
                "reverse": sweeps.ours(batch, depth, ed.Reverse()),
                "plain": sweeps.ours(batch, depth, ed.Reverse(), ed.Last()),
                "checkpointed": sweeps.ours(batch, depth, ed.Checkpointed()),
                "tape": sweeps.taped(batch, depth),
                "compiled": sweeps.taped(batch, depth, compiled=True),
            }
            if (in_jax := sweeps.jax(batch, depth)) is not None:
                runs["jax"] = in_jax
            for name in runs.keys() - {"floor", "plain"}:
                require_same(name, runs[name](), runs["reverse"]())
            seconds = paired(runs)
            over = {name: ratio(seconds, name, "reverse") if name in runs else None for name in ("checkpointed", "tape", "compiled", "jax")}
            rows.append(
                {
                    "batch": batch,
                    "depth": depth,
                    "reverse/floor": ratio(seconds, "reverse", "floor"),
                    "plain/floor": ratio(seconds, "plain", "floor"),
                    **{f"{name}/reverse": value for name, value in over.items()},
                    "floor ms": 1e3 * min(seconds["floor"]),
                }
            )
            torch._dynamo.reset()
    report("gradient", "One gradient in K", rows, out, NOTES)


def require_same(name: str, ours: Any, theirs: Any) -> None:
    """That two ways compute one gradient."""
    a, b = np.asarray(ours), np.asarray(theirs)
    error = np.linalg.norm(a - b) / np.linalg.norm(b)
    if error > TOLERANCE:
        raise AssertionError(f"{name} computes another gradient: relative difference {error:.2g}")
