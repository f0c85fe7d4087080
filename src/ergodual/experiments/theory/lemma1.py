"""Lemma 1 against central differences: (10) as corrected, in Reverse, and as printed."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from ergodual.bilevel.loss import HalfSquared
from ergodual.experiments.plots import RESTORED, STYLE, TRUE
from ergodual.experiments.theory.frames import Frames, problem_of
from ergodual.experiments.theory.outputs import output_of
from ergodual.experiments.theory.setting import Setting, powers_up_to
from ergodual.experiments.theory.sweep import Run, gradient, iterate, masks, weighted_steps
from ergodual.primal_dual import StepSizes, Unrolled
from ergodual.problem import Problem

SPANS = (1e-6, 1e-7, 1e-8, 1e-9)
"""Half the distance of the two points of a difference, relative to directions with entries of about
1.
"""


def measure(frames: Frames, setting: Setting) -> dict[str, Any]:
    """The relative error of both formulas over random directions, for each output and depth."""
    problem = problem_of(setting, dtype=torch.float64)
    x_tilde, x_true = frames.sounding(setting.lemma_frames, setting.bits)
    depths = powers_up_to(setting.lemma_depth)
    steps = weighted_steps(problem, setting.weight)
    run = iterate(problem, x_tilde, depths[-1], *steps)
    generator = torch.Generator().manual_seed(setting.seed)
    directions = torch.randn(
        setting.directions, *problem.K.tensors()[0].shape, generator=generator, dtype=torch.float64
    )
    pairs = [_pair(setting, problem, x_tilde, run, direction) for direction in directions]
    rows = []
    for output in ("plain", "1/k"):
        for depth in depths:
            alpha = output_of(output, depth)(depth).double()
            ends = [
                tuple(_estimate(x_tilde, one.r, alpha) for one in (above, below))
                for above, below, _ in pairs
            ]
            # ½‖a‖² − ½‖b‖² as ½⟨a − b, a + b⟩, which does not cancel
            slopes = torch.stack(
                [
                    ((above - below) * (above + below - 2 * x_true)).sum() / (4 * span)
                    for (above, below), (*_, span) in zip(ends, pairs, strict=True)
                ]
            )
            g = _estimate(x_tilde, run.r, alpha) - x_true
            printed = gradient(problem, x_tilde, run, alpha, g, shift=1)
            ours = _reverse(problem, x_tilde, x_true, output, depth, steps)
            rows.append(
                {
                    "output": output,
                    "depth": depth,
                    "corrected": _error(ours, directions, slopes),
                    "printed": _error(printed, directions, slopes),
                    "printed_against_exact": float((printed - ours).norm() / ours.norm()),
                }
            )
    return {"frames": len(x_tilde), "spans": [span for *_, span in pairs], "rows": rows}


def _pair(
    setting: Setting, problem: Problem, x_tilde: Tensor, run: Run, direction: Tensor
) -> tuple[Run, Run, float]:
    """Runs on both sides of K along a direction, so near that no iterate crosses a kink if that can
    be had, and how near.
    """
    kinks = masks(problem, run.r, run.y)
    depth = len(run.r) - 1
    for span in SPANS:
        above, below = (
            iterate(
                problem_of(
                    setting,
                    problem.K.tensors()[0].detach() + side * span * direction,
                    torch.float64,
                ),
                x_tilde,
                depth,
                *run[2:],
            )
            for side in (1, -1)
        )
        same = (
            torch.equal(a, b)
            for side in (above, below)
            for a, b in zip(masks(problem, side.r, side.y), kinks, strict=True)
        )
        if all(same):
            break
    return above, below, span


def _estimate(x_tilde: Tensor, r: Tensor, alpha: Tensor) -> Tensor:
    found: Tensor = x_tilde + torch.tensordot(alpha, r[1 : len(alpha) + 1], 1)
    return found


def _reverse(
    problem: Problem,
    x_tilde: Tensor,
    x_true: Tensor,
    output: str,
    depth: int,
    steps: tuple[float, float],
) -> Tensor:
    model = Unrolled(problem, depth, StepSizes.fixed(*steps), output_of(output, depth))
    found: Tensor = torch.autograd.grad(
        HalfSquared()(model(x_tilde), x_true).sum(), problem.K.tensors()
    )[0]
    return found


def _error(gradient: Tensor, directions: Tensor, slopes: Tensor) -> float:
    return float((torch.tensordot(directions, gradient, 2) - slopes).norm() / slopes.norm())


def draw(content: dict[str, Any]) -> Figure:
    """Errors over the depth."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.6), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, output in zip(axes, ("plain", "1/k"), strict=True):
            rows = [row for row in content["rows"] if row["output"] == output]
            depths = [row["depth"] for row in rows]
            for key, colour, label in (
                ("printed", RESTORED, "(10) as printed, y$^{k−1}$"),
                ("corrected", TRUE, "(10) corrected, y$^k$: Reverse"),
            ):
                axis.plot(
                    depths,
                    [row[key] for row in rows],
                    "o-",
                    color=colour,
                    markersize=4,
                    label=label,
                )
            axis.set(xscale="log", yscale="log", xlabel="depth d")
            axis.set_title("plain" if output == "plain" else "ergodic, weights ∝ 1/k", loc="left")
            axis.set_xticks(depths, [str(depth) for depth in depths])
            axis.minorticks_off()
        axes[0].set_ylabel("relative error of ∂L/∂K\nagainst central differences", fontsize=9)
        axes[0].legend(loc="center left", bbox_to_anchor=(0.0, 0.55))
    return figure
