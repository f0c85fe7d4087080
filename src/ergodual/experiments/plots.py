"""How the experiments draw."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from ergodual.files import write_atomically

STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "ergodual",
    "svg.fonttype": "none",  # text, not outlines: half the size, and it can be searched
}
Kind = Literal["svg", "png", "webp"]
"""Of the last a photograph takes a tenth of the bytes of the second."""
OPTIONS: dict[Kind, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "png": {},
    "webp": {"pil_kwargs": {"quality": 75}},
}
LARGEST = 300_000
"""Bytes above which a drawing of lines is kept as pixels."""
TRUE, QUANTIZED, RESTORED = "#222222", "#b0b0b0", "#c2410c"


def save_figure(figure: Figure, stem: Path) -> Path:
    """Write ``stem``.svg, or ``stem``.png where that is an image or would be large, and remove the
    other, which an earlier run may have left.
    """
    file, other = stem.with_suffix(".svg"), stem.with_suffix(".png")
    content = figure_bytes(figure, "svg")
    if any(axes.images for axes in figure.axes) or len(content) > LARGEST:
        file, other, content = other, file, figure_bytes(figure, "png", dpi=160)
    write_atomically(file, content)
    other.unlink(missing_ok=True)
    return file


def figure_bytes(figure: Figure, kind: Kind, dpi: int = 110) -> bytes:
    """The figure as the content of a file."""
    file = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format=kind, dpi=dpi, bbox_inches="tight", **OPTIONS[kind])
    content = file.getvalue()
    return lightened(content.decode()).encode() if kind == "svg" else content


def lightened(svg: str) -> str:
    """The same drawing with coordinates in hundredths of a point, and no indents."""

    def in_hundredths(attribute: re.Match[str]) -> str:
        return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", attribute[0])

    svg = re.sub(r'(?<=\s)(d|x|y|points|transform)="[^"]*"', in_hundredths, svg)
    return re.sub(r"^ +", "", svg, flags=re.M)


def loss_figure(runs: list[dict[str, Any]]) -> Figure:
    """The paper's Figure 1: training loss over the epochs, a curve a depth; thin lines are single
    runs.
    """
    return _curves(
        runs, "loss", 0, "training loss  ½‖x̂ − x†‖², mean over frames", logarithmic=False
    )


def gradient_figure(runs: list[dict[str, Any]]) -> Figure:
    """The paper's Figure 2: mean norm of the mini-batch gradient in K over the epochs."""
    return _curves(
        runs, "gradient_norm", 1, "gradient norm  ‖∂L/∂K‖, mean over mini-batches", logarithmic=True
    )


def _curves(
    runs: list[dict[str, Any]], key: str, first: int, label: str, logarithmic: bool
) -> Figure:
    depths = sorted({run["depth"] for run in runs})
    colours = dict(
        zip(depths, colormaps["viridis"](np.linspace(0.0, 0.85, len(depths))), strict=True)
    )
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, output in zip(axes, ("plain", "ergodic"), strict=True):
            for depth in depths:
                # at depth 1 the two outputs are the same, and it is listed as plain
                found = [
                    run[key]
                    for run in runs
                    if run["depth"] == depth and (run["output"] == output or depth == 1)
                ]
                if not found:
                    continue
                epochs = np.arange(first, first + len(found[0]))
                for one in found if len(found) > 1 else []:
                    axis.plot(epochs, one, color=colours[depth], linewidth=0.5, alpha=0.5)
                axis.plot(
                    epochs,
                    np.mean(found, axis=0),
                    color=colours[depth],
                    linewidth=1.8,
                    label=f"d = {depth}",
                )
            axis.set_title(output if output == "plain" else "ergodic, weights ∝ 1/k", loc="left")
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
            if logarithmic:
                axis.set_yscale("log")
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
                axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axis.yaxis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel(label, fontsize=9)
        # beside the panels, since the curves may go anywhere
        figure.legend(
            *axes[1].get_legend_handles_labels(), title="iterations", loc="outside right center"
        )
    return figure


