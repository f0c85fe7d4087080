"""How a report draws a training run."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ergodual.experiments.plots import RESTORED, STYLE, TRUE, centres, spectra

COLUMNS = 4


def rows_figure(rows: NDArray[np.floating], rate: int, shown: int) -> Figure:
    """Some rows of K, evenly spread over the sorted centre frequencies: each with its spectrum
    below it.
    """
    power = spectra(rows)
    order = centres(power).argsort()
    chosen = order[np.linspace(0, len(rows) - 1, min(shown, len(rows))).round().astype(int)]
    lines = -(-len(chosen) // COLUMNS)
    time = 1e3 * np.arange(rows.shape[1]) / rate
    frequency = np.linspace(0, rate / 2000, power.shape[1])
    peak = power.max()
    with rc_context({**STYLE, "font.size": 7, "axes.grid": False}):
        figure = Figure(figsize=(8.4, 1.35 * lines + 0.3), layout="constrained")
        axes = figure.subplots(
            2 * lines, COLUMNS, squeeze=False, gridspec_kw={"height_ratios": [3, 2] * lines}
        )
        for axis in axes.flat:
            axis.set_axis_off()
        for number, row in enumerate(chosen):
            above, below = axes[
                2 * (number // COLUMNS) : 2 * (number // COLUMNS) + 2, number % COLUMNS
            ]
            above.plot(time, rows[row], color=TRUE, linewidth=0.6)
            above.set_title(
                f"{centres(power)[row] / (power.shape[1] - 1) * rate / 2000:.2f} kHz",
                loc="left",
                fontsize=7,
                pad=1,
            )
            level = np.maximum(10 * np.log10(power[row] / peak + 1e-12), -50)
            below.fill_between(frequency, -50, level, color=RESTORED, linewidth=0)
            below.set_ylim(-50, 0)
    return figure


def history_figure(epochs: list[dict[str, Any]], loss: str) -> Figure:
    """Losses, the norm of the gradient, and ‖K‖, over the epochs."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.7), layout="constrained")
        losses, gradient, norm = figure.subplots(1, 3)
        _curve(losses, epochs, "train_loss", "training", TRUE)
        _curve(losses, epochs, "dev_loss", "held out", RESTORED)
        losses.set_title(loss, loc="left")
        if len(losses.lines) > 1:
            losses.legend()
        _curve(gradient, epochs, "gradient_norm", "", TRUE)
        gradient.set_title("norm of the gradient", loc="left")
        _curve(norm, epochs, "norm", "", TRUE)
        norm.set_title("‖K‖", loc="left")
        for axis in (losses, gradient, norm):
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def thresholds_figure(logarithms: NDArray[np.floating], seconds: float, rate: int) -> Figure:
    """Thresholds of a recording's coefficients, to base 10, the coefficients in their order."""
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(8.4, 2.1), layout="constrained")
        axis = figure.subplots()
        drawn = axis.imshow(
            logarithms,
            origin="lower",
            aspect="auto",
            cmap="viridis",
            extent=(0, seconds, 0, rate / 2000),
        )
        axis.set_title("thresholds", loc="left", fontsize=10)
        axis.set_xlabel("time in s")
        axis.set_ylabel("kHz at first")
        figure.colorbar(drawn, ax=axis, label="half steps, log₁₀", shrink=0.9)
    return figure


def iteration_figure(
    sigma: list[float], tau: list[float], weights: list[float] | None, norm: float
) -> Figure:
    """σ_k‖K‖ and τ_k‖K‖, and the averaging weights, for each iteration k."""
    k = np.arange(1, len(sigma) + 1)
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.7), layout="constrained")
        steps, averaging = figure.subplots(1, 2)
        steps.plot(k, norm * np.asarray(sigma), "o-", color=TRUE, markersize=4, label="σ ‖K‖")
        steps.plot(k, norm * np.asarray(tau), "o-", color=RESTORED, markersize=4, label="τ ‖K‖")
        steps.set_yscale("log")
        steps.set_title("step sizes", loc="left")
        steps.legend()
        averaging.bar(
            k,
            [0.0] * (len(k) - 1) + [1.0] if weights is None else weights,
            color=RESTORED,
            width=0.7,
        )
        averaging.set_title("weights of the average", loc="left")
        for axis in (steps, averaging):
            axis.set_xlabel("iteration")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _curve(axis: Axes, epochs: list[dict[str, Any]], key: str, label: str, colour: str) -> None:
    found = [(line["epoch"], line[key]) for line in epochs if line.get(key) is not None]
    if found:
        axis.plot(
            *zip(*found, strict=True), "o-", color=colour, linewidth=1.4, markersize=3, label=label
        )
