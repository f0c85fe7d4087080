"""Dequantizers side by side on whole recordings: measures, their means and 95 % intervals over the
files, and the speed.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t

from ergodual.errors import ErgodualError
from ergodual.experiments.classical import Linear, Perceptron, converged_dct, gabor
from ergodual.experiments.elsewhere import find_elsewhere, read_restored
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio, load_corpus
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.frames import normalize
from ergodual.speech.half_steps import Estimator, half_step
from ergodual.speech.measures import band_levels_db, measures
from ergodual.speech.quantizers import Kind, Levels, quantizer_of
from ergodual.speech.stream import restore_channel

Restore = Callable[[NDArray[np.float64], Levels, int], NDArray[np.float64]]
"""Takes what was stored, its quantizer and the word length, and gives the estimate."""
N = 320
"""Samples a frame of the methods that are not learned."""
PERCEPTRON_BATCH, PERCEPTRON_EPOCHS, PERCEPTRON_STEPS = 64, 20, 20_000
"""It learns for so many epochs, or, from many frames, so many mini-batches."""


@dataclass(frozen=True)
class Row:
    """A measure of a method at a word length, over the files.

    Attributes
    ----------
    bits, method, measure
        What was measured.
    mean
        Over the files.
    ci95
        The 95 % interval of the mean, by Student's t.
    least
        The lowest value of a file.
    files
        How many there are.
    """

    bits: int
    method: str
    measure: str
    mean: float
    ci95: tuple[float, float]
    least: float
    files: int


@dataclass(frozen=True)
class Setting:
    """What is compared, and on what.

    Attributes
    ----------
    corpus
        Folder of good recordings, each of which is divided by its peak and quantized.
    bits
        Word lengths.
    kind
        Of quantizer.
    models
        Names or files of learned models, by the name of their rows.
    train
        Folder of recordings that least squares and the perceptron learn from; without it they are
        left out.
    gabor
        Whether the Gabor frame, which takes most of the time, is in it.
    restored
        Folders of what other programs made of the quantized recordings, by the name of their rows;
        see :func:`ergodual.experiments.elsewhere.find_elsewhere`.
    """

    corpus: Path
    bits: tuple[int, ...]
    kind: Kind
    models: dict[str, str]
    train: Path | None = None
    gabor: bool = True
    restored: dict[str, Path] = field(default_factory=dict)


def evaluate(
    setting: Setting, report: Callable[[str, float], None] = lambda what, share: None
) -> list[Row]:
    """All rows; ``report`` is told what is being done and the share of the work that is done.

    Raises
    ------
    ErgodualError
        If a recording is not whole or is silent, a model cannot be used, or what was restored
        elsewhere is not there.
    """
    files = find_audio(setting.corpus)
    learned = {name: Dequantizer.load(file) for name, file in setting.models.items()}
    elsewhere = find_elsewhere(setting.corpus, setting.restored, setting.bits)
    rows: list[Row] = []
    for number, bits in enumerate(setting.bits):
        report(f"{bits} bits: learning what to compare with", number / len(setting.bits))
        quantizer = quantizer_of(setting.kind, bits)
        found: dict[tuple[str, str], list[float]] = {}
        methods = dict(_methods(setting, quantizer, learned))
        for done, file in enumerate(files):
            report(f"{bits} bits: {file.name}", (number + done / len(files)) / len(setting.bits))
            others = {name: elsewhere[name, bits][file] for name in setting.restored}
            measured = _measured(file, methods, others, quantizer, bits)
            for (method, measure), value in measured.items():
                found.setdefault((method, measure), []).append(value)
        rows += [_row(bits, method, measure, values) for (method, measure), values in found.items()]
    return rows


def _measured(
    file: Path,
    methods: dict[str, Restore],
    others: dict[str, Path],
    quantizer: Levels,
    bits: int,
) -> dict[tuple[str, str], float]:
    samples, rate, _ = read_audio(file)
    if not samples.any():
        raise ErgodualError(f"{file} is silent, so nothing can be measured on it; remove it.")
    clean = normalize(samples).astype(np.float64)
    stored = quantizer.quantize(torch.from_numpy(clean)).numpy()
    found: dict[tuple[str, str], float] = {}

    def take(method: str, restored: NDArray[np.float64]) -> None:
        for measure, taken in measures(rate).items():
            found[method, measure] = taken(clean, restored)
        for measure, level in band_levels_db(clean, restored, rate).items():
            found[method, measure] = level
        found[method, "delta_snr_db"] = found[method, "snr_db"] - found["quantized", "snr_db"]

    for method, restore in methods.items():
        begun = time.perf_counter()
        restored = restore(stored, quantizer, bits)
        seconds = time.perf_counter() - begun
        take(method, restored)
        if method != "quantized":
            found[method, "audio_seconds_per_second"] = len(clean) / rate / seconds
    for method, other in others.items():
        take(method, read_restored(other, clean, rate))
    return found


def _methods(
    setting: Setting, quantizer: Levels, learned: dict[str, Dequantizer]
) -> Iterator[tuple[str, Restore]]:
    yield "quantized", lambda stored, quantizer, bits: stored
    if setting.train is not None:
        frames = load_corpus(setting.train, N).frames.double()
        stored = quantizer.quantize(frames)
        lower, upper = quantizer.cell(stored)
        half = half_step(lower, upper)
        x_tilde, x_true = (stored / half).float(), (frames / half).float()
        yield "linear", _by_frames(Linear(x_tilde, x_true))
        torch.manual_seed(0)
        perceptron = Perceptron(N, 2 * N * N)
        epochs = min(
            PERCEPTRON_EPOCHS, math.ceil(PERCEPTRON_STEPS * PERCEPTRON_BATCH / len(frames))
        )
        perceptron.learn(x_tilde, x_true, epochs, PERCEPTRON_BATCH)
        yield "perceptron", _by_frames(perceptron.eval())
    yield "dct", _by_frames(converged_dct(N))
    if setting.gabor:
        yield "gabor", _gabor
    for name, dequantizer in learned.items():
        yield name, _learned(dequantizer)


def _by_frames(estimator: Estimator) -> Restore:
    return lambda stored, quantizer, bits: restore_channel(estimator, N, stored, quantizer)


def _learned(dequantizer: Dequantizer) -> Restore:
    return lambda stored, quantizer, bits: dequantizer.restore(stored, bits, quantizer)


def _gabor(stored: NDArray[np.float64], quantizer: Levels, _bits: int) -> NDArray[np.float64]:
    samples = torch.from_numpy(stored)
    unit = quantizer.step / 2
    x_tilde, lower, upper = ((t / unit).float() for t in (samples, *quantizer.cell(samples)))
    return (gabor(x_tilde, lower, upper).double() * unit).numpy()


def _row(bits: int, method: str, measure: str, values: Sequence[float]) -> Row:
    """Mean and interval over the files where the measure exists."""
    known = [value for value in values if not math.isnan(value)] or [math.nan]
    mean = statistics.fmean(known)
    half = (
        float(t.ppf(0.975, len(known) - 1)) * statistics.stdev(known) / math.sqrt(len(known))
        if len(known) > 1
        else math.nan
    )
    return Row(bits, method, measure, mean, (mean - half, mean + half), min(known), len(known))


def as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For JSON, which has no NaN: what is unknown, as the interval of one file, is None."""
    return [
        {
            **asdict(row),
            "mean": _known(row.mean),
            "ci95": [_known(value) for value in row.ci95],
            "least": _known(row.least),
        }
        for row in rows
    ]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
