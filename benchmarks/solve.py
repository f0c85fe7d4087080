"""Solving the lower level on speech frames: iterations, time and objective against other solvers,
and the derivative.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import Tensor

import ergodual as ed
from benchmarks.measure import ROOT, report
from ergodual.bilevel import fit
from ergodual.problem import LowerLevel
from ergodual.solving import Start
from ergodual.speech.corpora import load_corpus
from ergodual.speech.quantizers import MidRise

N, BITS, FRAMES = 320, 4, 256
TOLERANCE, SMALLER = 1e-6, 1e-7
WEIGHTS, TRIED, LIMIT = (10, 20, 40, 80, 160, 320, 640, 1280), 32, 20_000
SIMPLEX_FRAMES, ROUNDS = 40, 5
DIRECTIONS, TIGHT = 16, 1e-12
NOTES = [
    f"{FRAMES} random frames of ieee/dev at {BITS} bits with some sample beyond half a step, "
    f"float64, relative gap {TOLERANCE:g}, on all cores.",
    "plain: Chambolle–Pock as in (3)–(5) at that fixed step weight of "
    f"{', '.join(map(str, WEIGHTS))} whose median on {TRIED} frames is least; ended after {LIMIT} "
    "iterations.",
    f"HiGHS: scipy's linprog on {SIMPLEX_FRAMES} of the frames, as many at once as there are "
    "cores, in turn with solve on all frames; objectives relative to HiGHS's. The tolerance is "
    f"relative to |K x~|_1, which is larger: so once more with {SMALLER:g}.",
    "silent: as many frames where no sample is beyond half a step, whose solution is x = 0.",
    f"derivative: Implicit against central differences of the solved problem (gap {TIGHT:g}) along "
    f"{DIRECTIONS} random directions in K, the largest error of a frame over the norm of its "
    "slopes; undefined where that gap is not reached, or the solution not unique or not strictly "
    "complementary.",
]


def main(out: Path) -> None:
    """For the DCT and for a K learned at depth 8."""
    corpora = Path(os.environ.get("ERGODUAL_CORPORA", ROOT / "corpora"))
    loud, silent = frames(corpora / "ieee" / "dev")
    eta, rows = MidRise(BITS).radius, []
    for name, K in (
        ("DCT", ed.Dense.dct(N, torch.float64)),
        ("learned", learned(corpora / "ieee" / "train")),
    ):
        problem = ed.Problem(ed.L1(), ed.Box(radius=eta), K)
        best = min(WEIGHTS, key=lambda weight: plain_iterations(problem, loud[:TRIED], weight))
        plain = plain_iterations(problem, loud, best)
        found = ed.solve(problem, loud, TOLERANCE)
        average = (
            ed.solve(problem, loud, TOLERANCE, method=ed.Restarted("average"))
            .iterations.double()
            .median()
        )
        median = float(found.iterations.double().median())
        rows.append(
            {
                "K": name,
                "solved": f"{int(found.converged.sum())} of {len(loud)}",
                "plain, median": plain,
                "its weight": best,
                "average, median": float(average),
                "halpern, median": median,
                "plain/halpern": plain / median,
                "largest": int(found.iterations.max()),
                "silent, median": float(
                    ed.solve(problem, silent, TOLERANCE).iterations.double().median()
                ),
                **against_simplex(problem, loud, (TOLERANCE, SMALLER)),
                **derivative(problem, loud),
            }
        )
    report("solve", "Solving the lower level", rows, out, NOTES)


def frames(folder: Path) -> tuple[Tensor, Tensor]:
    """Quantized frames: random ones with some |x̃| > Δ/2, and random ones with none."""
    quantizer = MidRise(BITS)
    x_tilde = quantizer.quantize(load_corpus(folder, N).frames.double())
    loud = (x_tilde.abs() > quantizer.radius).any(1)
    generator = torch.Generator().manual_seed(0)

    def some(which: Tensor) -> Tensor:
        rows = which.nonzero()[:, 0]
        return x_tilde[rows[torch.randperm(len(rows), generator=generator)[:FRAMES]]]

    return some(loud), some(~loud)


def learned(folder: Path) -> ed.Dense:
    """K after two epochs at depth 8, ergodic, as in the figures."""
    quantizer = MidRise(BITS)
    x_true = load_corpus(folder, N).frames
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=quantizer.radius), ed.Dense.dct(N)), 8)
    fit(model, quantizer.quantize(x_true), x_true, epochs=2)
    return ed.Dense(matrix(model.problem).detach().double())


def matrix(problem: LowerLevel) -> Tensor:
    """That of K, which is dense here."""
    assert isinstance(problem.K, ed.Dense)
    return problem.K.matrix


def plain_iterations(problem: ed.Problem, x_tilde: Tensor, weight: float) -> float:
    """Their median."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ed.NotConvergedWarning)
        found = ed.solve(
            problem, x_tilde, TOLERANCE, ed.ChambollePock(weight), max_iterations=LIMIT
        )
    return float(found.iterations.double().median())


