"""Theorem 2: where the adjoints go along the reverse sweep, for the last iterate and averages."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from ergodual.experiments.plots import STYLE
from ergodual.experiments.theory.frames import Frames, problem_of, solved
from ergodual.experiments.theory.outputs import COLOURS, FIRST, OUTPUTS, output_of
from ergodual.experiments.theory.setting import Setting, powers_up_to
from ergodual.experiments.theory.sweep import Adjoint, Run, adjoints, iterate, masks, weighted_steps
from ergodual.functions import L1, Box
from ergodual.operators import Dense
from ergodual.problem import Problem

NORMS = ("K primal", "masked primal", "KT dual", "masked dual")
SHOWN = {
    "K primal": (r"$\Vert K\,\delta_P\Vert$", "#222222", "--"),
    "masked primal": (r"$\Vert M_D\,K\,M_P\,\delta_P\Vert$", "#222222", "-"),
    "KT dual": (r"$\Vert K^T\delta_D\Vert$", "#b45309", "--"),
    "masked dual": (r"$\Vert M_P\,K^T M_D\,\delta_D\Vert$", "#b45309", "-"),
}
POINTS = 120
"""Steps at which norms are kept, evenly spaced in the logarithm."""


def measure(frames: Frames, setting: Setting) -> dict[str, Any]:
    """Norms along a long run, and, with the masks of the solution, for every depth.

    With the DCT solutions are unique, so that the adjoints of the plain output tend to 0. With
    first differences (total variation) every monotone stretch of x̂ can be moved without changing
    the objective: M_D is 0 there, and the adjoints tend to something else.
    """
    x_tilde, x_true = frames.sounding(setting.limit_frames, setting.bits)
    found: dict[str, Any] = {"frames": len(x_tilde)}
    operators = {
        "DCT": None,
        "first differences": torch.eye(setting.frame, dtype=torch.float64).diff(dim=0),
    }
    for name, K in operators.items():
        problem = problem_of(setting, K, torch.float64)
        steps = weighted_steps(problem, setting.limit_weight)
        run = iterate(problem, x_tilde, setting.limit_depth, *steps)
        found[name] = _along(
            problem, run, x_tilde + run.r[-1] - x_true, OUTPUTS if K is None else OUTPUTS[:1]
        )
        if K is None:
            solution = solved(problem, x_tilde, setting)
            at = Run(solution.y, solution.r, *steps)
            found[name]["solution"] = {
                "largest_error": float(solution.error.max()),
                **_against_depth(problem, at, x_tilde + at.r - x_true, setting.deepest),
            }
    return {**found, "counterexample": counterexample(2 * setting.limit_depth)}


def counterexample(depth: int = 400) -> dict[str, Any]:
    """K = [[1, 1], [1, −1]], x̃ = (2, 0), η = ½, x† = (1.8, 0.3): δ_P tends to no element of ker K
    = {0}.
    """
    K = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    x_tilde, x_true = (
        torch.tensor([[2.0, 0.0]], dtype=torch.float64),
        torch.tensor([[1.8, 0.3]], dtype=torch.float64),
    )
    problem = Problem(L1(), Box(radius=0.5), Dense(K))
    run = iterate(problem, x_tilde, depth, *weighted_steps(problem, 1.0))
    M_P, M_D = masks(problem, run.r[-1], run.y[-1])
    g = x_tilde + run.r[-1] - x_true
    half = next(
        one
        for one in adjoints(problem, run, output_of("plain", depth)(depth), g)
        if one.k <= max(1, depth // 2)
    )
    norms = _norms(problem, half, M_P, M_D)
    return {
        "depth": depth,
        "k": half.k,
        "M_P": M_P[0].tolist(),
        "M_D": M_D[0].tolist(),
        "g": g[0].tolist(),
        "delta_P": half.primal[0].tolist(),
        "delta_D": half.dual[0].tolist(),
        "rank of K": int(torch.linalg.matrix_rank(K)),
        **{name: float(norm) for name, norm in norms.items()},
    }


def _kernel(K: Tensor, M_P: Tensor, M_D: Tensor) -> int:
    """The dimension of the kernel of M_D K M_P within the range of M_P."""
    free = K[M_D > 0][:, M_P > 0]
    return free.shape[1] - (int(torch.linalg.matrix_rank(free)) if free.numel() else 0)


def _norms(problem: Problem, at: Adjoint, M_P: Tensor, M_D: Tensor) -> dict[str, Tensor]:
    """Of each frame."""
    K = problem.K
    with torch.no_grad():
        stacked = {
            "K primal": K(at.primal),
            "masked primal": M_D * K(M_P * at.primal),
            "KT dual": K.adjoint(at.dual),
            "masked dual": M_P * K.adjoint(M_D * at.dual),
        }
    return {name: vector.norm(dim=-1) for name, vector in stacked.items()}


def _along(problem: Problem, run: Run, g: Tensor, outputs: tuple[str, ...]) -> dict[str, Any]:
    """Norms over ‖g‖, the median frame's, against the steps back from the end of a run."""
    depth = len(run.r) - 1
    kept = {round(depth ** (i / POINTS)) for i in range(POINTS + 1)}
    M_Ps, M_Ds = masks(problem, run.r, run.y)
    M_P, M_D = M_Ps[-1], M_Ds[-1]
    K = problem.K.tensors()[0].detach()
    changed = (M_Ps != M_P).any(-1) | (M_Ds != M_D).any(-1)
    found: dict[str, Any] = {
        "free_primal": M_P.sum(1).int().tolist(),
        "free_dual": M_D.sum(1).int().tolist(),
        "kernel": [_kernel(K, p, d) for p, d in zip(M_P, M_D, strict=True)],
        "masks_fixed_for": [
            depth - max([-1, *of_frame.nonzero()[:, 0].tolist()]) for of_frame in changed.T
        ],
        "steps_back": sorted(kept),
    }
    for output in outputs:
        found[output] = {name: [] for name in NORMS}
        for one in adjoints(problem, run, output_of(output, depth)(depth), g):
            if depth - one.k + 1 in kept:
                for name, norm in _norms(problem, one, M_P, M_D).items():
                    found[output][name].append(float((norm / g.norm(dim=-1)).median()))
    return found


