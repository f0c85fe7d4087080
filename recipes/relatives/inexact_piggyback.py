"""After the paper: a bound of the gradient's error, and accuracies that tighten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.solving.piggyback import Run
from recipes.relatives.truncated_backpropagation import N, signals

NOTES = [
    "Signals and K as in truncated_backpropagation, F the Huber function with weight 0.1 and width "
    "0.05, G = ½‖·‖².",
    "gradient: of ‖x̂ − x‖² in K, of 32 signals at solutions to 1e-12, by Piggyback(tolerance); its "
    "error, known from Piggyback(1e-12), and the bound of the report, summed over the signals, "
    "both relative to the gradient.",
    "training: K and the weight from 128 signals, Adam, 10 epochs, Piggyback(1e-4); iterations of "
    "the lower level a signal, and the mean ‖x̂ − x‖² of 128 others.",
]
SEEDS = (0, 1, 2)
WAYS = {
    "cold": (False, (1e-8, 1e-8)),
    "warm": (True, (1e-8, 1e-8)),
    "warm, from 1e-4": (True, (1e-4, 1e-8)),
}


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each tolerance, and for each training."""
    del data, seed  # made signals, of torch's seed
    matrix = (torch.eye(N) - torch.eye(N).roll(1, 1) + 0.05 * torch.randn(N, N)).double()
    pairs, train, dev = signals(32), signals(128), signals(128)
    exact, _ = gradient(matrix, 1e-12, *pairs)
    for power in range(1, 9):
        found, report = gradient(matrix, 10.0**-power, *pairs)
        yield {
            "what": "gradient",
            "tolerance": f"1e-{power}",
            "error": float((found - exact).norm() / exact.norm()),
            "bound": float(report.bound.sum() / exact.norm()),
            "iterations": float(report.iterations.double().mean()),
        }
    for name, (warm, tol) in WAYS.items():
        model = ed.Solved(problem(matrix), tol=1e-8, adjoint=ed.Piggyback(1e-4))
        history = fit(
            model,
            *train,
            dev=dev,
            epochs=10,
            batch_size=32,
            optimizer="adam",
            lr=2e-3,
            warm_start=warm,
            tol=tol,
        )
        spent = sum(epoch.iterations or 0.0 for epoch in history.epochs[1:])
        with torch.no_grad():
            loss = float((model(dev[0]) - dev[1]).square().sum(1).mean())
        yield {"what": "training", "way": name, "iterations": spent, "loss": loss}


def problem(matrix: Tensor) -> ed.Problem:
    """With the matrix and a weight to be learned."""
    weight = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
    return ed.Problem(F=ed.Huber(weight, 0.05), G=ed.SquaredL2(), K=ed.Dense(matrix.clone()))


def gradient(matrix: Tensor, tol: float, noisy: Tensor, truth: Tensor) -> tuple[Tensor, Run]:
    """∂L/∂K, and what the report says."""
    adjoint = ed.Piggyback(tol)
    layer = ed.Solved(problem(matrix), tol=1e-12, adjoint=adjoint)
    (layer(noisy) - truth).square().sum().backward()
    found = next(layer.problem.K.parameters()).grad
    assert found is not None
    assert adjoint.report is not None
    return found, adjoint.report
