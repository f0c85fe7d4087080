"""One self-contained page on a training run: what was learned, how, and how it sounds."""

from __future__ import annotations

import base64
import io
import math
import statistics
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import soundfile
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ergodual.errors import ErgodualError
from ergodual.experiments.classical import converged_dct
from ergodual.experiments.level_plots import levels_figure
from ergodual.experiments.plots import (
    figure_bytes,
    operator_figure,
    spectrogram_figure,
    waveform_figure,
)
from ergodual.experiments.report_plots import (
    history_figure,
    iteration_figure,
    rows_figure,
    thresholds_figure,
)
from ergodual.experiments.runs import Run
from ergodual.files import write_atomically
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio
from ergodual.speech.frames import normalize
from ergodual.speech.measures import band_levels_db, measures
from ergodual.speech.quantizers import quantizer_of
from ergodual.speech.stream import restore_channel

Signals = dict[str, NDArray[np.floating]]
ROWS_SHOWN = 24
MEASURES = {
    "snr_db": ("SNR in dB", 2, max),
    "si_sdr_db": ("SI-SDR in dB", 2, max),
    "segmental_snr_db": ("segmental SNR in dB", 2, max),
    "lsd_db": ("log-spectral distance in dB", 2, min),
    "estoi": ("ESTOI", 3, max),
    "pesq_wb": ("PESQ, wideband", 2, max),
}
"""Heading, decimals, and which value is the best."""


def write_report(
    run: Run,
    title: str,
    clips: Path,
    file: Path,
    count: int,
    seconds: float,
    report: Callable[[str, float], None] = lambda what, share: None,
) -> None:
    """Restore some clips and write the page.

    Parameters
    ----------
    run
        What it is about.
    title
        Its name.
    clips
        A folder of good recordings, which are quantized and restored; evenly spread ones are taken.
    file
        The page.
    count, seconds
        How many clips, and how much of each.
    report
        Told what is being done and the share of the work that is done.

    Raises
    ------
    ErgodualError
        If a recording cannot be used or the page cannot be written.
    """
    files = find_audio(clips)
    shown = [files[round(i)] for i in np.linspace(0, len(files) - 1, min(count, len(files)))]
    heard = []
    for number, clip in enumerate(shown):
        report(f"restoring {clip.name}", number / len(shown))
        heard.append(_clip(run, clip, seconds))
    report("drawing", 1.0)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        (resources.files("ergodual") / "data" / "report" / "page.html").read_text(encoding="utf-8")
    )
    table = _table([clip["measures"] for clip in heard])
    before, after = (table["rows"][at]["cells"][0]["text"] for at in (0, -1))
    page = template.render(
        title=title,
        run=run,
        clips=heard,
        table=table,
        before=before,
        after=after,
        figures=_figures(run) | {"levels": _svg(_levels_figure(heard))},
        configuration=run.config,
    )
    write_atomically(file, page)


def _clip(run: Run, file: Path, seconds: float) -> dict[str, Any]:
    samples, rate, _ = read_audio(file)
    samples = samples[: max(1, round(seconds * rate))]
    if not samples.any():
        raise ErgodualError(
            f"{file} is silent where the report begins; remove it, or give other --clips."
        )
    clean = normalize(samples).astype(np.float64)
    quantizer = quantizer_of(run.kind, run.bits)
    stored = quantizer.quantize(torch.from_numpy(clean)).numpy()
    restored = {
        "DCT, converged": restore_channel(converged_dct(run.spec.n), run.spec.n, stored, quantizer),
        "learned": run.restored(stored, quantizer),
    }
    signals: Signals = {
        "true": clean,
        f"quantized to {run.bits} bits": stored,
        "restored": restored["learned"],
    }
    signals["what is still wrong"] = signals["restored"] - clean
    found = {"quantized": stored, **restored}
    lower, upper = (edge.numpy() for edge in quantizer.cell(torch.from_numpy(stored)))
    picture = waveform_figure(
        clean, stored, restored["learned"], rate, np.minimum(stored - lower, upper - stored)
    )
    drawn = {"waveform": _svg(picture), "spectrograms": _png(spectrogram_figure(signals, rate))}
    if run.network is not None:
        seconds, shown = len(clean) / rate, run.thresholds(stored, quantizer)
        drawn["thresholds"] = _png(thresholds_figure(shown, seconds, run.rate))
    return {
        "name": file.stem,
        "rate": rate,
        "seconds": len(clean) / rate,
        "players": [
            {"name": name, "source": _audio(signal, rate)} for name, signal in signals.items()
        ],
        **drawn,
        "measures": {
            name: {key: take(clean, signal) for key, take in measures(rate).items()}
            for name, signal in found.items()
        },
        "levels": {name: band_levels_db(clean, signal, rate) for name, signal in found.items()},
    }


def _levels_figure(clips: list[dict[str, Any]]) -> Figure:
    """Means over the clips that have the octave."""
    found: dict[str, dict[str, list[float]]] = {}
    for clip in clips:
        for method, levels in clip["levels"].items():
            for name, level in levels.items():
                found.setdefault(method, {}).setdefault(name, []).append(level)
    means = {
        method: {name: statistics.fmean(values) for name, values in levels.items()}
        for method, levels in found.items()
    }
    return levels_figure({"mean over the clips": means})


def _table(clips: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Means over the clips; the best of each measure is marked."""
    keys = [key for key in MEASURES if all(key in clip["quantized"] for clip in clips)]
    rows: list[dict[str, Any]] = []
    means = {
        name: [statistics.fmean(clip[name][key] for clip in clips) for key in keys]
        for name in clips[0]
    }
    for name, values in means.items():
        cells = []
        for column, (key, value) in enumerate(zip(keys, values, strict=True)):
            _, digits, best = MEASURES[key]
            rivals = [other[column] for other in means.values()]
            cells.append(
                {
                    "text": "–" if math.isnan(value) else f"{value:.{digits}f}",
                    "best": value == best(rivals),
                }
            )
        rows.append({"name": name, "cells": cells})
    return {"headings": [MEASURES[key][0] for key in keys], "rows": rows}


def _figures(run: Run) -> dict[str, str]:
    operators = run.operators()
    figures = {
        "operators": _png(operator_figure(operators, run.rate)),
        "rows": _svg(rows_figure(list(operators.values())[1], run.rate, ROWS_SHOWN)),
        "history": _svg(history_figure(run.epochs, run.loss)),
    }
    if run.spec.depth > 1:
        last = next(line for line in run.epochs if line["epoch"] == run.epoch)
        figures["iterations"] = _svg(
            iteration_figure(last["sigma"], last["tau"], last["weights"], last["norm"])
        )
    return figures


def _svg(figure: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(figure_bytes(figure, "svg")).decode()


def _png(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(figure_bytes(figure, "png")).decode()


def _audio(signal: NDArray[np.floating], rate: int) -> str:
    """A WAV file of 16 bits as a data address, at half the scale, so that nothing clips."""
    file = io.BytesIO()
    soundfile.write(file, 0.5 * signal, rate, "PCM_16", format="WAV")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()
