"""Random small problems solved, certified and differentiated, and held against CVXPY and against
differences: whatever is wrong without a word.
"""

from __future__ import annotations

import os
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

import ergodual as ed
from benchmarks.measure import report
from benchmarks.random_problems import BATCH, Case, random_case
from ergodual.instance import Instance
from ergodual.tensors import column

PROBLEMS, SEED, DEPTH = 2000, 0, 6
LIMIT, SHORT = 5_000, 2_000
"""Iterations of a solution at most, and of those that are differentiated."""
OBJECTIVE = {torch.float64: 1e-5, torch.float32: 1e-2}
"""By how much an objective may lie above CVXPY's, and a constraint be missed, relatively."""
SLOPE, SLOPE_AT_SOLUTION = 1e-4, 3e-2
"""By how much a slope may differ from a difference; of solutions, which are less exact."""
NOTES = [
    f"{PROBLEMS} random problems, {BATCH} with each choice of functions, operator and weights; up "
    f"to 8 coordinates, at most {LIMIT} iterations, {SHORT} to be differentiated; else all by "
    "default.",
    "solved: as its certificate says, with an objective as CVXPY's (Clarabel). infeasible: told "
    "so, and CVXPY says so too. unsolved: said so. refused: an error in a sentence. wrong: "
    "anything else.",
    f"unrolled: slopes of the iteration of depth {DEPTH}, by Reverse, Checkpointed and Tape, along "
    "a random direction in the observations and all parameters, against central differences.",
    "at the solution: by Implicit, of samples whose report says regular, against differences of "
    "solutions. not known: the report says so.",
    "kink: differences to the two sides do not agree. doubtful: CVXPY calls its answer inaccurate.",
]


def main(out: Path) -> None:
    """The table, and what was wrong."""
    counts, wrong = run(PROBLEMS, SEED, os.cpu_count() or 1)
    kinds = sorted({kind for kind, _ in counts})
    outcomes = sorted({outcome for _, outcome in counts})
    rows = [{"": k, **{o: counts[k, o] for o in outcomes if counts[k, o]}} for k in kinds]
    columns = ["", *outcomes]
    rows = [{column: row.get(column, 0) for column in columns} for row in rows]
    report("trial", "Random problems", rows, out, [*NOTES, *wrong])


