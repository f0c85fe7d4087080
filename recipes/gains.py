"""What the shipped models gain on recordings of every kind that is told apart, as ``ergodual
inspect`` expects it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal

from ergodual.files import write_atomically
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.dither import Dithers
from ergodual.speech.found import Found, offset_of
from ergodual.speech.gains import FILE, Gain, kind_of
from ergodual.speech.measures import snr_db
from ergodual.speech.quantizers import (
    Kind,
    Levels,
    a_law,
    mu_law,
    mu_law_continuous,
    quantizer_of,
    uniform,
)
from recipes.training import SHIPPED

SECONDS = 4
"""Of each recording."""
PEAK = 0.97
LATTICES: tuple[Kind, ...] = ("mid-rise", "mid-tread", "floor", "truncate")
DITHERS: tuple[tuple[Dithers, int], ...] = (("rpdf", 6), ("tpdf", 8))
"""Told up to so many bits."""


def main(corpora: Path, work: Path) -> None:
    """CORPORA holds librispeech/dev; the table goes beside the models."""
    del work
    rows = gains(corpora / "librispeech" / "dev", Dequantizer.load(SHIPPED.name))
    lines = ",\n".join(
        f"  {json.dumps(asdict(row) | {'kind': row.kind._asdict()})}" for row in rows
    )
    said = "python -m recipes gains CORPORA, on the first 4 seconds of librispeech/dev; SNR in dB"
    text = f'{{\n "command": {json.dumps(said)},\n "rows": [\n{lines}\n ]\n}}\n'
    write_atomically(SHIPPED / FILE, text)


def gains(folder: Path, tool: Dequantizer) -> list[Gain]:
    """Mean and least gain over what is stored, for each kind, at the model's rate and at half of
    it, with as large a share of the change as dequantizing makes.
    """
    rows: list[Gain] = []
    clips = [read_audio(path)[0][: SECONDS * tool.rate] for path in find_audio(folder)]
    for rate, down in ((tool.rate, 1), (tool.rate // 2, 2)):
        meant = [signal.resample_poly(x.astype(np.float64), 1, down) for x in clips]
        for quantizer, bits, dither in _settings():
            found = tool.helped(Found(quantizer, "", bits, dither=dither), rate)
            if found.quantizer is None:
                continue
            gained = [_gain(PEAK * x / np.abs(x).max(), found, tool) for x in meant]
            mean, least = (round(float(value), 2) for value in (np.mean(gained), min(gained)))
            rows.append(Gain(kind_of(found), rate, mean, least, len(gained)))
            print(rows[-1], flush=True)
    return rows


def _settings() -> Iterator[tuple[Levels, int, Dithers]]:
    for bits in range(2, 11):
        for kind in LATTICES:
            yield quantizer_of(kind, bits), bits, "none"
        step, half = 2.0 ** (1 - bits), 2 ** (bits - 1)
        yield uniform("shifted", step, step / 4, -half, half - 1), bits, "none"
    for dither, most in DITHERS:
        for bits in range(2, most + 1):
            yield quantizer_of("mid-tread", bits), bits, dither
    yield from ((law, 8, "none") for law in (mu_law(), a_law()))
    yield from ((mu_law_continuous(bits), bits, "none") for bits in range(4, 9))


def _gain(x: NDArray[np.float64], found: Found, tool: Dequantizer) -> float:
    assert found.quantizer is not None
    noise = np.random.default_rng(0).random((2, len(x))) - 0.5
    added = {"none": 0.0, "rpdf": noise[0], "tpdf": noise.sum(0)}[found.dither]
    stored = found.quantizer.quantize(torch.from_numpy(x + added * found.quantizer.step)).numpy()
    if not found.quantizer.companded:
        mean = float(found.quantizer.intervals(torch.from_numpy(stored))[0].mean())
        found = replace(found, centre=offset_of(mean, found.quantizer.step))
    stream = tool.stream_of(found)
    restored = np.concatenate([stream.push(stored), stream.finish()])
    return snr_db(x, restored) - snr_db(x, stored)
