"""Accuracy against cost of every gradient, after so many iterations and at the solution."""

from __future__ import annotations

import statistics
import time
import warnings
from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from ergodual.bilevel.loss import HalfSquared
from ergodual.errors import NotDifferentiableWarning
from ergodual.experiments.plots import STYLE
from ergodual.experiments.theory.frames import Frames, problem_of, solved
from ergodual.experiments.theory.setting import Setting
from ergodual.experiments.theory.sweep import iterate, weighted_steps
from ergodual.primal_dual import Checkpointed, Last, Reverse, StepSizes, Tape, Truncated, Unrolled
from ergodual.primal_dual.unrolled import Adjoint
from ergodual.problem import Problem
from ergodual.solving import Implicit, Neumann, OneStep
from ergodual.solving.at_solution import AtSolution, FixedPoint

WAYS: dict[str, Adjoint] = {
    "Tape": Tape(),
    "Reverse": Reverse(),
    "Checkpointed": Checkpointed(),
    "Truncated(64)": Truncated(64),
    "Truncated(8)": Truncated(8),
    "Neumann(512)": Neumann(512),
    "Neumann(64)": Neumann(64),
    "Neumann(8)": Neumann(8),
    "OneStep": OneStep(),
    "Implicit": Implicit(),
}


def measure(frames: Frames, setting: Setting) -> dict[str, Any]:
    """Cosines of each frame's gradient in K with two exact ones, and what each gradient of the
    batch costs in float32.
    """
    x_tilde, x_true = frames.sounding(setting.cost_batch, setting.bits)
    problem = problem_of(setting, dtype=torch.float64)
    solution = solved(problem, x_tilde, setting)
    at = FixedPoint(
        problem.instance(x_tilde),
        solution.r,
        solution.y,
        *weighted_steps(problem, setting.weight),
        1.0,
    )
    of_solution, regular = _at(at, Implicit(), solution.x, x_true)
    exact = _unrolled(problem, Reverse(), x_tilde, x_true, setting)
    rows: dict[str, Any] = {}
    for name, way in WAYS.items():
        found = _unrolled(problem, way, x_tilde, x_true, setting)
        row = {
            "with_reverse": _cosines(found, exact),
            "with_solution": _cosines(found[regular], of_solution[regular]),
        }
        if isinstance(way, AtSolution):
            there, _ = _at(at, way, solution.x, x_true)
            row["at_solution"] = _cosines(there[regular], of_solution[regular])
        rows[name] = row
    for name, costs in _costs(x_tilde.float(), x_true.float(), setting).items():
        rows[name].update(costs)
    return {
        "frames": len(x_tilde),
        "depth": setting.cost_depth,
        "solved_to": float(solution.error.max()),
        "regular": float(regular.double().mean()),
        "gap_after_iterations": float(_relative_gap(problem, x_tilde, setting).median()),
        "rows": rows,
    }


def _model(problem: Problem, way: Adjoint, setting: Setting) -> Unrolled:
    return Unrolled(problem, setting.cost_depth, StepSizes.weighted(setting.weight), Last(), way)


def _unrolled(
    problem: Problem, way: Adjoint, x_tilde: Tensor, x_true: Tensor, setting: Setting
) -> Tensor:
    """The gradient of each frame."""
    model = _model(problem, way, setting)
    return torch.stack(
        [_gradient(model, x_tilde[i : i + 1], x_true[i : i + 1]) for i in range(len(x_tilde))]
    )


