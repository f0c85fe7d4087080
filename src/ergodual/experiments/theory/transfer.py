"""Operators beyond the depth that they were learned at: the loss at depths 1, 2, 4, …, of held-out
frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from torch import Tensor

from ergodual.bilevel.data import Pair
from ergodual.bilevel.loss import HalfSquared
from ergodual.experiments.plots import STYLE
from ergodual.experiments.theory.frames import problem_of
from ergodual.experiments.theory.operators import GRADIENTS
from ergodual.experiments.theory.setting import Setting, powers_up_to
from ergodual.experiments.theory.sweep import weighted_steps
from ergodual.primal_dual.forward import Iteration, Trajectory
from ergodual.primal_dual.plan import Plan

TITLES = {
    "plain": "Reverse, plain",
    "ergodic": "Reverse, ergodic 1/k",
    "truncated": "Truncated({truncated})",
    "stationary": "Neumann({stationary})",
    "implicit": "Implicit",
}


def follow(K: Tensor | None, held_out: Pair, setting: Setting) -> dict[str, Any]:
    """The mean loss of the last iterate and of the 1/k average at every depth of one run, and the
    relative gap at its end.
    """
    problem, (x_tilde, x_true) = problem_of(setting, K), held_out
    depths = powers_up_to(setting.deepest)
    sigma, tau = weighted_steps(problem, setting.weight)
    alpha = [1 / k for k in range(1, depths[-1] + 1)]
    found: dict[str, Any] = {"depths": depths, "plain": [], "1/k": []}
    with torch.no_grad():
        one = problem.instance(x_tilde)
        plan = Plan.uniform(one, len(alpha), sigma, tau, alpha=alpha)
        iteration, state = Iteration(plan), Trajectory.empty(plan, 0)
        weighted, done = torch.zeros_like(x_tilde), 0
        for depth in depths:
            state = iteration.skip(done, depth, state, weighted)
            done = depth
            for output, r in (("plain", state.r[1]), ("1/k", weighted / sum(alpha[:depth]))):
                found[output].append(float(HalfSquared()(x_tilde + r, x_true).mean()))
        gap = one.gap(state.r[1], state.y[0]) / one.F.value(one.constant())
    return {**found, "gap_at_end": float(gap.median())}


def measure(operators: list[dict[str, Any]], held_out: Pair, setting: Setting) -> dict[str, Any]:
    """What was measured of each operator, beside the DCT and the observation itself."""
    x_tilde, x_true = held_out
    return {
        "observed": float(HalfSquared()(x_tilde, x_true).mean()),
        "DCT": follow(None, held_out, setting),
        "titles": {
            name: title.format(truncated=setting.truncated, stationary=setting.stationary)
            for name, title in TITLES.items()
        },
        "operators": operators,
    }


def draw(content: dict[str, Any]) -> Figure:
    """A column for each gradient and a row for each output; a dot where an operator was learned."""
    learned = sorted({operator["depth"] for operator in content["operators"]} - {None})
    colours = {
        None: "#dc2626",
        **dict(
            zip(learned, colormaps["viridis"](np.linspace(0.0, 0.88, len(learned))), strict=True)
        ),
    }
    columns = [
        name
        for name in GRADIENTS
        if any(operator["gradient"] == name for operator in content["operators"])
    ]
    curves = [content["DCT"], *(operator["transfer"] for operator in content["operators"])]
    lowest = min(min(curve[output]) for curve in curves for output in ("plain", "1/k"))
    # what goes far beyond doing nothing may leave the panel
    low, high = 0.9 * lowest, 1.1 * max(content["observed"], *content["DCT"]["plain"])
    with rc_context(STYLE):
        figure = Figure(figsize=(2.35 * len(columns) + 1.6, 5.4), layout="constrained")
        axes = figure.subplots(2, len(columns), sharex=True, sharey=True, squeeze=False)
        for row, output in zip(axes, ("plain", "1/k"), strict=True):
            for axis, gradient in zip(row, columns, strict=True):
                axis.axhline(
                    content["observed"],
                    color="#b0b0b0",
                    linestyle=":",
                    linewidth=1.2,
                    label="nothing done",
                )
                axis.plot(
                    content["DCT"]["depths"],
                    content["DCT"][output],
                    "--",
                    color="#8a8a8a",
                    linewidth=1.2,
                    label="DCT",
                )
                for operator in content["operators"]:
                    depth, curve = operator["depth"], operator["transfer"]
                    if operator["gradient"] == gradient:
                        axis.plot(
                            curve["depths"],
                            curve[output],
                            color=colours[depth],
                            linewidth=1.5,
                            label=_label(depth),
                        )
                        if (output == "1/k") == (gradient == "ergodic") and depth in curve[
                            "depths"
                        ]:
                            loss = curve[output][curve["depths"].index(depth)]
                            axis.plot([depth], [loss], "o", color=colours[depth], markersize=4.5)
                axis.set(xscale="log")
            row[0].set_ylabel(
                "loss of the last iterate" if output == "plain" else "loss of the 1/k average"
            )
        for axis, gradient in zip(axes[0], columns, strict=True):
            axis.set_title(content["titles"][gradient], loc="left", fontsize=10)
            axis.set_ylim(low, high)
        for axis in axes[-1]:
            axis.set_xlabel("depth of the run")
        handles = {
            label: handle
            for axis in axes[0]
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        order = [
            label
            for label in (*map(_label, (*learned, None)), "DCT", "nothing done")
            if label in handles
        ]
        figure.legend(
            [handles[label] for label in order],
            order,
            title="learned at",
            loc="outside right center",
        )
    return figure


def _label(depth: int | None) -> str:
    return "the solution" if depth is None else f"d = {depth}"
