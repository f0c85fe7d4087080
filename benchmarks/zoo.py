"""The field's problems, each solved to a certificate and compared with a cone solver's solution."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import ergodual as ed
from benchmarks.measure import one_core, report
from benchmarks.zoo_images import IMAGES
from benchmarks.zoo_parts import Case
from benchmarks.zoo_vectors import VECTORS

NOTES = [
    "Small instances, float64, one core, tolerance 1e-6; each solved by CVXPY too (Clarabel, "
    "tolerance 1e-9), whose objective is evaluated at both solutions by CVXPY itself.",
    "off: how much higher ours is, relative to the objective. gap: what `solve` certifies, "
    "relative to the same; the residual where there is none. violated: the largest violation of "
    "a constraint at our x, in the units of the constraint.",
]
ZOO = {**IMAGES, **VECTORS}


def main(out: Path) -> None:
    """A row for each problem."""
    one_core()
    warnings.simplefilter("ignore")
    rows = [{"problem": name, **compared(make(24))} for name, make in ZOO.items()]
    report("zoo", "The field's problems", rows, out, NOTES)


def compared(case: Case, tol: float = 1e-6) -> dict[str, Any]:
    """Ours beside CVXPY's."""
    import cvxpy as cp

    begun = time.perf_counter()
    found = ed.solve(case.problem, case.observation, tol)
    ended = time.perf_counter()
    x = cp.Variable(len(case.estimate(found.x[0])))
    terms, constraints = case.there(cp, x)
    objective = cp.Minimize(sum(terms))
    posed = cp.Problem(objective, constraints)
    tight = {f"tol_{kind}": 1e-9 for kind in ("gap_abs", "gap_rel", "feas")}
    posed.solve(solver=cp.CLARABEL, **tight)
    best = float(objective.value)
    seconds = time.perf_counter() - ended
    x.value = case.estimate(found.x[0]).numpy()
    free = [v for v in posed.variables() if v.id != x.id]
    if free:  # what the terms minimise over themselves
        cp.Problem(objective, [*constraints, x == x.value]).solve(solver=cp.CLARABEL, **tight)
        x.value = case.estimate(found.x[0]).numpy()
    gap = float(found.gap[0])
    return {
        "iterations": int(found.iterations[0]),
        "seconds": ended - begun,
        "CVXPY s": seconds,
        "objective": best,
        "off": (float(objective.value) - best) / abs(best),
        "gap": gap / abs(best) if np.isfinite(gap) else float(found.error[0]),
        "violated": max((float(np.max(c.violation())) for c in constraints), default=0.0),
        "converged": bool(found.converged.all()),
    }
