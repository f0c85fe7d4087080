"""Our solver beside pyproximal, scikit-image, scikit-learn and HiGHS, until all are as near."""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ergodual as ed
from benchmarks.measure import one_core, report
from benchmarks.peers_images import IMAGES, Image, Run
from benchmarks.peers_vectors import lasso_paths, linear_programs

LIMIT, GROWTH = 60.0, 1.5
NOTES = [
    "float64, one core, freed memory kept by the process, which all have in common. Images: until "
    "the energy, computed by ours, is within the gap, relative, of that of a solution to a "
    "hundredth of it. Ours at the first of tolerances a third apart that does; peers run a fixed "
    "number of iterations, each time half as many again, for "
    f"{LIMIT:g} s at most. seconds: of the last run alone; off: where it ended.",
    "pyproximal: PrimalDual with the same splitting, both steps 0.99/‖K‖; scikit-image: "
    "denoise_tv_chambolle.",
    "lasso paths: 20 λ between λ_max and λ_max/100, 10 entries not 0; ours the whole path as a "
    "batch, scikit-learn with warm starts. Linear programs: 256 of min ⟨c, x⟩, Ax ≤ b, 0 ≤ x ≤ 1, "
    "A 40 × 60 shared, HiGHS one by one. off: the largest difference of an objective, relative.",
]


def main(out: Path) -> None:
    """A row for each problem, peer and gap."""
    one_core()
    ed.reuse_memory()
    warnings.simplefilter("ignore")
    rows = []
    for name, make in IMAGES.items():
        for gap in (1e-4, 1e-6):
            rows += [{"problem": name, "gap": gap, **row} for row in beside(make(), gap)]
            print(rows[-1], flush=True)
    for p in (200, 1000, 5000):
        rows += [{"problem": f"lasso path, p = {p}", **row} for row in lasso_paths(1000, p)]
    rows += [{"problem": "256 linear programs", **row} for row in linear_programs(256, 40, 60)]
    report("peers", "Ours beside peers", rows, out, NOTES)


def beside(image: Image, gap: float, limit: float = LIMIT) -> list[dict[str, Any]]:
    """Ours first."""
    tol = tolerance(image, gap)
    best = float(image.energy(ed.solve(image.problem, image.observed, tol / 100).x))
    off = math.inf
    while off > gap and tol > 1e-12:
        begun = time.perf_counter()
        found = ed.solve(image.problem, image.observed, tol)
        seconds = time.perf_counter() - begun
        off, tol = float(image.energy(found.x)) / best - 1, tol / 3
    rows = [row("ergodual", seconds, off, int(found.iterations), seconds)]
    for name, run in image.peers.items():
        took, off, count = until(run, image, best, gap, limit)
        rows.append(row(name, took, off, count, seconds))
    return rows


def row(by: str, seconds: float, off: float, iterations: int, ours: float) -> dict[str, Any]:
    """Of the table."""
    times = seconds / ours
    return {"by": by, "seconds": seconds, "times ours": times, "off": off, "iterations": iterations}


def tolerance(image: Image, gap: float) -> float:
    """Of ``solve``, for a gap relative to the energy: that of a Problem is to what r = 0 costs."""
    one = image.problem.instance(image.observed).detached()
    if one.shift is None:
        return gap
    with torch.no_grad():
        idle = one.primal(one.zeros_primal())
    rough = ed.solve(image.problem, image.observed, 1e-2).x
    return gap * float(image.energy(rough) / idle)


def until(
    run: Run, image: Image, best: float, gap: float, limit: float
) -> tuple[float, float, int]:
    """The seconds of the first run that is near enough, how near, and its iterations."""
    count, ended = 10, time.perf_counter() + limit
    while True:
        begun = time.perf_counter()
        x = np.asarray(run(count))
        seconds = time.perf_counter() - begun
        off = float(image.energy(torch.from_numpy(x).reshape(1, *image.shape))) / best - 1
        if off <= gap or time.perf_counter() > ended:
            return seconds, off, count
        count = math.ceil(GROWTH * count)
