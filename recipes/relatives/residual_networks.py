"""[5] on speech of 4 bits and on images of σ = 25: an algorithm that is stopped, and networks that
are made of it, which learn for equal seconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.bilevel.data import Data, InMemory
from ergodual.bilevel.loss import Loss
from ergodual.images import NoisyCrops, add_noise, denoise, psnr, read_folder
from ergodual.images.loss import InteriorError
from ergodual.images.networks import Centred, cosines
from ergodual.speech.corpora import find_audio, load_corpus
from ergodual.speech.quantizers import MidRise
from ergodual.tensors import Number
from recipes.images.training import Adam
from recipes.relatives.quantized_speech import snr

SECONDS, TIMED, EPOCHS = 15.0, 40, 20
"""Of a training, mini-batches that are timed before it, and times that the rate falls in it."""
NOTES = [
    "d layers y⁺ = prox_F*(y + σWx̄), x⁺ = prox_G(x − τVy⁺); F a weighted ℓ1 norm; G a box for "
    "speech, a square for images. stopped: Chambolle-Pock with the cosine transform after d "
    "iterations; solved: to a gap of 1e-3; tied: one W that is learned, and Wᵀ back; untied: a W "
    "of each layer, and Wᵀ back; residual: x⁺ = prox_G(x − τV prox_F*(σ(Wx + b))), a W, a V and "
    "a b of each, without y and x̄ of the layer before. Thresholds, σ, τ and θ are learned too.",
    f"Adam for about {SECONDS:.0f} seconds of one core each, beside other work (seconds: what it "
    "took), which is short; learning rates, and the one weight of stopped and solved for images, "
    "were chosen on recordings and images that are neither learned from nor measured here.",
    "speech: frames of 320 samples, d = 5, quantized to 4 bits, learned from ieee/train, SNR in "
    "dB, mean over the first 20 recordings of ieee/dev. images: 24 filters of 5 × 5, d = 5, σ = "
    "25/255, crops of images/train400, mean PSNR in dB of set12. stored: nothing done.",
]
SEEDS = (0, 1, 2)
SIGMA, SPEECH_BATCH = 25 / 255, 64
KINDS = ("tied", "untied", "residual")


class Task(NamedTuple):
    """What is restored.

    Attributes
    ----------
    name, depth, batch
        Its name, d, and samples a mini-batch.
    data
        So many mini-batches, to learn from.
    loss
        Of the learning.
    measure
        The dB of a model, or of what does nothing.
    operator
        W before it is learned, with noise of a seed.
    weight
        λ of each coefficient before it is learned.
    G
        The data term's function, seen from a point that x̃ is this far from.
    wrapped
        What is learned, of what iterates.
    rates
        Of learning, by kind: for operators, and for all else.
    """

    name: str
    depth: int
    batch: int
    data: Callable[[int], Data]
    loss: Loss | None
    measure: Callable[[Callable[[Tensor], Tensor]], float]
    operator: Callable[[int], ed.Operator]
    weight: Tensor
    G: Callable[[Tensor | None], ed.Function]
    wrapped: Callable[[nn.Module], nn.Module]
    rates: dict[str, tuple[float, float]]


class Residual(nn.Module):
    """x⁺ = prox_G(x − τV prox_F*(σ(Wx + b))): layers of one iteration each, which starts at x.

    Parameters
    ----------
    layers
        The iterations.
    G
        The data term's function, as seen from a point that x̃ is this far from.
    """

    def __init__(
        self, layers: list[ed.Unrolled], G: Callable[[Tensor | None], ed.Function]
    ) -> None:
        super().__init__()
        self.layers, self.G = nn.ModuleList(layers), G

    def forward(self, x_tilde: Tensor) -> Tensor:
        x = x_tilde
        for layer in self.layers:
            x = layer(x, G=self.G(x_tilde - x))
        return x


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each task and kind."""
    for task in (speech(data / "ieee"), images(data / "images")):
        row: dict[str, object] = {"task": task.name}
        if seed == 0:  # nothing is random
            yield {**row, "kind": "stored", "dB": task.measure(lambda x: x)}
            for kind, model in classical(task).items():
                yield {**row, "kind": kind, "dB": task.measure(model)}
        for kind in KINDS:
            model, told = learn_for(SECONDS, task, kind, seed)
            count = sum(p.numel() for p in model.parameters())
            yield {**row, "kind": kind, "parameters": count, "dB": task.measure(model), **told}


