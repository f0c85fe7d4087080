"""What is gained, and lost at worst, where less than the whole estimate is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal

from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.measures import snr_db
from ergodual.speech.quantizers import Levels, a_law, mid_tread, mu_law

SHARES = (1.0, 0.75, 0.5, 0.4, 0.25)
EVERY = {"librispeech/train": 19, "ieee/train": 60}
"""One recording in so many is taken, at most SECONDS of it."""
SECONDS = 4
RATES = ((16_000, 1, 1), (8000, 1, 2), (11_025, 441, 640), (24_000, 3, 2), (48_000, 3, 1))
"""Sampling rates in Hz, and by what 16,000 Hz is multiplied and divided."""


def shares(corpora: Path, tool: Dequantizer) -> list[dict[str, object]]:
    """Mean and least gain in dB over what is stored, for each share, word length and rate."""
    rows: list[dict[str, object]] = []
    recordings = [
        read_audio(path)[0][: SECONDS * tool.rate].astype(np.float64)
        for folder, every in EVERY.items()
        for path in find_audio(corpora / folder)[::every]
    ]
    for rate, up, down in RATES:
        clips = [signal.resample_poly(x, up, down) if up != down else x for x in recordings]
        for name, quantizer, bits in _quantizers():
            gains = np.asarray(
                [_gains(0.97 * x / np.abs(x).max(), quantizer, bits, tool) for x in clips]
            )
            rows.append(
                {"quantizer": name, "rate": rate, "of": len(clips), "shares": list(SHARES)}
                | {"mean": gains.mean(0).round(2).tolist(), "least": gains.min(0).round(2).tolist()}
                | {"worse": (gains < 0).sum(0).tolist()}
            )
            print(rows[-1], flush=True)
    return rows


def _quantizers() -> list[tuple[str, Levels, int]]:
    laws = [("mu-law", mu_law(), 8), ("A-law", a_law(), 8)]
    return laws + [(f"{bits} bits", mid_tread(bits), bits) for bits in range(2, 11)]


def _gains(x: NDArray[np.float64], quantizer: Levels, bits: int, tool: Dequantizer) -> list[float]:
    stored = quantizer.quantize(torch.from_numpy(x)).numpy()
    restored = tool.restore(stored, bits, quantizer)
    before = snr_db(x, stored)
    return [snr_db(x, stored + share * (restored - stored)) - before for share in SHARES]
