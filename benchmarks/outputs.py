"""Which output, for which problem: patches of images with noise, and frames of quantized speech."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ergodual as ed
from benchmarks.images import corpora, crops
from benchmarks.measure import one_core, report
from ergodual.bilevel import fit
from ergodual.speech.corpora import find_audio, load_corpus
from ergodual.speech.quantizers import MidRise

DEPTHS, EPOCHS, LR, PATCH, SIGMA = (8,), 6, 1e-4, 8, 25 / 255
BITS, FRAME, FILES = 4, 64, 10
WEIGHTS = (0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.24, 0.5, 1.0)
OUTPUTS = {
    "last iterate": ed.Last,
    "uniform": lambda: ed.Ergodic("uniform"),
    "1/k": lambda: ed.Ergodic("1/k"),
    "learned": lambda: ed.Ergodic("learned"),
}
NOTES = [
    f"images: min ½‖x − b‖² + λ‖Kx‖₁ on {PATCH} × {PATCH} patches without their mean, σ = 25/255, "
    f"of images/train400, 80 images to learn from and 20 others to measure on; K from the DCT, λ "
    f"from the best of a grid, both learned in {EPOCHS} epochs of Adam ({LR:g}), mean squared "
    "error. PSNR in dB.",
    f"speech: ‖K(x̃ + r)‖₁ with |r| ≤ half a step, frames of {FRAME} at {BITS} bits, learned on the "
    f"first {FILES} files of librispeech/train and measured on those of dev. SNR in dB.",
    "start: before learning; solved: what the learned K and λ give at the solution.",
]


def main(out: Path) -> None:
    """A row for each problem, depth and output."""
    one_core()
    rows: list[dict[str, Any]] = []
    for name, (make, train, dev, decibel) in {"images": images(), "speech": speech()}.items():
        for depth in DEPTHS:
            for output, kind in OUTPUTS.items():
                model = best(make, depth, kind, decibel, train)
                row = {"problem": name, "depth": depth, "output": output}
                assert isinstance(model.problem.F, ed.L1)
                row |= {"λ": float(model.problem.F.weight), "start": decibel(model, *dev)}
                rows.append(row)
                fit(
                    model,
                    *train,
                    epochs=EPOCHS,
                    batch_size=128,
                    optimizer="adam",
                    lr=LR,
                    loss=nn.MSELoss(),
                )
                row["learned"] = decibel(model, *dev)
                solved = ed.Solved(model.problem, tol=1e-4)
                rows[-1]["solved"] = decibel(solved, *(t[:1000] for t in dev))
                print(rows[-1], flush=True)
    report("outputs", "Which output", rows, out, NOTES)


def best(make: Any, depth: int, kind: Any, decibel: Any, train: Any) -> ed.Unrolled:
    """With the best weight of a grid."""
    models = []
    for weight in WEIGHTS:
        model = ed.Unrolled(make(weight), depth, output=kind())
        models.append((decibel(model, *train), weight, model))
    return max(models, key=lambda each: each[:2])[2]


def images() -> tuple[Any, tuple[Tensor, Tensor], tuple[Tensor, Tensor], Any]:
    """The problem, pairs to learn from, others, and the PSNR."""
    x, b = (pieces(t.float()) for t in crops(100, 128, SIGMA))
    mean = b.mean(1, keepdim=True)
    x, b = x - mean, b - mean
    count = len(b) * 8 // 10
    C = ed.Dense.dct(PATCH).matrix.detach()

    def make(weight: float) -> ed.InverseProblem:
        K = ed.Dense(torch.kron(C, C))
        F = ed.L1(nn.Parameter(torch.tensor(weight)))
        return ed.InverseProblem(data=ed.SquaredL2(), F=F, K=K)

    def psnr(model: nn.Module, b: Tensor, x: Tensor) -> float:
        with torch.no_grad():
            return float(-10 * (model(b) - x).square().mean().log10())

    return make, (b[:count], x[:count]), (b[count:], x[count:]), psnr


def pieces(x: Tensor) -> Tensor:
    """Patches side by side, ``(count, 64)``."""
    return x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).reshape(-1, PATCH**2)


def speech() -> tuple[Any, tuple[Tensor, Tensor], tuple[Tensor, Tensor], Any]:
    """Likewise, and the SNR."""
    quantizer = MidRise(BITS)

    def pairs(part: str) -> tuple[Tensor, Tensor]:
        files = find_audio(corpora() / "librispeech" / part)[:FILES]
        x = load_corpus(files, FRAME).frames
        return quantizer.quantize(x), x

    def make(weight: float) -> ed.Problem:
        # the weight moves no solution, but is one of the steps
        F = ed.L1(nn.Parameter(torch.tensor(weight)))
        return ed.Problem(F, ed.Box(radius=quantizer.radius), ed.Dense.dct(FRAME))

    def snr(model: nn.Module, x_tilde: Tensor, x: Tensor) -> float:
        with torch.no_grad():
            error = model(x_tilde) - x
        return float(10 * (x.square().sum() / error.square().sum()).log10())

    return make, pairs("train"), pairs("dev"), snr