def network(task: Task, kind: str) -> nn.Module:
    """The layers of one kind, all from the cosine transform on."""

    def problem(k: int) -> ed.Problem:
        F: ed.Function = ed.L1(nn.Parameter(task.weight.clone()))
        K = task.operator(k)
        if kind == "residual":
            K = ed.Unmatched(K, task.operator(k))
            F = ed.Translated(F, nn.Parameter(torch.zeros_like(task.weight)))
        return ed.Problem(F, task.G(None), K)

    def steps(depth: int, theta: Number) -> ed.StepSizes:
        # the cosine transforms have norm 1; to follow ‖W‖ would take most of the time
        sigma, tau = (nn.Parameter(torch.full((depth,), 0.99)) for _ in range(2))
        return ed.StepSizes.fixed(sigma, tau, theta)

    problems = [problem(k) for k in range(1 if kind == "tied" else task.depth)]
    if kind == "residual":
        layers = [ed.Unrolled([one], steps=steps(1, 1.0), output=ed.Last()) for one in problems]
        return task.wrapped(Residual(layers, task.G))
    theta = nn.Parameter(torch.full((task.depth,), 0.9))
    problems = problems * (task.depth // len(problems))
    return task.wrapped(ed.Unrolled(problems, steps=steps(task.depth, theta), output=ed.Last()))


def classical(task: Task) -> dict[str, nn.Module]:
    """What learns nothing: the algorithm after d iterations, and at its end."""
    problem = ed.Problem(ed.L1(task.weight), task.G(None), task.operator(0)).requires_grad_(False)
    stopped = ed.Unrolled(problem, task.depth, output=ed.Last())
    found = {"stopped": stopped, "solved": ed.Solved(problem, tol=1e-3)}
    return {kind: task.wrapped(model) for kind, model in found.items()}


def learn_for(
    seconds: float, task: Task, kind: str, seed: int
) -> tuple[nn.Module, dict[str, float]]:
    """A network after about so many seconds of the processor, and what they held."""

    def run(batches: int, epochs: int, on_step: Callable[[float], None]) -> nn.Module:
        torch.manual_seed(seed)
        model = network(task, kind)
        fit(
            model,
            task.data(batches),
            epochs=epochs,
            batch_size=task.batch,
            loss=task.loss,
            optimizer=Adam(model, *task.rates[kind]),
            schedule="cosine",
            warmup=20,
            clip=1.0,
            seed=seed,
            on_step=on_step,
        )
        return model.eval()

    times: list[float] = []
    run(TIMED, 1, lambda loss: times.append(time.process_time()))
    step = statistics.median(b - a for a, b in pairwise(times))
    each = max(1, round(seconds / step / EPOCHS))
    begun = time.process_time()
    model = run(each, EPOCHS, lambda loss: None)
    spent = time.process_time() - begun
    return model, {"batches": float(each * EPOCHS), "seconds": spent}


def speech(folder: Path, held_out: int = 20) -> Task:
    """Frames in half steps of the quantizer; G is the box of the cells."""
    quantizer = MidRise(4)
    half = quantizer.radius
    files = find_audio(folder / "train")
    frames = load_corpus(files[:-held_out]).frames
    test = load_corpus(find_audio(folder / "dev")[:20])

    def data(batches: int) -> Data:
        rows = torch.randperm(len(frames))[torch.arange(SPEECH_BATCH * batches) % len(frames)]
        x = frames[rows]
        return InMemory(quantizer.quantize(x) / half, x / half)

    def measure(model: Callable[[Tensor], Tensor]) -> float:
        with torch.no_grad():
            found = half * model(quantizer.quantize(test.frames) / half)
        return float(snr(found, test.frames, test.ends).mean())

    def box(to: Tensor | None) -> ed.Function:
        if to is None:
            return ed.Box(radius=1.0)
        # where x is on the border, rounding does not lift it across
        return ed.Box(lower=(to - 1).clamp(max=0), upper=(to + 1).clamp(min=0))

    def dct(_seed: int) -> ed.Operator:
        return ed.Dense.dct(320)

    return Task(
        name="speech",
        depth=5,
        batch=SPEECH_BATCH,
        data=data,
        loss=None,
        measure=measure,
        operator=dct,
        weight=torch.ones(320),
        G=box,
        wrapped=lambda model: model,
        rates={"tied": (2e-3, 1e-2), "untied": (1e-3, 1e-2), "residual": (1e-3, 1e-2)},
    )


def images(folder: Path, held_out: int = 20) -> Task:
    """Crops in units of the noise, less their means; G is a square."""
    pictures = read_folder(folder / "train400")
    some = [image for i, image in enumerate(pictures) if i % held_out]
    test = [(x, add_noise(x, SIGMA, i)) for i, x in enumerate(read_folder(folder / "set12"))]

    def data(batches: int) -> Data:
        return NoisyCrops(some, 40, SIGMA, batches, 4)

    def measure(model: Callable[[Tensor], Tensor]) -> float:
        return statistics.mean(psnr(denoise(model, y, SIGMA), x) for x, y in test)

    def square(to: Tensor | None) -> ed.Function:
        return ed.SquaredL2() if to is None else ed.Translated(ed.SquaredL2(), to)

    def cosine(seed: int) -> ed.Operator:
        return ed.Conv(cosines(24, 5, seed), padding="none")

    return Task(
        name="images",
        depth=5,
        batch=4,
        data=data,
        loss=InteriorError(),
        measure=measure,
        operator=cosine,
        weight=torch.full((24, 1, 1), 0.27),
        G=square,
        wrapped=Centred,
        rates=dict.fromkeys(KINDS, (1e-2, 3e-2)),
    )
