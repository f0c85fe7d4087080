"""What one gradient costs over its bare products, and what it costs elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ergodual as ed
from benchmarks import sweeps
from benchmarks.measure import one_core, paired, ratio, report

TOLERANCE = 2e-2
"""Relative difference of two gradients in float32 that still count as the same: an argument that
rounding moves over a bound changes a mask. In float64 they agree to 1e-12
(tests/primal_dual/test_adjoints.py).
"""

NOTES = [
    "One core; medians of ratios taken side by side. floor: the 6d − 1 products alone. plain: "
    "Reverse with the last iterate as output; all others have 1/k weights. Tape: ed.Tape. addmm: "
    "autograd through the same iteration written with addmm, clamp and lerp. compiled: "
    "torch.compile of that. jax: jit(grad).",
    "deepinv is not here: its package imports torchvision, for which there is no build for the "
    "CPU build of torch.",
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
                "Tape": sweeps.ours(batch, depth, ed.Tape()),
                "addmm": sweeps.taped(batch, depth),
                "compiled": sweeps.taped(batch, depth, compiled=True),
            }
            if (in_jax := sweeps.jax(batch, depth)) is not None:
                runs["jax"] = in_jax
            for name in runs.keys() - {"floor", "plain"}:
                require_same(name, runs[name](), runs["reverse"]())
            seconds = paired(runs)
            others = ("checkpointed", "Tape", "addmm", "compiled", "jax")
            over = {
                name: ratio(seconds, name, "reverse") if name in runs else None for name in others
            }
            rows.append(
                {
                    "batch": batch,
                    "depth": depth,
                    "reverse/floor": ratio(seconds, "reverse", "floor"),
                    "plain/floor": ratio(seconds, "plain", "floor"),
                    **{f"{name}/reverse": value for name, value in over.items()},
                    "addmm/floor": ratio(seconds, "addmm", "floor"),
                    "jax/floor": ratio(seconds, "jax", "floor") if in_jax is not None else None,
                    "floor ms": 1e3 * min(seconds["floor"]),
                }
            )
            print(f"batch {batch}, depth {depth}: done", file=sys.stderr)
            torch._dynamo.reset()
    report("gradient", "One gradient in K", rows, out, NOTES)


def require_same(name: str, ours: Any, theirs: Any) -> None:
    """That two ways compute one gradient."""
    a, b = np.asarray(ours), np.asarray(theirs)
    error = np.linalg.norm(a - b) / np.linalg.norm(b)
    if error > TOLERANCE:
        raise AssertionError(f"{name} computes another gradient: relative difference {error:.2g}")
