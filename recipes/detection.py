"""What is recognised and gained: kinds of coarse recordings, good ones, clipped ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal

from ergodual.files import write_atomically
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.found import Found
from ergodual.speech.measures import snr_db
from ergodual.speech.survey import survey
from recipes.kinds import KINDS, Given, Made, amplified, held
from recipes.shares import shares

Samples = NDArray[np.float64]
RESULTS = Path("results/detection")
SECONDS = 4
"""The table of kinds is made from the beginnings of recordings."""


def main(corpora: Path, work: Path) -> None:
    """CORPORA holds librispeech and ieee; the tables go to results/detection."""
    del work
    tool = Dequantizer.load()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name, table in (
        ("kinds", kinds(corpora / "librispeech" / "dev", tool)),
        ("clipped", clipped(corpora / "ieee" / "dev", tool)),
        ("shares", shares(corpora, tool)),
        ("false-alarms", false_alarms(corpora)),
    ):
        said = {"command": "python -m recipes detection CORPORA", name: table}
        write_atomically(RESULTS / f"{name}.json", (json.dumps(said, indent=1) + "\n").encode())


def kinds(folder: Path, tool: Dequantizer) -> list[dict[str, object]]:
    """Of each kind: how many recordings were recognised, and how many of them with the true cells;
    over these, mean SNR in dB as stored, as restored, and as restored with the true cells given;
    and over all, as stored and as it comes out.
    """
    rows: list[dict[str, object]] = []
    for name, (subtype, make) in KINDS.items():
        found, right, measured = [], [], []
        for _, x in _recordings(folder):
            made = make(x[: SECONDS * tool.rate])
            one, restored = _restored(made, subtype, tool)
            found.append(one)
            right.append(_right(one, made))
            stream = tool.stream(Given(made), made.bits, _centre(made))
            true = np.concatenate([stream.push(made.stored), stream.finish()])
            measured.append([snr_db(made.meant, y) for y in (made.stored, restored, true)])
        table = np.asarray(measured)
        each = zip(("stored", "restored", "true cells"), table[right].mean(0).round(2), strict=True)
        rows.append(
            {"kind": name, "format": subtype, "of": len(found)}
            | {"recognised": sum(one.quantizer is not None for one in found), "right": sum(right)}
            | {key: float(value) for key, value in each}
            | {"all stored": round(table[:, 0].mean(), 2), "all": round(table[:, 1].mean(), 2)}
            | {"least gain": round((table[:, 1] - table[:, 0]).min(), 2)}
            | {"said": sorted({one.said for one in found})[:2]}
        )
        print(*(f"{key}: {value}" for key, value in rows[-1].items()), sep=", ", flush=True)
    return rows


def _right(found: Found, made: Made) -> bool:
    """Whether 98 samples in 100 have their true cells, to a tenth of these."""
    if found.quantizer is None:
        return False
    intervals = found.cells.intervals(torch.from_numpy(made.stored))[1:]
    widths = made.intervals[2] - made.intervals[1]
    slack = torch.where(widths.isfinite(), widths, widths[widths.isfinite()].median()) / 10
    near = (intervals - made.intervals[1:]).abs().nan_to_num(0) <= slack
    return float(near.all(0).double().mean()) >= 0.98


def clipped(folder: Path, tool: Dequantizer) -> list[dict[str, object]]:
    """Mean SNR in dB of what was amplified and cut off: as stored, as restored, and as restored
    with cells that are closed at the ends.
    """
    rows: list[dict[str, object]] = []
    for bits in range(4, 9):
        for decibels in (3, 6):
            measured = []
            for _, x in _recordings(folder):
                made = amplified(bits, decibels)(x)
                _, restored = _restored(made, "PCM_16", tool)
                closed = _restored_closed(made, tool)
                measured.append([snr_db(made.meant, y) for y in (made.stored, restored, closed)])
            stored, restored_, closed_ = np.asarray(measured).mean(0).round(2).tolist()
            rows.append(
                {"bits": bits, "dB": decibels, "stored": stored}
                | {"restored": restored_, "closed": closed_}
            )
            print(rows[-1], flush=True)
    return rows


def false_alarms(corpora: Path) -> dict[str, object]:
    """How many good recordings, as they are and after edits, are taken for coarse ones."""
    count, touched = 0, []
    for folder in ("librispeech/train", "librispeech/dev", "ieee/train", "ieee/dev"):
        for path, x in _recordings(corpora / folder, scaled=False):
            for name, samples in _edited(x):
                count += 1
                (found,) = survey(lambda: [samples[:, None]], [str(path)], "PCM_16")  # noqa: B023
                if found.quantizer is not None:
                    touched.append(f"{path.relative_to(corpora)}, {name}: {found.said}")
                    print(touched[-1], flush=True)
    return {"recordings": count, "touched": touched}


def _recordings(folder: Path, scaled: bool = True) -> Iterator[tuple[Path, Samples]]:
    for path in find_audio(folder):
        x = read_audio(path)[0].astype(np.float64)
        yield path, x / np.abs(x).max() if scaled else x


def _restored(made: Made, subtype: str, tool: Dequantizer) -> tuple[Found, Samples]:
    (found,) = survey(lambda: [made.stored[:, None]], [""], subtype)
    found = tool.helped(found, tool.rate)
    if found.quantizer is None:
        return found, made.stored
    stream = tool.stream_of(found)
    return found, np.concatenate([stream.push(made.stored), stream.finish()])


def _restored_closed(made: Made, tool: Dequantizer) -> Samples:
    """With cells as wide at the ends as elsewhere, around what is stored."""
    step = float(np.median(np.diff(made.intervals[1:].numpy(), axis=0)))
    intervals = made.intervals.clone()
    open_ = ~intervals.isfinite().all(0).numpy()
    for row, shift in enumerate((0, -step / 2, step / 2)):
        intervals[row, open_] = intervals.new_tensor(made.stored[open_] + shift)
    stream = tool.stream(Given(Made(made.meant, made.stored, intervals, made.bits)), made.bits)
    return np.concatenate([stream.push(made.stored), stream.finish()])


def _centre(made: Made) -> float:
    """A constant offset of the recording."""
    mean = float(made.meant.mean())
    return mean if abs(mean) > 0.2 * float((made.intervals[2] - made.intervals[1]).min()) else 0.0


def _edited(x: Samples) -> Iterator[tuple[str, Samples]]:
    """As 16 bits hold them."""
    yield "as it is", held(x, "PCM_16")
    yield "resampled to 22,050 Hz", held(signal.resample_poly(x, 441, 320), "PCM_16")
    yield "resampled to 8,000 Hz", held(signal.resample_poly(x, 1, 2), "PCM_16")
    low = signal.firwin(255, 5500, fs=16_000)
    yield "through a low pass", held(signal.fftconvolve(x, low, "same"), "PCM_16")
    full, at = 0.99 * x / np.abs(x).max(), np.linspace(0, 1, len(x))
    yield "faded", held(full * np.clip(5 * np.minimum(at, 1 - at), 0, 1), "PCM_16")
