"""Seconds of audio that the dequantizer restores in a second, with products of float32 and in
bfloat16.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from benchmarks.measure import one_core, paired, ratio, report
from ergodual.memory import reuse_memory
from ergodual.products import products_in_use, rounding_pays, use_products
from ergodual.speech.corpora import find_audio, load_corpus, synthetic_speech
from ergodual.speech.dequantizer import Dequantizer, Quality
from ergodual.speech.measures import snr_db
from ergodual.speech.quantizers import mid_rise

SECONDS = 60
NOTES = [
    f"{SECONDS} seconds of the packaged synthetic speech at 16 kHz, one channel, as one array, by "
    "the models of the package: medians of five rounds, one core, freed memory kept by the process "
    "as by the command line. float32: after "
    'use_products("torch"); as is: by bfloat16 where the processor has units that make it pay. dB: '
    "SNR as is, less that of float32.",
]


def main(out: Path) -> None:
    """A row for each quality and word length."""
    one_core()
    reuse_memory()
    found: tuple[Quality, ...] = get_args(Quality)
    rows = [row(quality, bits) for quality in found for bits in (4, 5, 6)]
    report("restoring", "Restoring a minute of audio", rows, out, NOTES)


def row(quality: Quality, bits: int) -> dict[str, Any]:
    """Of the table."""
    files = load_corpus(find_audio(synthetic_speech()))
    x = torch.cat(files.recordings).double()
    x = x.repeat(-(-SECONDS * files.rate // len(x)))[: SECONDS * files.rate]
    stored, model = mid_rise(bits).quantize(x).numpy(), Dequantizer.load(quality=quality)

    def restored(kernel: str) -> Any:
        use_products(kernel)
        return model.restore(stored, bits=bits)

    runs: dict[str, Callable[[], Any]] = {k: partial(restored, k) for k in ("torch", "auto")}
    seconds = paired(runs, rounds=5, least=0.0)
    exact, rounded = (snr_db(x.numpy(), np.asarray(run())) for run in runs.values())
    rounded_here = quality != "fast" and rounding_pays()  # models of frames are not rounded
    return {
        "quality": quality,
        "bits": bits,
        "as is": "bfloat16" if rounded_here else products_in_use(torch.float32),
        "float32, s/s": SECONDS / statistics.median(seconds["torch"]),
        "as is, s/s": SECONDS / statistics.median(seconds["auto"]),
        "float32/as is": ratio(seconds, "torch", "auto"),
        "dB": rounded - exact,
    }