def run(problems: int, seed: int, workers: int = 1) -> tuple[Counter[Any], list[str]]:
    """How often each thing came out, by (what was tried, outcome), and what was wrong."""
    counts: Counter[Any] = Counter()
    wrong: list[str] = []
    cases = range(seed, seed + -(-problems // BATCH))
    with ProcessPoolExecutor(workers, get_context("spawn"), one_thread) as pool:
        found = pool.map(tried, cases) if workers > 1 else map(tried, cases)
        for done, outcomes in enumerate(track(found, "random problems", len(cases))):
            for kind, outcome, text in outcomes:
                counts[kind, outcome] += 1
                said = f"case {cases[done]}: {kind}, {outcome}: {text}"
                if outcome in ("wrong", "raised", "refused") and said not in wrong[-1:]:
                    wrong.append(said)
                    print(said, flush=True)
    return counts, wrong


def one_thread() -> None:
    """Of a worker."""
    torch.set_num_threads(1)


def tried(index: int) -> list[tuple[str, str, str]]:
    """What was tried with a case, what came out, and more about it."""
    case, found = random_case(np.random.default_rng(index)), []
    made = ", ".join(f"{key} {value}" for key, value in case.names.items())
    for kind, judge in JUDGES.items():
        for outcome, text in _judged(judge, case):
            found.append((f"{kind}, {case.names['type']}", outcome, f"{text} ({made})"))
    return found


Outcomes = list[tuple[str, str]]


def _judged(judge: Callable[[Case], Outcomes], case: Case) -> Outcomes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ed.NotConvergedWarning)
        warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
        try:
            return judge(case)
        except ed.ErgodualError as error:
            return [("refused", str(error))] * BATCH
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            return [("raised", f"{type(error).__name__} {error} at {where.name}:{where.lineno}")]


def solutions(case: Case) -> Outcomes:
    """Statuses, objectives and certificates against CVXPY's."""
    dtype = torch.float32 if case.single else torch.float64
    one = case.problem.instance(case.observed).detached()
    found = ed.solve(case.problem.to(dtype), case.observed.to(dtype), max_iterations=LIMIT)
    case.problem.double()
    with torch.no_grad():
        r = found.r.double()
        objective, missed = values(one, r)
        nothing, _ = values(one, one.zeros_primal())
    numbers = zip(objective.tolist(), missed.tolist(), nothing.tolist(), strict=True)
    return [_compared(case.optimum(i), found, i, *three) for i, three in enumerate(numbers)]


def values(one: Instance, r: Tensor) -> tuple[Tensor, Tensor]:
    """The objective at the nearest points where F and G are finite, and how near that is."""
    Kx, step = one.constant() + one.K(r), 1e-150
    inside = one.F.prox(Kx, step), one.G.prox(r, step)
    # relative to what K makes of an x of this size
    norm, size = one.K.norm_bound(one.domain), one.estimate(r).flatten(1).norm(dim=1)
    sizes = (norm * size + one.constant().flatten(1).norm(dim=1), size)
    missed = [
        (a - b).flatten(1).norm(dim=1) / (whole + 1e-300)
        for a, b, whole in zip((Kx, r), inside, sizes, strict=True)
    ]
    return one.F.value(inside[0]) + one.G.value(inside[1]), torch.stack(missed).amax(0)


def _compared(
    theirs: tuple[str, float],
    found: ed.Solution,
    i: int,
    objective: float,
    missed: float,
    nothing: float,
) -> tuple[str, str]:
    status, (their_status, optimum) = found.status[i], theirs
    if their_status not in ("optimal", "infeasible"):
        return "doubtful", their_status
    feasible = their_status == "optimal"
    if status == "infeasible":
        return ("wrong", "is feasible") if feasible else ("infeasible", "")
    if status != "solved":
        return ("unsolved", "") if status == "unsolved" else ("wrong", f"is {status}")
    if not feasible:
        return "wrong", f"is infeasible, and misses its constraints by {missed:.1e}"
    size, share = max(abs(optimum), nothing, 1e-12), OBJECTIVE[found.x.dtype]
    above, gap = objective - optimum, float(found.gap[i])
    if missed > share or abs(above) > share * size + 1e-7:
        return "wrong", f"objective {objective:.8g} for {optimum:.8g}, missed {missed:.1e}"
    if above > 1.01 * gap + 1e-2 * share * size + 1e-7:  # what CVXPY itself may be off
        return "wrong", f"gap {gap:.3g}, and {above:.3g} above the optimum"
    return "solved", ""


def unrolled(case: Case) -> Outcomes:
    """Slopes of the unrolled iteration against differences."""
    problem, rng = case.problem.double(), _generator(case)
    one = problem.instance(case.observed)
    steps = ed.StepSizes.weighted(10 ** rng.uniform(-0.5, 0.5))(one.K, DEPTH, one.domain, one.like)
    fixed = ed.StepSizes.fixed(*(t.detach() for t in steps[:3]))
    adjoint = rng.choice(np.array([ed.Reverse(), ed.Checkpointed(2), ed.Tape()]))
    return _slopes(ed.Unrolled(problem, DEPTH, fixed, ed.Ergodic("uniform"), adjoint), case, rng)


def at_solution(case: Case) -> Outcomes:
    """Slopes of the solution map against differences of solutions."""
    layer = ed.Solved(case.problem.double(), tol=1e-11, max_iterations=SHORT)
    return _slopes(layer, case, _generator(case))


def _generator(case: Case) -> np.random.Generator:
    return np.random.default_rng(int(case.observed.abs().sum() * 1e6) % 2**32)


def _slopes(model: Any, case: Case, rng: np.random.Generator) -> Outcomes:
    """Of each sample, along a direction in the observations and all parameters."""
    x = case.observed.clone().requires_grad_()
    tensors = [x, *[p for p in model.parameters() if p.requires_grad]]
    moves = [
        torch.from_numpy(rng.standard_normal(tuple(t.shape))) * (t.detach().abs().mean() + 1e-3)
        for t in tensors
    ]
    sizes = x.detach().abs().flatten(1).mean(1)  # a small sample is moved by little
    moves[0] *= column(torch.where(sizes > 0, sizes, 1e-3) / (sizes.mean() + 1e-3), x)
    for t, move in zip(tensors, moves, strict=True):
        if _nonnegative(model, t):  # a weight of 0 cannot be moved to both sides
            move.masked_fill_(t.detach() <= 0, 0.0)
    x_hat = model(x)
    first = getattr(model, "solution", None)
    g = torch.from_numpy(rng.standard_normal(tuple(x_hat.shape)))
    sizes = (x_hat * g).detach().abs().flatten(1).sum(1)
    ours, known = [], []
    for i in range(len(x)):
        slopes = torch.autograd.grad(
            (x_hat[i] * g[i]).sum(), tensors, retain_graph=True, allow_unused=True
        )
        pairs = zip(slopes, moves, strict=True)
        ours.append(sum(float((s * m).sum()) for s, m in pairs if s is not None))
        rule = getattr(model, "adjoint", None)
        known.append(not isinstance(rule, ed.Implicit) or bool(rule.report.regular[i]))  # type: ignore[union-attr]

    if first is not None:
        if not any(known):
            return [
                _slope(status, False, False, (0.0, 0.0, 0.0, 0.0), 0.0) for status in first.status
            ]
        # near, and to rounding: a gap is the square of a distance
        model.start, model.tol = first, 1e-15

    def at(t: float) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            for tensor, move in zip(tensors, moves, strict=True):
                tensor.add_(move, alpha=t)
            values = (model(x) * g).flatten(1).sum(1)
            for tensor, move in zip(tensors, moves, strict=True):
                tensor.sub_(move, alpha=t)
        solution = getattr(model, "solution", None)
        there = torch.ones(len(x), dtype=torch.bool) if solution is None else solution.converged
        return values, there

    h, share = (3e-6, SLOPE) if first is None else (1e-4, SLOPE_AT_SOLUTION)
    (above, one), (below, two), (here, three) = at(h), at(-h), at(0.0)
    left, right, sure = (here - below) / h, (above - here) / h, one & two & three
    return [
        _slope(
            "solved" if first is None else first.status[i],
            known[i],
            bool(sure[i]),
            (float(left[i]), float(right[i]), ours[i], 1e-9 + 1e-6 * float(sizes[i])),
            share,
        )
        for i in range(len(x))
    ]


def _slope(
    status: str,
    known: bool,
    sure: bool,
    numbers: tuple[float, float, float, float],
    share: float,
) -> tuple[str, str]:
    left, right, ours, least = numbers
    if status != "solved":
        return status, ""
    if not known:
        return "not known", ""
    size = max(abs(left), abs(right), abs(ours), least)
    if not sure or abs(left - right) > share * size:
        return "kink", ""
    difference = (left + right) / 2
    if abs(ours - difference) > share * size:
        return "wrong", f"slope {ours:.8g} for {difference:.8g}"
    return "right", ""


def _nonnegative(model: Any, tensor: Tensor) -> bool:
    """Whether this is a weight or a radius."""
    return any(
        tensor is getattr(part, name, None)
        for part in model.modules()
        if isinstance(part, ed.Function)
        for name in part.nonnegative
    )


JUDGES = {"solve": solutions, "unrolled": unrolled, "at the solution": at_solution}
