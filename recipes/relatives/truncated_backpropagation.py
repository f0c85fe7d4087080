"""After the paper: what the last steps of the reverse sweep are worth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import fit

NOTES = [
    "Piecewise constant signals of 64 samples with noise of 0.1, F = ‖·‖₁ with 64 weights of 0.1, "
    "G = ½‖·‖², K circular differences and noise of 0.05, float64.",
    "gradient: the relative distance of the gradient of ‖x̂ − x‖² in K and weights, of 32 signals, "
    "to Implicit's at a solution to 1e-12: Reverse through b iterations, Truncated(b) behind 2048, "
    "Neumann(b) at the solution.",
    "training: K and weights from 256 signals through 256 iterations with Truncated(b), Adam, 30 "
    "epochs; the mean squared error on 256 others; seconds of processor time, not on an idle "
    "machine.",
]
SEEDS = (0, 1, 2)
N, NOISE, DEPTH = 64, 0.1, 256


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each number of steps, of gradients and of trainings."""
    del data, seed  # made signals, of torch's seed
    matrix = torch.eye(N) - torch.eye(N).roll(1, 1) + 0.05 * torch.randn(N, N)
    matrix = matrix.double()
    posed, pairs = problem(matrix), signals(32)
    exact = gradient(ed.Solved(posed, tol=1e-12), *pairs)
    for b in (1, 4, 16, 64, 256, 1024):
        layers = {
            "Reverse": ed.Unrolled(posed, b, output=ed.Last()),
            "Truncated": ed.Unrolled(posed, 2048, output=ed.Last(), adjoint=ed.Truncated(b)),
            "Neumann": ed.Solved(posed, tol=1e-12, adjoint=ed.Neumann(b)),
        }
        found = {name: gradient(layer, *pairs) for name, layer in layers.items()}
        distances = {
            name: float((each - exact).norm() / exact.norm()) for name, each in found.items()
        }
        yield {"what": "gradient", "b": b, **distances}
    train, others = signals(256), signals(256)
    for b in (1, 4, 16, 64, 256):
        model = ed.Unrolled(problem(matrix), DEPTH, output=ed.Last(), adjoint=ed.Truncated(b))
        begun = time.process_time()
        fit(model, *train, epochs=30, batch_size=32, optimizer="adam", lr=3e-3, schedule="cosine")
        seconds = time.process_time() - begun
        with torch.no_grad():
            error = float((model(others[0]) - others[1]).square().mean())
        yield {"what": "training", "b": b, "error": error, "seconds": seconds}


def signals(count: int) -> tuple[Tensor, Tensor]:
    """Noisy ones and true ones."""
    x = ((torch.rand(count, N) < 0.06) * torch.randn(count, N)).double().cumsum(1)
    return x + NOISE * torch.randn_like(x), x


def problem(matrix: Tensor) -> ed.Problem:
    """With the matrix and weights to be learned."""
    weight = nn.Parameter(torch.full((N,), 0.1, dtype=torch.float64))
    return ed.Problem(F=ed.L1(weight), G=ed.SquaredL2(), K=ed.Dense(matrix.clone()))


def gradient(layer: nn.Module, noisy: Tensor, truth: Tensor) -> Tensor:
    """That of ‖x̂ − x‖² in all parameters."""
    loss = (layer(noisy) - truth).square().sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(layer.parameters()))])