def _against_depth(problem: Problem, at: Run, g: Tensor, deepest: int) -> dict[str, Any]:
    """Norms over ‖g‖ of the adjoints of the first iteration, for every depth at once, with the
    masks of a solution throughout.

    With fixed masks, δ^1 = Σ_k α_k h_(k−1), where h_j is what j + 1 reverse steps make of g.
    """
    depths = powers_up_to(deepest)
    still = Run(
        at.y.expand(deepest + 1, *at.y.shape),
        at.r.expand(deepest + 1, *at.r.shape),
        at.sigma,
        at.tau,
    )
    M_P, M_D = masks(problem, at.r, at.y)
    first: Adjoint | None = None
    total, weighted, harmonic = _zero(g, at.y), _zero(g, at.y), 0.0
    curves: dict[str, Any] = {output: {name: [] for name in NORMS} for output in OUTPUTS}
    for one in adjoints(problem, still, output_of("plain", deepest)(deepest), g):
        depth = deepest - one.k + 1
        first = first or one
        total, weighted, harmonic = (
            _add(total, one),
            _add(weighted, one, 1 / depth),
            harmonic + 1 / depth,
        )
        if depth in depths:
            mixed = {
                "plain": one,
                "1/k": _add(_zero(g, at.y), weighted, 1 / harmonic),
                "uniform": _add(_zero(g, at.y), total, 1 / depth),
                "first and last": _add(_add(_zero(g, at.y), first, FIRST), one, 1 - FIRST),
            }
            for output, adjoint in mixed.items():
                for name, norm in _norms(problem, adjoint, M_P, M_D).items():
                    curves[output][name].append(float((norm / g.norm(dim=-1)).median()))
    return {"depths": depths, **curves}


def _zero(g: Tensor, y: Tensor) -> Adjoint:
    return Adjoint(0, torch.zeros_like(g), torch.zeros_like(y))


def _add(to: Adjoint, of: Adjoint, scale: float = 1.0) -> Adjoint:
    return Adjoint(to.k, to.primal + scale * of.primal, to.dual + scale * of.dual)


def draw(content: dict[str, Any]) -> Figure:
    """Along the run, for the plain output and for all, for the DCT and for first differences; and
    against the depth.
    """
    dct, differences = content["DCT"], content["first differences"]
    with rc_context(STYLE):
        figure = Figure(figsize=(9.2, 7.0), layout="constrained")
        (plain, outputs), (degenerate, first) = figure.subplots(2, 2)
        for key, (label, colour, line) in SHOWN.items():
            plain.plot(
                dct["steps_back"], dct["plain"][key], line, color=colour, linewidth=1.5, label=label
            )
            if "primal" in key:
                degenerate.plot(
                    differences["steps_back"],
                    differences["plain"][key],
                    line,
                    color=colour,
                    linewidth=1.5,
                    label=label,
                )
        for output in OUTPUTS:
            outputs.plot(
                dct["steps_back"],
                dct[output]["masked primal"],
                color=COLOURS[output],
                linewidth=1.5,
                label=output,
            )
            curve = dct["solution"][output]["masked primal"]
            first.plot(
                dct["solution"]["depths"],
                curve,
                "o-",
                color=COLOURS[output],
                linewidth=1.5,
                markersize=3,
                label=output,
            )
        depths, curve = dct["solution"]["depths"], dct["solution"]["1/k"]["masked primal"]
        harmonic = [sum(1 / k for k in range(1, depth + 1)) for depth in depths]
        middle = len(depths) // 2
        guide = [curve[middle] * harmonic[middle] / one for one in harmonic]
        first.plot(
            depths,
            guide,
            ":",
            color=COLOURS["1/k"],
            linewidth=1.2,
            label=r"$\propto 1/(1 + \frac{1}{2} + \dots + \frac{1}{d})$",
        )
        masked = SHOWN["masked primal"][0]
        plain.set_title(
            "DCT, plain output: both tend to 0, the masked one first", loc="left", fontsize=10
        )
        outputs.set_title(f"DCT, {masked} by output", loc="left", fontsize=10)
        degenerate.set_title(
            "first differences, plain output: the limit is not in ker K", loc="left", fontsize=10
        )
        first.set_title(f"DCT, {masked} at the first iteration", loc="left", fontsize=10)
        for axis in (plain, outputs, degenerate):
            axis.set_xlabel("steps back from the end of the run")
        first.set_xlabel("depth d, with the masks of the solution")
        for axis in (plain, outputs, first):
            axis.set(xscale="log", yscale="log")
        degenerate.set(xscale="log", ylim=(-0.03, None))
        for axis in (plain, degenerate):
            axis.set_ylabel("norm over ‖g‖, median frame")
        for axis in (plain, outputs, degenerate, first):
            axis.legend(fontsize=8)
    return figure
