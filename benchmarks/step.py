"""A whole training step, as ``fit`` does it, over the gradient alone."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import ergodual as ed
from benchmarks import sweeps
from benchmarks.measure import one_core, report
from ergodual.bilevel import fit
from ergodual.speech.corpora import load_corpus, synthetic_speech
from ergodual.speech.quantizers import MidRise

DEPTH = 8
NOTES = [
    "One core; synthetic speech at 4 bits. A step is everything between two mini-batches of "
    "fit: fetching, quantizing, the loss, the gradient, its norm, the bound of ‖K‖, the "
    "update (SGD), the callback. Between any two steps the gradient alone is timed (the median of "
    "three), and the ratio is the median over all steps.",
]


def main(out: Path) -> None:
    """Batch 32 and 256."""
    one_core()
    frames = load_corpus(synthetic_speech())
    rows = [measured(frames, batch) for batch in (32, 256)]
    report("step", f"One training step at depth {DEPTH}", rows, out, NOTES)


def measured(corpus: object, batch: int) -> dict[str, float]:
    """Steps and gradients by turns."""
    quantizer = MidRise(4)
    data = corpus.data(lambda x_true: (quantizer.quantize(x_true), x_true))  # type: ignore[attr-defined]
    model = ed.Unrolled(
        ed.Problem(ed.L1(), ed.Box(radius=quantizer.radius), ed.Dense.dct(320)), DEPTH
    )
    gradient = sweeps.ours(batch, DEPTH, ed.Reverse())
    steps: list[float] = []
    gradients: list[float] = []
    begun = [0.0]
    last = len(data) // batch  # the mini-batch that is not full

    def on_step(_loss: float) -> None:
        ended, count = time.perf_counter(), len(gradients) % (last + 1)
        alone = []
        for _ in range(3):
            at = time.perf_counter()
            gradient()
            alone.append(time.perf_counter() - at)
        gradients.append(statistics.median(alone))
        steps.append(ended - begun[0] if 0 < count < last else float("nan"))
        begun[0] = time.perf_counter()

    fit(model, data, epochs=max(2, 6 * batch // 32), batch_size=batch, on_step=on_step)
    ratios = [step / alone for step, alone in zip(steps, gradients, strict=True) if step == step]
    return {
        "batch": batch,
        "steps": len(ratios),
        "step/gradient": statistics.median(ratios),
        "gradient ms": 1e3 * statistics.median(gradients),
    }
