"""What is scanned, and one training of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.bilevel.data import InMemory, Share, shuffled
from ergodual.bilevel.schedules import Schedule, learning_rate
from ergodual.speech.quantizers import MidRise

N, BATCH, PART, EPOCHS = 320, 32, 8, 16
DEPTHS = (1, 2, 4, 8)
MARKS = (0, 1, 2, 4, 6, 8, 10, 12, 14, 16)
"""Epochs whose losses and gradient norms are kept."""
NOTES = [
    f"Frames of {N} samples of ieee/train; an epoch is {BATCH} frames a mini-batch of a random "
    f"{PART}th of them, and after it the loss is measured on every {PART}th; {EPOCHS} epochs of "
    f"SGD, of which these are kept: {MARKS}, and the gradient norms from the second on. time: the "
    "sum of the learning rates of all mini-batches so far. In the cells all is as in "
    "results/figures but for what is said: σ = w · 0.99/‖K‖, τ = 0.99/(w‖K‖).",
    "start: of K: the DCT, 0.1 times it, or a random matrix of norm one. moved: mean of |x̂ − x̃| in "
    "half steps, on the frames of the loss, of the K learned; before: of the first K.",
    "Of each statement a digit for each mark but the first: 1 where it holds. Losses rise or fall "
    "with every doubling of d; of norms the largest over the least of d = 1, 2, 4, 8 counts, at "
    "most 1.3 for the ergodic output, at least 3 for the plain one.",
    "beyond: one thing changed at a time, three seeds (orders of the frames): the mean loss, and "
    "the least and largest.",
    "standard: the setting of results/figures learned as the cells are, but for as long, from all "
    "frames; the last losses beside those of there, of its seed 0.",
]
Start = Literal["dct", "small", "random"]
Kind = Literal["l1", "learned steps", "learned averages", "l21", "squared", "standard"]


class Cell(NamedTuple):
    """A setting, of which all depths and both outputs are learned."""

    weight: float = 1.0
    theta: float = 1.0
    bits: int = 4
    start: Start = "dct"
    rate: float = 0.2
    schedule: Schedule = "constant"

    def runs(self) -> list[Run]:
        """The longest first; at d = 1 the outputs are the same."""
        pairs = [(d, o) for d in reversed(DEPTHS) for o in ("plain", "ergodic")]
        return [Run(self, d, o) for d, o in pairs if d > 1 or o == "plain"]


class Run(NamedTuple):
    """One training."""

    cell: Cell
    depth: int
    output: str
    kind: Kind = "l1"
    seed: int = 0

    def described(self) -> list[Any]:
        """What it is, for a file: the values of the cell, then its own."""
        return [*self.cell, *self[1:]]


WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
THETAS = (1.0, 0.0)
OTHERS = [
    *(Cell(weight, bits=3) for weight in (1.0, 10.0)),
    *(Cell(theta=0.0, bits=bits) for bits in (3, 5, 6)),
    *(Cell(theta=0.0, bits=bits, rate=0.8) for bits in (5, 6)),
    *(Cell(theta=theta, start="random") for theta in THETAS),
    *(Cell(rate=rate) for rate in (0.8, 0.05)),
    Cell(start="small"),
    Cell(theta=0.5),
    Cell(bits=5, rate=0.8),
    Cell(rate=0.2, schedule="sqrt"),
    Cell(rate=0.8, schedule="inverse"),
    *(Cell(rate=rate) for rate in (0.0125, 0.003)),
]
CELLS = [*(Cell(weight, theta) for theta in THETAS for weight in WEIGHTS), *OTHERS]
DEEPEST: dict[Kind, int] = {
    "l1": 64,
    "learned steps": 32,
    "learned averages": 32,
    "l21": 8,
    "squared": 8,
}
"""To which depth each kind is learned beyond the cells."""
BEYOND = [
    Run(Cell(), depth, output, kind, seed)
    for depth in (2, 8, 32, 64)
    for kind, deepest in DEEPEST.items()
    for seed in (0, 1, 2)
    for output in ("plain", "ergodic")
    if depth <= deepest
    and not (kind == "learned averages" and output == "plain")
    and not (kind == "l1" and seed == 0 and depth < 32)  # of a cell
]
BATCHES = 261
"""Mini-batches an epoch, of the 66,628 frames of ieee/train."""


STANDARD = [run._replace(kind="standard") for run in Cell(rate=0.05, schedule="sqrt").runs()]
STANDARD_EPOCHS = 20


class Parts(InMemory):
    """Epochs of a random part of all samples, and losses of every PART-th."""

    def __init__(self, x_tilde: Tensor, x: Tensor, part: int = PART) -> None:
        super().__init__(x_tilde[::PART], x[::PART])
        self.whole, self.drawn = (x_tilde, x), -(-len(x) // part)

    def batches(
        self, size: int, seed: int, epoch: int, first: int, share: Any
    ) -> Iterator[tuple[Tensor, Tensor]]:
        rows = shuffled(len(self.whole[1]), seed, epoch)[: self.drawn]
        for some in torch.split(rows, size)[first:]:
            yield self.whole[0][some], self.whole[1][some]


def learned(run: Run, frames: Tensor) -> dict[str, Any]:
    """The losses and gradient norms of its marks."""
    cell, quantizer = run.cell, MidRise(run.cell.bits, clip=False)
    part, epochs, marks = PART, EPOCHS, list(MARKS)
    if run.kind == "standard":
        part, epochs, marks = 1, STANDARD_EPOCHS, [0, STANDARD_EPOCHS]
    data = Parts(quantizer.quantize(frames), frames, part)
    model = network(run)
    history = fit(
        model,
        data,
        epochs=epochs,
        batch_size=BATCH,
        lr=cell.rate,
        schedule=cell.schedule,
        seed=run.seed,
    )
    kept = [history.epochs[mark] for mark in marks]
    return {
        "is": run.described(),
        "loss": _brief(epoch.train_loss for epoch in kept),
        "gradient_norm": _brief(epoch.gradient_norm or 0.0 for epoch in kept[1:]),
        "moved": _moved(model, data, quantizer),
    }


def moved_before(cell: Cell, frames: Tensor) -> dict[str, list[float]]:
    """How far the estimates of each output are from x̃ before anything is learned, for each d."""
    quantizer = MidRise(cell.bits, clip=False)
    data = Parts(quantizer.quantize(frames), frames)
    found: dict[str, list[float]] = {"plain": [], "ergodic": []}
    for depth in DEPTHS:
        for output, values in found.items():
            values.append(_moved(network(Run(cell, depth, output)), data, quantizer))
    return found


@torch.no_grad()
def _moved(model: nn.Module, data: Parts, quantizer: MidRise) -> float:
    """The mean of |x̂ − x̃| in half steps."""
    moved = torch.cat([(model(t) - t).abs().mean(1) for t, _ in data.chunks(Share())])
    return float(f"{float(moved.mean()) / quantizer.radius:.4g}")


def times(cell: Cell, batches: int) -> list[float]:
    """Those of the marks, with so many mini-batches an epoch."""
    rates = [learning_rate(cell.schedule, cell.rate, e, EPOCHS) for e in range(EPOCHS)]
    return _brief(batches * sum(rates[:mark]) for mark in MARKS)


def network(run: Run) -> nn.Module:
    """Before it is learned."""
    cell, radius = run.cell, MidRise(run.cell.bits).radius
    F: ed.Function = ed.L1()
    K: ed.Operator = ed.Dense(_matrix(cell.start))
    G: ed.Function = ed.Box(radius=radius)
    if run.kind == "l21":
        K, F = ed.Dense.dft(N, N), ed.L21(size=2)
    if run.kind == "squared":
        # so that a residual of half a cell costs about what ℓ1 gains by it
        G = ed.SquaredL2(1 / radius)
    steps = ed.StepSizes.weighted(cell.weight, cell.theta)
    if run.kind == "learned steps":
        steps = ed.StepSizes.learned(cell.weight, True, cell.theta, relative=True)
    output: ed.Output = ed.Last()
    if run.output == "ergodic":
        output = ed.Ergodic("learned" if run.kind == "learned averages" else "1/k")
    return ed.Unrolled(ed.Problem(F, G, K), run.depth, steps, output)


def _matrix(start: Start) -> Tensor:
    if start == "random":
        made = torch.randn(N, N, generator=torch.Generator().manual_seed(0))
        norm: Tensor = torch.linalg.matrix_norm(made, 2)
        return made / norm
    dct = ed.Dense.dct(N).matrix.detach()
    return 0.1 * dct if start == "small" else dct


def _brief(numbers: Any) -> list[float]:
    return [float(f"{number:.4g}") for number in numbers]