def waveform_figure(
    true: NDArray[np.floating],
    quantized: NDArray[np.floating],
    restored: NDArray[np.floating],
    rate: int,
    radius: float | NDArray[np.floating],
) -> Figure:
    """8 ms of speech where it is loudest: the truth, what was stored with the cell that it allows,
    and the estimate.
    """
    length = max(2, rate // 125)
    energy = (
        np.convolve(np.square(true, dtype=np.float64), np.ones(length), mode="valid")
        if len(true) > length
        else np.ones(1)
    )
    start = int(energy.argmax())
    shown = slice(start, start + length)
    time = 1e3 * np.arange(len(true[shown])) / rate
    around = np.broadcast_to(radius, quantized.shape)[shown]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        axis = figure.subplots()
        axis.fill_between(
            time,
            quantized[shown] - around,
            quantized[shown] + around,
            step="mid",
            color=QUANTIZED,
            alpha=0.35,
            linewidth=0,
            label="cell",
        )
        axis.step(
            time, quantized[shown], where="mid", color="#8a8a8a", linewidth=1.0, label="quantized"
        )
        axis.plot(time, true[shown], color=TRUE, linewidth=1.4, label="true")
        axis.plot(time, restored[shown], color=RESTORED, linewidth=1.4, label="restored")
        axis.set_xlabel(f"time in ms, from {start / rate:.2f} s on")
        axis.set_ylabel("amplitude over peak")
        axis.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0)
    return figure


def spectrogram_figure(signals: dict[str, NDArray[np.floating]], rate: int) -> Figure:
    """A spectrogram for each signal, on one scale of 80 dB."""
    size, hop = 512, 128
    window = np.hanning(size)

    def spectrum(signal: NDArray[np.floating]) -> NDArray[np.float64]:
        padded = np.pad(signal, (0, max(0, size - len(signal))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window
        return 20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-6)

    images = {name: spectrum(signal) for name, signal in signals.items()}
    top = max(float(image.max()) for image in images.values())
    seconds = max(len(signal) for signal in signals.values()) / rate
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(8.4, 1.7 * len(signals) + 0.4), layout="constrained")
        axes = figure.subplots(len(signals), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (name, image) in zip(axes, images.items(), strict=True):
            drawn = axis.imshow(
                image,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=top - 80,
                vmax=top,
                extent=(0, seconds, 0, rate / 2000),
            )
            axis.set_title(name, loc="left", fontsize=10)
            axis.set_ylabel("kHz")
        axes[-1].set_xlabel("time in s")
        figure.colorbar(drawn, ax=list(axes), label="dB", shrink=0.6)
    return figure


def spectra(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """The power spectrum of each row, at twice as many frequencies as a row resolves."""
    return np.square(np.abs(np.fft.rfft(rows, 2 * rows.shape[1], axis=1)))


def centres(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """The centre of gravity of each spectrum, in bins."""
    weighted: NDArray[np.float64] = (power * np.arange(power.shape[1])).sum(1) / power.sum(1).clip(
        1e-30
    )
    return weighted


def operator_figure(operators: dict[str, NDArray[np.floating]], rate: int) -> Figure:
    """The spectrum of each row, rows sorted by their centre of gravity in frequency."""
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.9 * len(operators), 3.3), layout="constrained")
        axes = figure.subplots(1, len(operators), sharey=True, squeeze=False)[0]
        for axis, (name, rows) in zip(axes, operators.items(), strict=True):
            power = spectra(rows)
            image = 10 * np.log10(
                power[centres(power).argsort()].T / power.max().clip(1e-30) + 1e-12
            )
            drawn = axis.imshow(
                image,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=-50,
                vmax=0,
                extent=(0, len(rows), 0, rate / 2000),
            )
            axis.set_title(name, loc="left", fontsize=10)
            axis.set_xlabel("row of K, sorted")
        axes[0].set_ylabel("kHz")
        figure.colorbar(drawn, ax=list(axes), label="dB below the largest", shrink=0.8)
    return figure
