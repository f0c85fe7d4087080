"""[6] on recorded speech: one primal-dual network, learned by the squared error and by that behind
a perceptual weighting filter.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import HalfSquared, fit
from ergodual.bilevel.loss import Loss
from ergodual.speech.corpora import Corpus, find_audio, load_corpus
from ergodual.speech.measures import measures
from ergodual.speech.quantizers import MidRise
from ergodual.speech.weighting import PerceptualError
from recipes.relatives.residual_networks import SPEECH_BATCH

DEPTH, FRAMES, EPOCHS, FILES = 8, 20_000, 12, 25
RATE = 16_000
NOTES = [
    "d = 8 iterations with one K from the cosine transform on, learned thresholds, σ and τ of each "
    "iteration, θ = 0, last iterate, in the cells; frames of 320 samples that do not overlap. "
    "loss: ½‖x̂ − x‖² of each frame, or behind W(z) = A(z/0.92)/A(z/0.6), A of order 16. The same "
    "mini-batches, rates and beginnings for both.",
    f"Learned from {FRAMES} frames of librispeech/train {EPOCHS} times by Adam, measured on the "
    f"{FILES} recordings of librispeech/dev: means. weighted: SNR behind the filter of the "
    "clean frame, in dB. Half steps of the quantizer as unit.",
]
SEEDS = (0, 1, 2)
LOSSES: dict[str, Loss] = {"squared": HalfSquared(), "perceptual": PerceptualError()}


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each word length and loss."""
    train = load_corpus(find_audio(data / "librispeech" / "train")).frames
    test = load_corpus(find_audio(data / "librispeech" / "dev")[:FILES])
    some = train[torch.randperm(len(train))[:FRAMES]]
    for bits in (3, 4):
        quantizer = MidRise(bits)
        stored = quantizer.quantize(test.frames)
        row: dict[str, object] = {"bits": bits}
        if seed == 0:  # nothing is random
            yield {**row, "loss": "stored", **measured(stored, test)}
        for name, loss in LOSSES.items():
            model = learned(some, quantizer, loss, seed)
            with torch.no_grad():
                found = model(stored / quantizer.radius) * quantizer.radius
            yield {**row, "loss": name, **measured(found, test)}


def learned(frames: Tensor, quantizer: MidRise, loss: Loss, seed: int) -> nn.Module:
    """The network after its training."""
    torch.manual_seed(seed)
    weights = nn.Parameter(torch.ones(320))
    problem = ed.Problem(ed.L1(weights), ed.Box(radius=1.0), ed.Dense.dct(320))
    sigma, tau = (nn.Parameter(torch.full((DEPTH,), 0.99)) for _ in range(2))
    model = ed.Unrolled(problem, DEPTH, ed.StepSizes.fixed(sigma, tau, 0.0), ed.Last())
    fit(
        model,
        quantizer.quantize(frames) / quantizer.radius,
        frames / quantizer.radius,
        epochs=EPOCHS,
        batch_size=SPEECH_BATCH,
        loss=loss,
        optimizer="adam",
        lr=1e-3,
        lr_scale=10.0,
        schedule="cosine",
        warmup=20,
        clip=1.0,
        seed=seed,
    )
    return model.eval()


def measured(estimate: Tensor, test: Corpus) -> dict[str, float]:
    """Means over the recordings."""
    counts = torch.tensor([0, *test.ends]).diff().tolist()
    pairs = list(zip(test.frames.split(counts), estimate.split(counts), strict=True))
    by = measures(RATE)
    kept = ("snr_db", "lsd_db", "estoi", "pesq_wb")
    assert "pesq_wb" in by, "pip install ergodual[pesq]"
    signals = [(x.flatten().numpy(), y.flatten().numpy()) for x, y in pairs]
    found = {name: statistics.mean(by[name](x, y) for x, y in signals) for name in kept}
    loss = PerceptualError()
    found["weighted"] = statistics.mean(
        float(10 * (loss(torch.zeros_like(x), x).sum() / loss(y, x).sum()).log10())
        for x, y in pairs
    )
    return found
