"""Lassos, elastic nets and group lassos in a batch, against coordinate descent one by one."""

from __future__ import annotations

import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import ElasticNet, Lasso
from torch import Tensor

import ergodual as ed
from benchmarks.measure import one_core, report

N, SIZES, CONDITIONS, BATCH, SHARE, GROUP = 200, (50, 100, 200, 500), (1e3, 1e6), 32, 0.1, 5
TOLERANCE, ROUNDS = 1e-6, 3
NOTES = [
    f"½‖Ax − b‖² + λ‖x‖₁ (and λ/2 ‖x‖² of an elastic net, or λ Σ‖x_g‖ of groups of {GROUP}), "
    f"A {N} × p with singular values from 1 to 1/condition, {BATCH} vectors b = Ax + noise with 10 "
    f"entries of x that are not 0, λ = {SHARE} λ_max; float64, one core.",
    f"ours: ed.solve by default, tol {TOLERANCE:g}, the whole batch; theirs: scikit-learn's "
    "coordinate descent (skglm's for groups) one by one, to the gap that ours ended with.",
    f"ratio: the median of {ROUNDS} rounds side by side.",
]


def main(out: Path) -> None:
    """A row for each kind, size and condition."""
    one_core()
    rows = []
    for kind in ("lasso", "elastic net", "group lasso"):
        for p in SIZES:
            for condition in CONDITIONS:
                rows.append(row(kind, p, condition))
                print(rows[-1], flush=True)
    for kind in ("lasso", "elastic net", "group lasso"):
        ratios = [r["ours / theirs"] for r in rows if r["kind"] == kind and r["ours / theirs"]]
        print(kind, statistics.median(ratios) if ratios else "not compared")
    report("regressions", "Regressions", rows, out, NOTES)


def row(kind: str, p: int, condition: float) -> dict[str, Any]:
    """Both of one kind."""
    A, b = data(p, condition)
    problem, weights = posed(kind, A, b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ed.NotConvergedWarning)
        found = ed.solve(problem, b, TOLERANCE)
        ratios, seconds = [], []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            ed.solve(problem, b, TOLERANCE)
            ours = time.perf_counter() - begun
            theirs, objectives = one_by_one(kind, A, b, weights, found.gap)
            ratios.append(ours / theirs if theirs else float("nan"))
            seconds.append((ours, theirs))
    one = problem.instance(b).detached()
    with torch.no_grad():
        ahead = (one.primal(found.r) - objectives) / objectives if len(objectives) else None
    return {
        "kind": kind,
        "p": p,
        "condition": condition,
        "solved": f"{int(found.converged.sum())} of {BATCH}",
        "gap, relative": float((found.gap / one.primal(found.r)).max()),
        "iterations, median": float(found.iterations.double().median()),
        "ours ms": 1e3 * statistics.median(s for s, _ in seconds) / BATCH,
        "theirs ms": 1e3 * statistics.median(s for _, s in seconds) / BATCH,
        "ours / theirs": statistics.median(ratios),
        "objective above": None if ahead is None else float(ahead.max()),
    }


def data(p: int, condition: float) -> tuple[Tensor, Tensor]:
    """A and the b of all samples."""
    rng = np.random.default_rng(p)
    k = min(N, p)
    U, _ = np.linalg.qr(rng.standard_normal((N, k)))
    V, _ = np.linalg.qr(rng.standard_normal((p, k)))
    A = (U * np.logspace(0, -np.log10(condition), k)) @ V.T
    x = np.zeros((BATCH, p))
    for i in range(BATCH):
        x[i, rng.choice(p, 10, replace=False)] = rng.standard_normal(10)
    b = x @ A.T
    b += 0.01 * np.linalg.norm(b, axis=1, keepdims=True) * rng.standard_normal(b.shape) / N**0.5
    return torch.from_numpy(A), torch.from_numpy(b)


def posed(kind: str, A: Tensor, b: Tensor) -> tuple[ed.InverseProblem, Tensor]:
    """The problem and λ of each sample."""
    correlations = b @ A
    if kind == "group lasso":
        groups = correlations.view(BATCH, -1, GROUP).norm(dim=2)
        weights = SHARE * groups.amax(1)
        G: ed.Function = ed.L21(weights[:, None], size=GROUP)
        # a group of L21's are coefficients that lie p / size apart
        order = torch.arange(A.shape[1]).view(-1, GROUP).T.reshape(-1)
        return ed.InverseProblem(A=ed.Dense(A[:, order]), data=ed.SquaredL2(), G=G), weights
    weights = SHARE * correlations.abs().amax(1)
    if kind == "lasso":
        G = ed.L1(weights[:, None])
        return ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2(), G=G), weights
    F, G = ed.L1(weights[:, None]), ed.SquaredL2(weights[:, None])
    return ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2(), F=F, G=G), weights


def one_by_one(
    kind: str, A: Tensor, b: Tensor, weights: Tensor, gaps: Tensor
) -> tuple[float, Tensor]:
    """Seconds of all, and their objectives."""
    X, Y, objectives = np.asfortranarray(A.numpy()), b.numpy(), []
    begun = time.perf_counter()
    for y, weight, gap in zip(Y, weights.tolist(), gaps.tolist(), strict=True):
        tol = max(gap / float(y @ y), 1e-12)
        w = coefficients(kind, X, y, weight, tol)
        if w is None:
            return 0.0, torch.zeros(0)
        objectives.append(w)
    seconds = time.perf_counter() - begun
    W = torch.from_numpy(np.stack(objectives))
    misfit = (W @ A.T - b).square().sum(1) / 2
    size = W.abs().sum(1)
    if kind == "group lasso":
        size = W.view(BATCH, -1, GROUP).norm(dim=2).sum(1)
    ridge = W.square().sum(1) / 2 if kind == "elastic net" else 0.0
    return seconds, misfit + weights * (size + ridge)


def coefficients(kind: str, X: Any, y: Any, weight: float, tol: float) -> Any:
    """Of one problem; None where the library is not there."""
    settings: dict[str, Any] = {"fit_intercept": False, "tol": tol, "max_iter": 1_000_000}
    if kind == "lasso":
        return Lasso(weight / N, **settings).fit(X, y).coef_
    if kind == "elastic net":
        return ElasticNet(2 * weight / N, l1_ratio=0.5, **settings).fit(X, y).coef_
    try:
        from skglm import GroupLasso
    except ImportError:
        return None
    return (
        GroupLasso(GROUP, weight / N, fit_intercept=False, tol=tol, max_iter=10_000).fit(X, y).coef_
    )
