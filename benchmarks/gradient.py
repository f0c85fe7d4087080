"""What one gradient costs over its bare products, and what it costs elsewhere."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ergodual as ed
from benchmarks import sweeps
from benchmarks.measure import on_cores, paired, ratio, report
from benchmarks.peak import peak

TOLERANCE = 2e-2
"""Relative difference of two gradients in float32 that still count as the same: an argument that
rounding moves over a bound changes a mask. In float64 they agree to 1e-12
(tests/primal_dual/test_adjoints.py).
"""

SIZES = {
    1: [(batch, depth) for batch in (32, 256, 1024) for depth in (1, 8, 64)],
    2: [(256, 8), (1024, 8)],
}
"""Batches and depths by the number of threads."""

NOTES = [
    "Medians of ratios taken side by side. floor: the 6d − 1 products alone, by the fastest exact "
    "kernel. plain: Reverse with the last iterate as output; all others have 1/k weights. Tape: "
    "ed.Tape. addmm: autograd through the same iteration written with addmm, clamp and lerp. "
    "compiled: torch.compile of that. jax: jit(grad), with as many threads.",
    "floor GFLOP/s: in the floor's best round; of peak: its share of what as many cores do in a "
    "loop of multiply-adds on registers (benchmarks/peak.py).",
    "deepinv is not here: its package imports torchvision, for which there is no build for the "
    "CPU build of torch.",
]


def main(out: Path) -> None:
    """Batch 32, 256, 1024 × depth 1, 8, 64 on one core, and two of them on two."""
    rows = []
    for threads, sizes in SIZES.items():
        if threads > (os.cpu_count() or 1):
            continue
        # of each number of threads in a process of its own: JAX asks once how many there are
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows += pool.submit(measured, threads, sizes).result()
    report("gradient", "One gradient in K", rows, out, NOTES)


def measured(threads: int, sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """A row for each batch and depth."""
    on_cores(threads)
    return [_row(threads, batch, depth) for batch, depth in sizes]


def _row(threads: int, batch: int, depth: int) -> dict[str, Any]:
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
    torch._dynamo.reset()
    others = ("checkpointed", "Tape", "addmm", "compiled", "jax")
    over = {name: ratio(seconds, name, "reverse") if name in runs else None for name in others}
    best = min(seconds["floor"])
    speed = 1e-9 * (6 * depth - 1) * 2 * batch * sweeps.N**2 / best
    at_most = peak()
    print(f"threads {threads}, batch {batch}, depth {depth}: done", file=sys.stderr)
    return {
        "threads": threads,
        "batch": batch,
        "depth": depth,
        "reverse/floor": ratio(seconds, "reverse", "floor"),
        "plain/floor": ratio(seconds, "plain", "floor"),
        **{f"{name}/reverse": value for name, value in over.items()},
        "addmm/floor": ratio(seconds, "addmm", "floor"),
        "jax/floor": ratio(seconds, "jax", "floor") if in_jax is not None else None,
        "floor ms": 1e3 * best,
        "floor GFLOP/s": speed,
        "of peak": None if at_most is None else speed / threads / at_most,
    }


def require_same(name: str, ours: Any, theirs: Any) -> None:
    """That two ways compute one gradient."""
    a, b = np.asarray(ours), np.asarray(theirs)
    error = np.linalg.norm(a - b) / np.linalg.norm(b)
    if error > TOLERANCE:
        raise AssertionError(f"{name} computes another gradient: relative difference {error:.2g}")
