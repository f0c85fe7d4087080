"""How too strong or too weak estimates are, drawn over the octaves."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from ergodual.experiments.plots import STYLE, TRUE
from ergodual.speech.measures import octave_of

Levels = Mapping[str, float]
"""In dB, by the names of :func:`ergodual.speech.measures.band_levels_db`."""


def levels_figure(panels: Mapping[str, Mapping[str, Levels]]) -> Figure:
    """A panel for each title, in it a line for each method; 0 dB is the original.

    Parameters
    ----------
    panels
        Title, method, octave: dB. What is not finite is left out.
    """
    methods = list(dict.fromkeys(method for lines in panels.values() for method in lines))
    colours = dict(zip(methods, colormaps["tab10"](range(len(methods))), strict=True))
    with rc_context(STYLE):
        figure = Figure(figsize=(max(5.2, 3.2 * len(panels)), 3.2), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (title, lines) in zip(axes, panels.items(), strict=True):
            edges: set[float] = set()
            for method, levels in lines.items():
                found = [(*octave_of(name), dB) for name, dB in levels.items() if math.isfinite(dB)]
                edges |= {edge for low, high, _ in found for edge in (low, high)}
                axis.plot(
                    [math.sqrt(low * high) for low, high, _ in found],
                    [dB for _, _, dB in found],
                    "o-",
                    color=colours[method],
                    linewidth=1.4,
                    markersize=3.5,
                    label=method,
                )
            axis.axhline(0, color=TRUE, linewidth=0.8)
            axis.set_xscale("log", base=2)
            axis.set_xticks(sorted(edges), [_kilohertz(edge) for edge in sorted(edges)])
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xlabel("kHz, octaves")
            axis.set_title(title, loc="left")
        axes[0].set_ylabel("level over the original, dB")
        handles = {
            line.get_label(): line
            for axis in axes
            for line in axis.lines
            if line.get_label() in methods
        }
        figure.legend(handles.values(), handles.keys(), loc="outside right center")
    return figure


def _kilohertz(edge: float) -> str:
    return f"{edge / 1000:.3g}".removeprefix("0")
