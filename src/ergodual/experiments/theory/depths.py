"""Gradient norms against the depth: what the paper's Figure 2 becomes beyond d = 8."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from torch import Tensor

from ergodual.bilevel.loss import HalfSquared
from ergodual.experiments.plots import STYLE
from ergodual.experiments.theory.frames import Frames, problem_of
from ergodual.experiments.theory.outputs import COLOURS, OUTPUTS, output_of
from ergodual.experiments.theory.setting import Setting, powers_up_to
from ergodual.primal_dual import StepSizes, Unrolled


def measure(operators: dict[str, Tensor], frames: Frames, setting: Setting) -> dict[str, Any]:
    """The mean norm of a mini-batch's gradient in K: for the DCT with balanced and weighted steps,
    for the others with weighted ones.
    """
    cases: list[tuple[str, Tensor | None, float]] = [
        ("DCT, balanced steps", None, 1.0),
        ("DCT", None, setting.weight),
    ]
    cases += [(name, K, setting.weight) for name, K in operators.items()]
    depths = powers_up_to(setting.max_depth)
    found: dict[str, Any] = {"depths": depths, "weight": setting.weight, "cases": {}}
    for name, K, weight in cases:
        problem = problem_of(setting, K)
        norm = float(problem.K.norm().detach())
        curves = {
            output: [
                _norm(
                    Unrolled(problem, depth, StepSizes.weighted(weight), output_of(output, depth)),
                    frames,
                    setting,
                )
                for depth in depths
            ]
            for output in OUTPUTS
        }
        found["cases"][name] = {"weight": weight, "norm": norm, **curves}
    return found


def _norm(model: Unrolled, frames: Frames, setting: Setting) -> float:
    norms = []
    batches = zip(*(torch.split(t, setting.batch) for t in frames.learned), strict=True)
    for x_tilde, x_true in islice(batches, setting.batches):
        (gradient,) = torch.autograd.grad(
            HalfSquared()(model(x_tilde), x_true).mean(), model.problem.K.tensors()
        )
        norms.append(float(gradient.norm()))
    return sum(norms) / len(norms)


def draw(content: dict[str, Any]) -> Figure:
    """A panel for each operator, a curve for each output."""
    with rc_context(STYLE):
        figure = Figure(figsize=(11.4, 3.5), layout="constrained")
        axes = figure.subplots(1, len(content["cases"]), sharey=True)
        for axis, (name, case) in zip(axes, content["cases"].items(), strict=True):
            for output in OUTPUTS:
                axis.plot(
                    content["depths"],
                    case[output],
                    "o-",
                    color=COLOURS[output],
                    linewidth=1.5,
                    markersize=3.5,
                    label=output,
                )
            axis.axvspan(content["depths"][0], 8, color="#f3f4f6", zorder=0)
            axis.set(xscale="log", yscale="log", xlabel="depth d")
            axis.set_title(
                f"{name}\nw = {case['weight']:g}, ‖K‖ = {case['norm']:.2f}", loc="left", fontsize=9
            )
            axis.set_xticks(
                content["depths"][::2], [str(depth) for depth in content["depths"][::2]]
            )
            axis.xaxis.set_minor_locator(NullLocator())
        axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes[0].set_ylabel("‖∂L/∂K‖, mean over mini-batches", fontsize=9)
        figure.legend(
            *axes[0].get_legend_handles_labels(), title="output", loc="outside right center"
        )
    return figure
