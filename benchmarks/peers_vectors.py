"""Paths of lassos beside scikit-learn, and small linear programs beside HiGHS."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from sklearn.linear_model import lasso_path
from torch import Tensor

import ergodual as ed

TOLERANCE = 1e-6


def lasso_paths(n: int, p: int, count: int = 20) -> list[dict[str, Any]]:
    """The whole path as a batch, which shares A, and one λ after the other."""
    random = torch.Generator().manual_seed(0)
    A = torch.randn(n, p, generator=random, dtype=torch.float64)
    x = torch.zeros(p, dtype=torch.float64)
    x[:10] = torch.randn(10, generator=random, dtype=torch.float64)
    b = A @ x + 0.1 * torch.randn(n, generator=random, dtype=torch.float64)
    lambdas = float((A.T @ b).abs().max()) * torch.logspace(0, -2, count + 1)[1:].double()
    problem = ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2(), G=ed.L1(lambdas[:, None]))
    problem.requires_grad_(False)

    def energy(x: Tensor) -> Tensor:
        return (x @ A.T - b).square().sum(1) / 2 + lambdas * x.abs().sum(1)

    begun = time.perf_counter()
    found = ed.solve(problem, b.expand(count, n), TOLERANCE)
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    _, path, _ = lasso_path(A.numpy(), b.numpy(), alphas=(lambdas / n).numpy(), tol=TOLERANCE)
    theirs = time.perf_counter() - begun
    energies = [energy(found.x), energy(torch.from_numpy(np.ascontiguousarray(path.T)))]
    best = torch.minimum(*energies)
    off = [float((e / best - 1).max()) for e in energies]
    return _rows("scikit-learn", (ours, theirs), off, int(found.iterations.max()))


def linear_programs(count: int, m: int, n: int) -> list[dict[str, Any]]:
    """All at once, and one by one."""
    random = torch.Generator().manual_seed(0)
    A = torch.randn(m, n, generator=random, dtype=torch.float64)
    c = torch.randn(count, n, generator=random, dtype=torch.float64)
    b = 0.5 * A.sum(1) + torch.rand(count, m, generator=random, dtype=torch.float64)
    problem = ed.InverseProblem(
        A=ed.Dense(A),
        data=ed.Box(lower=-math.inf, upper=0.0),
        G=ed.Tilted(ed.Box(lower=0.0, upper=1.0), c),
    )
    problem.requires_grad_(False)
    begun = time.perf_counter()
    found = ed.solve(problem, b, TOLERANCE)
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    objectives = [
        linprog(one, A.numpy(), bound, bounds=(0, 1), method="highs").fun
        for one, bound in zip(c.numpy(), b.numpy(), strict=True)
    ]
    theirs = time.perf_counter() - begun
    best = torch.tensor(objectives, dtype=torch.float64)
    off = float((((c * found.x).sum(1) - best) / best).abs().max())
    return _rows("HiGHS", (ours, theirs), [off, 0.0], int(found.iterations.max()))


def _rows(
    peer: str, seconds: tuple[float, float], off: list[float], iterations: int
) -> list[dict[str, Any]]:
    return [
        {"gap": TOLERANCE, "by": by, "seconds": s, "times ours": s / seconds[0], "off": o}
        | {"iterations": iterations if by == "ergodual" else None}
        for by, s, o in zip(("ergodual", peer), seconds, off, strict=True)
    ]