def _at(at: FixedPoint, way: AtSolution, x: Tensor, x_true: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of each frame at the solution, and where its derivative exists as far as ``way``
    says.
    """
    gradients, regular = [], torch.ones(len(x), dtype=torch.bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotDifferentiableWarning)
        for i in range(len(x)):
            row = torch.tensor([i])
            one = at._replace(instance=at.instance.at(row), r=at.r[row], y=at.y[row])
            x_hat = way.attach(one, x[row])
            gradients.append(
                torch.autograd.grad(
                    HalfSquared()(x_hat, x_true[i : i + 1]).sum(), at.instance.K.tensors()
                )[0]
            )
            if isinstance(way, Implicit) and way.report is not None:
                regular[i] = way.report.regular[0]
    return torch.stack(gradients), regular


def _relative_gap(problem: Problem, x_tilde: Tensor, setting: Setting) -> Tensor:
    run = iterate(problem, x_tilde, setting.cost_depth, *weighted_steps(problem, setting.weight))
    with torch.no_grad():
        one = problem.instance(x_tilde)
        return one.gap(run.r[-1], run.y[-1]) / one.F.value(one.constant())


def _cosines(ours: Tensor, exact: Tensor) -> dict[str, Any]:
    """Over the frames: median and quartiles; and that of the whole batch's gradient."""
    if not len(ours):
        return {"median": None, "quartiles": [None, None], "batch": None}
    ours, exact = ours.flatten(1), exact.flatten(1)
    each = torch.cosine_similarity(ours, exact, dim=1)
    low, median, high = torch.quantile(
        each, torch.tensor([0.25, 0.5, 0.75], dtype=each.dtype)
    ).tolist()
    whole = torch.cosine_similarity(ours.sum(0), exact.sum(0), dim=0)
    return {"median": median, "quartiles": [low, high], "batch": float(whole)}


def _costs(x_tilde: Tensor, x_true: Tensor, setting: Setting) -> dict[str, dict[str, Any]]:
    """Seconds of a forward and a reverse sweep, every way in turn so that all share what else the
    machine does; bytes kept in between.
    """
    problem = problem_of(setting)
    models = {name: _model(problem, way, setting) for name, way in WAYS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(setting.repeats):
        for name, model in models.items():
            begun = time.perf_counter()
            _gradient(model, x_tilde, x_true)
            seconds[name].append(time.perf_counter() - begun)
    typical = {name: statistics.median(taken) for name, taken in seconds.items()}
    return {
        name: {
            "seconds": typical[name],
            "over_reverse": statistics.median(
                a / b for a, b in zip(seconds[name], seconds["Reverse"], strict=True)
            ),
            "megabytes": _kept(model, x_tilde) / 1e6,
        }
        for name, model in models.items()
    }


def _gradient(model: Unrolled, x_tilde: Tensor, x_true: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotDifferentiableWarning)
        found: Tensor = torch.autograd.grad(
            HalfSquared()(model(x_tilde), x_true).sum(), model.problem.K.tensors()
        )[0]
    return found


def _kept(model: Unrolled, x_tilde: Tensor) -> int:
    """Bytes that x̂ keeps alive for its gradient, parameters aside, each piece of memory once."""
    pieces: dict[int, int] = {}

    def see(t: Tensor) -> Tensor:
        pieces[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(see, lambda t: t):
        x_hat = model(x_tilde)
    point = getattr(x_hat.grad_fn, "point", None)  # the rules at a solution hold it themselves
    for t in (point.r, point.y) if isinstance(point, FixedPoint) else ():
        see(t)
    for t in model.parameters():
        pieces.pop(t.untyped_storage().data_ptr(), None)
    return sum(pieces.values())


def draw(content: dict[str, Any]) -> Figure:
    """Cosines, time and memory, a row for each gradient."""
    rows = content["rows"]
    names = list(rows)[::-1]
    places = range(len(names))
    with rc_context(STYLE):
        figure = Figure(figsize=(10.6, 4.2), layout="constrained")
        cosine, seconds, memory = figure.subplots(1, 3, sharey=True, width_ratios=(1.5, 1, 1))
        kinds = (
            ("with_reverse", "#222222", 0.22, f"after {content['depth']} iterations, with Reverse"),
            (
                "with_solution",
                "#2563eb",
                0.0,
                f"after {content['depth']} iterations, with the solution's",
            ),
            ("at_solution", "#c2410c", -0.22, "at the solution, with the solution's"),
        )
        for key, colour, shift, label in kinds:
            found = [
                (place + shift, rows[name][key])
                for place, name in zip(places, names, strict=True)
                if key in rows[name]
            ]
            found = [(place, one) for place, one in found if one["median"] is not None]
            for place, one in found:
                cosine.plot(
                    one["quartiles"], [place, place], color=colour, linewidth=1.5, alpha=0.6
                )
            cosine.plot(
                [one["median"] for _, one in found],
                [place for place, _ in found],
                "o",
                color=colour,
                markersize=4.5,
                label=label,
            )
        cosine.set_yticks(list(places), names)
        cosine.set_title(
            "cosine with the exact gradient,\nmedian and quartiles of the frames",
            loc="left",
            fontsize=10,
        )
        for axis, key, title in (
            (seconds, "over_reverse", "time over that of Reverse"),
            (memory, "megabytes", "MB kept for the gradient"),
        ):
            values = [rows[name][key] for name in names]
            axis.barh(list(places), values, height=0.55, color="#9ca3af")
            if key == "megabytes":
                axis.set(xscale="log", xlim=(min(values) / 2, 4 * max(values)))
            else:
                axis.set_xlim(0, 1.2 * max(values))
            axis.set_title(title, loc="left", fontsize=10)
            for place, value in zip(places, values, strict=True):
                axis.annotate(
                    f"{value:.2f}" if value < 10 else f"{value:.0f}",
                    (value, place),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
        figure.legend(
            *cosine.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8
        )
    return figure