def against_simplex(
    problem: ed.Problem, x_tilde: Tensor, tolerances: tuple[float, ...]
) -> dict[str, Any]:
    """Seconds a frame of the whole batch, and the largest relative difference of the objectives;
    HiGHS with a process a core.
    """
    K, eta, cores = matrix(problem).detach().numpy(), problem.G.radius, os.cpu_count() or 1
    ours: dict[float, list[float]] = {tol: [] for tol in tolerances}
    theirs, off = [], dict.fromkeys(tolerances, 0.0)
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        list(
            pool.map(minimum, [K[:2, :2]] * cores, [x_tilde[0, :2].numpy()] * cores, [eta] * cores)
        )  # to start them
        for rows in torch.arange(SIMPLEX_FRAMES).view(ROUNDS, -1):
            objectives = {}
            for tol in tolerances:
                begun = time.perf_counter()
                found = ed.solve(problem, x_tilde, tol)
                ours[tol].append((time.perf_counter() - begun) / len(x_tilde))
                with torch.no_grad():
                    objectives[tol] = problem.instance(x_tilde).primal(found.r)[rows]
            begun = time.perf_counter()
            exact = torch.tensor(
                list(pool.map(minimum, [K] * len(rows), x_tilde[rows].numpy(), [eta] * len(rows))),
                dtype=torch.float64,
            )
            theirs.append((time.perf_counter() - begun) / len(rows))
            for tol, objective in objectives.items():
                off[tol] = max(off[tol], float(((objective - exact).abs() / exact).max()))
    measured: dict[str, Any] = {"HiGHS, ms a frame": 1e3 * statistics.median(theirs)}
    for tol in tolerances:
        measured |= {
            f"ours to {tol:g}, ms a frame": 1e3 * statistics.median(ours[tol]),
            f"HiGHS/ours to {tol:g}": statistics.median(
                b / a for a, b in zip(ours[tol], theirs, strict=True)
            ),
            f"objectives to {tol:g} differ by": off[tol],
        }
    return measured


def minimum(K: NDArray[np.float64], x: NDArray[np.float64], eta: float) -> float:
    """min Σt over −t ≤ K(x + r) ≤ t, |r| ≤ η."""
    m, n = K.shape
    left = np.block([[K, -np.eye(m)], [-K, -np.eye(m)]])
    bounds = [(-eta, eta)] * n + [(0, None)] * m
    return float(
        linprog(
            np.r_[np.zeros(n), np.ones(m)],
            A_ub=left,
            b_ub=np.r_[-K @ x, K @ x],
            bounds=bounds,
            method="highs",
        ).fun
    )


def derivative(problem: ed.Problem, x_tilde: Tensor) -> dict[str, Any]:
    """The largest relative error of a frame's slopes, where the active set stays; the shares of
    frames where they exist, and it stays.
    """
    generator = torch.Generator().manual_seed(1)
    g = torch.randn(x_tilde.shape, dtype=x_tilde.dtype, generator=generator)
    K = matrix(problem).detach()
    base = tight(problem, x_tilde, None)
    slopes, regular = per_sample(problem, x_tilde, g, base)
    regular &= base.converged
    numeric, analytic, stays = [], [], []
    for _ in range(DIRECTIONS):
        direction = torch.randn(K.shape, dtype=K.dtype, generator=generator)
        direction *= 1e-7 * K.norm() / direction.norm()
        sides = [
            tight(ed.Problem(problem.F, problem.G, ed.Dense(K + sign * direction)), x_tilde, base)
            for sign in (1, -1)
        ]
        stays.append(
            torch.stack(
                [(active(side) == active(base)).all(1) & side.converged for side in sides]
            ).all(0)
            & regular
        )
        numeric.append(((sides[0].r - sides[1].r) * g).sum(1) / 2)
        analytic.append(torch.stack([(slope * direction).sum() for slope in slopes]))
    same = torch.stack(stays)
    off, size = (
        (same * t).norm(dim=0)
        for t in (torch.stack(numeric) - torch.stack(analytic), torch.stack(analytic))
    )
    return {
        "derivative's error": float((off / size)[same.any(0)].max()),
        "derivative defined": float(regular.double().mean()),
        "active set unchanged": float(same.double().mean()),
    }


def tight(problem: ed.Problem, x_tilde: Tensor, start: ed.Solution | None) -> ed.Solution:
    """To the tight tolerance, as many as reach it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ed.NotConvergedWarning)
        return ed.solve(problem, x_tilde, TIGHT, max_iterations=LIMIT, start=start)


def per_sample(
    problem: ed.Problem, x_tilde: Tensor, g: Tensor, base: ed.Solution
) -> tuple[list[Tensor], Tensor]:
    """The gradient of ⟨g_i, x̂_i⟩ in K for each sample i, and whether it exists."""
    slopes, regular = [], []
    implicit = ed.Implicit()
    layer = ed.Solved(problem, tol=1.0, adjoint=implicit)  # which takes the solution as it is
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
        for i in range(len(x_tilde)):
            start = Start(*(t[i : i + 1] for t in (base.r, base.y, base.weight)))
            slopes.append(
                torch.autograd.grad(
                    (layer(x_tilde[i : i + 1], start=start) * g[i]).sum(), matrix(problem)
                )[0]
            )
            assert implicit.report is not None
            regular.append(implicit.report.regular)
    return slopes, torch.cat(regular)


def active(solution: ed.Solution) -> Tensor:
    """Which bounds are met, of r and of y."""
    eta = solution.r.abs().max()
    return torch.cat([solution.r.abs() >= eta, solution.y.abs() >= 1], 1)
