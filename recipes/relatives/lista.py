"""[11] on patches of photographs: how many iterations of FISTA a learned one is worth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.images import read_folder

NOTES = [
    "Codes min ½‖Dz − x‖² + 0.1 ‖z‖₁ of patches of 10 × 10 pixels, without their means and of norm "
    "1; D of unit columns is learned from patches of train400's first 300 images by least squares "
    "in turn with codes, and the codes to be predicted are solved to a relative gap of 1e-3.",
    "error: Σ‖z − z*‖² / Σ‖z*‖² over 1,000 patches of the other 100 images. worth: the first "
    "iteration of FISTA that is as near. Adam, 4,000 patches, 800 mini-batches of 100; seconds: "
    "of training, one core.",
]
SEEDS = (0, 1, 2)
DEPTHS = {100: (1, 3, 7), 400: (1, 3)}
"""Of the networks, for each number of atoms."""
WEIGHT = 0.1
COUNTS = (4000, 1000)


def run(data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each number of atoms, network and depth."""
    images = read_folder(data / "images" / "train400")
    some, others = patches(images[:300], COUNTS[0]), patches(images[300:], COUNTS[1])
    for atoms, depths in DEPTHS.items():
        D = dictionary(some, atoms)
        z, truth = codes(D, some), codes(D, others)
        L = float(torch.linalg.matrix_norm(D, 2).square())
        errors = {"FISTA": course(D, L, others, truth)}
        errors["ISTA"] = course(D, L, others, truth, momentum=False)
        for depth in depths:
            row = {"atoms": atoms, "depth": depth}
            for name, course_of in errors.items():
                yield {**row, "method": name, "error": course_of[depth - 1]}
            networks = {"LISTA": lista(D, L, depth), "Chambolle-Pock": primal_dual(D, depth)}
            for name, network in networks.items():
                begun = time.process_time()
                fit(
                    network,
                    some,
                    z,
                    epochs=800 * 100 // len(some),
                    batch_size=100,
                    optimizer="adam",
                    lr=2e-3,
                    schedule="cosine",
                    seed=seed,
                )
                seconds = time.process_time() - begun
                with torch.no_grad():
                    error = distance(network(others), truth)
                worth = next((k for k, e in enumerate(errors["FISTA"], 1) if e <= error), 0)
                yield {
                    **row,
                    "method": name,
                    "error": error,
                    "worth": float(worth),
                    "seconds": seconds,
                }


def patches(images: list[Tensor], count: int) -> Tensor:
    """So many at random among those that are not flat, ``(count, 100)``."""
    all_of_them = [image[0].unfold(0, 10, 5).unfold(1, 10, 5).flatten(0, 1) for image in images]
    x = torch.cat(all_of_them).flatten(1)
    x = x - x.mean(1, keepdim=True)
    x = x[x.std(1) > 0.1 * x.std()]
    x = x[torch.randperm(len(x))[:count]]
    found: Tensor = x / x.norm(dim=1, keepdim=True)
    return found


def codes(D: Tensor, x: Tensor, tol: float = 1e-3) -> Tensor:
    """The solutions."""
    problem = ed.InverseProblem(A=ed.Dense(D), data=ed.SquaredL2(), G=ed.L1(WEIGHT))
    return ed.solve(problem, x, tol=tol).x


def dictionary(x: Tensor, atoms: int) -> Tensor:
    """Codes and least squares in turn, from patches."""
    D = x[:atoms].T
    for some in x[torch.randperm(len(x))].split(2000):
        z = codes(D, some, 1e-2)
        gram = z.T @ z
        gram += 1e-3 * gram.diagonal().mean() * torch.eye(atoms)
        D = torch.linalg.solve(gram, z.T @ some).T
        D = D / D.norm(dim=0)
    return D.contiguous()


def course(D: Tensor, L: float, x: Tensor, truth: Tensor, momentum: bool = True) -> list[float]:
    """The errors of 100 iterations of FISTA, or, without momentum, of ISTA."""
    z = w = x.new_zeros(truth.shape)
    prox, t, errors = ed.L1(WEIGHT).prox, 1.0, []
    for _ in range(100):
        previous, last = z, t
        z = prox(w - (w @ D.T - x) @ D / L, 1 / L)
        t = (1 + (1 + 4 * t * t) ** 0.5) / 2
        w = z + (last - 1) / t * (z - previous) if momentum else z
        errors.append(distance(z, truth))
    return errors


def lista(D: Tensor, L: float, depth: int) -> nn.Module:
    """z⁺ = h(Wx + Sz), with W, S and the thresholds of all layers, from ISTA on."""
    encoder = nn.Linear(D.shape[0], D.shape[1], bias=False)
    encoder.weight.data = D.T / L
    there = ed.Dense(D.T @ D / L)  # I − S
    layer = ed.InverseProblem(
        A=ed.Unmatched(there, ed.Identity()),
        data=ed.SquaredL2(),
        G=ed.L1(nn.Parameter(torch.full((D.shape[1],), WEIGHT / L))),
    )
    steps = ed.StepSizes.fixed(sigma=1e5, tau=1.0, theta=0.0)
    return nn.Sequential(encoder, ed.Unrolled(layer, depth, steps, ed.Last(), ed.Tape()))


def primal_dual(D: Tensor, depth: int) -> nn.Module:
    """Chambolle–Pock with an operator, thresholds and steps of each iteration."""
    problem = partial(ed.InverseProblem, data=ed.SquaredL2())
    weights = [nn.Parameter(torch.full((D.shape[1],), WEIGHT)) for _ in range(depth)]
    layers = [problem(A=ed.Dense(D.clone()), G=ed.L1(weight)) for weight in weights]
    steps = ed.StepSizes.learned(per_iteration=True, relative=True)
    return ed.Unrolled(layers, steps=steps, output=ed.Last())


def distance(z: Tensor, truth: Tensor) -> float:
    """Σ‖z − z*‖² / Σ‖z*‖²."""
    return float((z - truth).square().sum() / truth.square().sum())
