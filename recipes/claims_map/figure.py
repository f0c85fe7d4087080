"""The map as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ergodual.experiments.plots import STYLE
from recipes.claims_map.cells import BATCHES, THETAS, WEIGHTS, Cell, times
from recipes.claims_map.statements import ALL, STATEMENTS


def drawn(cells: list[dict[str, Any]]) -> Figure:
    """A column for each statement, a row for each θ: the times and step weights where it holds."""
    found = {Cell(*(cell[name] for name in Cell._fields)): cell for cell in cells}
    columns = [*STATEMENTS, ALL]
    with rc_context(STYLE):
        size = (1.9 * len(columns), 0.4 + 1.6 * len(THETAS))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(THETAS), len(columns), sharex=True, sharey=True)
        for theta, line in zip(THETAS, axes, strict=True):
            row = [found.get(Cell(weight, theta)) for weight in WEIGHTS]
            for statement, axis in zip(columns, line, strict=True):
                _panel(axis, row, statement)
            line[0].set_ylabel(f"θ = {theta:g}")
        for statement, axis in zip(columns, axes[0], strict=True):
            axis.set_title(statement, fontsize=8)
        figure.supxlabel("step weight w: σ = 0.99 w/‖K‖, τ = 0.99/(w‖K‖)", fontsize=9)
        figure.supylabel("learning so far: sum of the rates of all mini-batches", fontsize=9)
    return figure


def _panel(axis: Axes, row: list[dict[str, Any] | None], statement: str) -> None:
    at = times(Cell(), BATCHES)[1:]
    held = np.full((len(at), len(WEIGHTS)), -1)  # what is not known
    for j, cell in enumerate(row):
        if cell is not None:
            held[:, j] = [int(digit) for digit in cell[statement]]
    axis.grid(visible=False)
    colours = ListedColormap(["#cccccc", "#f2f2f2", "#2c944c"])
    axis.imshow(held, cmap=colours, vmin=-1, vmax=1, origin="lower", aspect="auto")
    axis.set_xticks(range(len(WEIGHTS)), [f"{w:g}" for w in WEIGHTS], fontsize=7)
    axis.set_yticks(range(0, len(at), 2), [f"{t:.0f}" for t in at[::2]], fontsize=7)
