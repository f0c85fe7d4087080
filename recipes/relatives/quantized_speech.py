"""[4] on real recordings: mean SNR of the sentences, as stored and solved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import ergodual as ed
from ergodual.speech.corpora import find_audio, load_corpus
from ergodual.speech.quantizers import MidRise

NOTES = [
    "min ‖D(x̃ + r)‖₁ subject to ‖r‖_∞ ≤ Δ/2, D the cosine transform, frames of 320 samples at 16 "
    "kHz that do not overlap, solved to a relative gap of 1e-3 (ed.solve, float32); SNR in dB, "
    "mean over the first ten recordings.",
    "certified: the largest relative gap. gained: the share of recordings whose SNR rose.",
]
SEEDS = (0,)
BITS = range(2, 9)
FILES = 10


def run(data: Path, _seed: int) -> Iterator[dict[str, object]]:
    """A row for each corpus and word length; nothing is random."""
    for name in ("librispeech/dev", "ieee/dev"):
        corpus = load_corpus(find_audio(data / name)[:FILES])
        for bits in BITS:
            quantizer = MidRise(bits)
            stored = quantizer.quantize(corpus.frames)
            problem = ed.Problem(ed.L1(), ed.Box(radius=quantizer.radius), ed.Dense.dct(320))
            solution = ed.solve(problem, stored, tol=1e-3)
            before = snr(stored, corpus.frames, corpus.ends)
            after = snr(solution.x, corpus.frames, corpus.ends)
            yield {
                "corpus": name,
                "bits": bits,
                "stored": float(before.mean()),
                "solved": float(after.mean()),
                "gained": float((after > before).float().mean()),
                "certified": float(solution.error.max()),
            }


def snr(estimate: Tensor, x: Tensor, ends: list[int]) -> Tensor:
    """Of each recording, in dB."""
    counts = torch.tensor([0, *ends]).diff().tolist()
    pairs = zip(x.split(counts), (estimate - x).split(counts), strict=True)
    return torch.stack([10 * (s.square().sum() / e.square().sum()).log10() for s, e in pairs])
