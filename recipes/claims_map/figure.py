"""The map as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ergodual.experiments.plots import STYLE
from recipes.claims_map.cells import BATCHES, WEIGHTS, Cell, times
from recipes.claims_map.statements import STATEMENTS

ROWS: dict[str, dict[str, Any]] = {
    "θ = 0": {"theta": 0.0},
    "random K": {"start": "random"},
    "6 bits": {"bits": 6},
    "5 bits": {"bits": 5},
    "4 bits": {},
    "3 bits": {"bits": 3},
}
"""From the bottom to the top, what differs from 4 bits, θ = 1 and the DCT."""


def drawn(cells: list[dict[str, Any]]) -> Figure:
    """A panel for each statement: where it holds at the end, and since when."""
    standard = {"theta": 1.0, "bits": 4, "start": "dct", "rate": 0.2, "schedule": "constant"}
    at = times(Cell(), BATCHES)
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 2.9), layout="constrained")
        axes = figure.subplots(1, len(STATEMENTS), sharey=True)
        for axis, name in zip(axes, STATEMENTS, strict=True):
            since = np.full((len(ROWS), len(WEIGHTS)), np.nan)
            for i, changed in enumerate(ROWS.values()):
                for j, weight in enumerate(WEIGHTS):
                    wanted = {**standard, **changed, "weight": weight}
                    for cell in cells:
                        if all(cell[k] == v for k, v in wanted.items()) and cell[name]:
                            since[i, j] = cell[name]
            axis.grid(visible=False)
            colours = colormaps["viridis"].with_extremes(bad="#eeeeee")
            norm = LogNorm(at[1], at[-1])
            shown = axis.imshow(since, cmap=colours, norm=norm, origin="lower", aspect="auto")
            axis.set_title(name, loc="left", fontsize=9)
            axis.set_xticks(range(len(WEIGHTS)), [f"{w:g}" for w in WEIGHTS])
            axis.set_yticks(range(len(ROWS)), list(ROWS))
        axes[2].set_xlabel("step weight w: σ = 0.99 w/‖K‖, τ = 0.99/(w‖K‖)")
        figure.colorbar(shown, ax=axes, label="holds from this time on; grey: not")
    return figure
