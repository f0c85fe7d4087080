"""Ours beside accelerated gradients on the same energy: an image with 48 filters."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ergodual as ed
from benchmarks.measure import one_core, paired, ratio, report
from benchmarks.peers_images import noisy, picture
from ergodual.functions.clip import clip_

SIDE, NOISE, ROUNDS, LIMIT = 512, 25 / 255, 5, 20_000
GAPS = (1e-3, 1e-4)
EVERY = 32
"""Iterations between two looks at a gap that costs products; ours looks as often."""
NOTES = [
    f"½‖x − x̃‖² + Σ_j λ_j φ_j(k_j ∗ x), the camera man, {SIDE} × {SIDE}, noise of σ = 25/255, the "
    "filters and weights of natural-grey; φ: its Huber functions, or |·| in their place. float32, "
    "one core, freed memory kept by the process. Until the duality gap is that share of "
    "F(Kx̃), the cost of doing nothing; the norms of operators are computed by each run.",
    "Primal: FISTA on the smooth energy, step 1/L with L = 1 + ‖(λ/δ)^½ K‖²; the gap of x and "
    "∇F(Kx) is ½‖∇E(x)‖², so that it looks at every iteration for nothing. Convex: with the "
    "constant momentum of a 1-strongly convex energy. Dual: FISTA on ½‖x̃ − Kᵀy‖² + F*(y), step "
    f"1/‖K‖², a look every {EVERY} iterations, as ours. Restarted: by the gradient "
    "(O'Donoghue, Candès, 2015). The products are our Conv's.",
    f"times ours: medians of {ROUNDS} ratios of times taken in turns.",
]


class Energy(NamedTuple):
    """½‖x − x̃‖² + F(Kx)."""

    F: ed.Function
    K: ed.Operator
    x_tilde: Tensor

    def unit(self) -> float:
        """What x̃ costs."""
        return float(self.F.value(self.K(self.x_tilde)))

    def gap(self, x: Tensor, y: Tensor, Kx: Tensor, back: Tensor) -> float:
        """Of x and y, with ``back`` = Kᵀy."""
        r = x - self.x_tilde
        squares = 0.5 * (r + back).square().sum() - (r * back).sum()
        dual = (self.x_tilde * back).sum() - self.F.conjugate(y)
        return float(squares + self.F.value(Kx) - dual)


class Run(NamedTuple):
    """Where a run ended."""

    x: Tensor
    iterations: int
    gap: float


class Momentum:
    """z = x⁺ + β (x⁺ − x) of Beck and Teboulle 2009, if wanted restarted, or with a constant β."""

    def __init__(self, restarted: bool = False, constant: float | None = None) -> None:
        self.restarted, self.constant, self.t = restarted, constant, 1.0

    def __call__(self, old: Tensor, new: Tensor, z: Tensor) -> Tensor:
        """The next z, in the place of the old x; restarted if z − x⁺ goes against x⁺ − x."""
        if self.restarted and float(torch.dot((z - new).flatten(), (new - old).flatten())) > 0:
            self.t = 1.0
        following = (1 + (1 + 4 * self.t**2) ** 0.5) / 2
        share = (self.t - 1) / following if self.constant is None else self.constant
        self.t = following
        return old.lerp_(new, 1 + share)


def primal(energy: Energy, gap: float, restarted: bool = False, convex: bool = False) -> Run:
    """FISTA on the energy itself, of Huber functions."""
    F, K, x_tilde = energy
    assert isinstance(F, ed.Huber)
    assert isinstance(K, ed.Conv)
    weight, width = torch.as_tensor(F.weight), torch.as_tensor(F.width)
    scaled = ed.Conv((weight / width).sqrt()[:, None] * K.kernel, padding="reflect")
    L = 1 + scaled.norm_bound(x_tilde.shape[1:]) ** 2
    momentum = Momentum(restarted, (L**0.5 - 1) / (L**0.5 + 1) if convex else None)
    slope, enough = weight / width, gap * energy.unit()
    x, z = x_tilde.clone(), x_tilde.clone()
    gradient = torch.empty_like(x)
    count, now = 0, math.inf
    while now > enough and count < LIMIT:
        count += 1
        y = clip_(K(z).mul_(slope), -weight, weight)
        K.adjoint_onto(z, y, 1.0, out=gradient, keep=1.0)
        gradient -= x_tilde
        now = 0.5 * float(torch.dot(gradient.flatten(), gradient.flatten()))
        if now <= enough:
            break
        new = z.add(gradient, alpha=-1 / L)
        z, x = momentum(x, new, z), new
    return Run(z, count, now / energy.unit())


def dual(energy: Energy, gap: float, restarted: bool = False) -> Run:
    """FISTA on the dual."""
    F, K, x_tilde = energy
    step = K.norm_bound(x_tilde.shape[1:]) ** -2
    momentum, enough = Momentum(restarted), gap * energy.unit()
    y = torch.zeros_like(K(x_tilde))
    z, x = y.clone(), torch.empty_like(x_tilde)
    for count in range(1, LIMIT + 1):
        K.adjoint_onto(x_tilde, z, -1.0, out=x, keep=1.0)
        new = F.prox_conjugate_(z.add(K(x), alpha=step), step)
        z, y = momentum(y, new, z), new
        if count % EVERY == 0:
            back = K.adjoint(y)
            x_y = x_tilde - back
            now = energy.gap(x_y, y, K(x_y), back)
            if now <= enough:
                break
    return Run(x_y, count, now / energy.unit())


def ours(energy: Energy, gap: float) -> Run:
    """``solve`` as it is."""
    problem = ed.Problem(energy.F, ed.SquaredL2(), energy.K)
    found = ed.solve(problem, energy.x_tilde, tol=gap)
    return Run(found.x, int(found.iterations), float(found.error))


PEERS: dict[str, Callable[[Energy, float], Run]] = {
    "primal": primal,
    "primal, restarted": partial(primal, restarted=True),
    "primal, convex": partial(primal, convex=True),
    "dual": dual,
    "dual, restarted": partial(dual, restarted=True),
}


def main(out: Path) -> None:
    """A row for each energy, gap and method."""
    one_core()
    ed.reuse_memory()
    rows = []
    with torch.no_grad():
        for name, energy in energies().items():
            for gap in GAPS:
                rows += [{"potentials": name, "gap": gap, **row} for row in beside(energy, gap)]
                print(*rows[-len(PEERS) - 1 :], sep="\n", flush=True)
    report("fista", "Ours beside accelerated gradients", rows, out, NOTES)


def energies(side: int = SIDE) -> dict[str, Energy]:
    """Both."""
    x_tilde = noisy(picture(side), NOISE).float()[None]
    F, K = ed.load_regulariser("natural-grey").terms(noise=NOISE)
    return {
        "Huber": Energy(F, K, x_tilde),
        "absolute values": Energy(ed.L1(F.weight), K, x_tilde),
    }


def beside(energy: Energy, gap: float, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Ours first."""
    chosen = {"ergodual": ours, **PEERS}
    if not isinstance(energy.F, ed.Huber):
        chosen = {by: run for by, run in chosen.items() if not by.startswith("primal")}
    ended: dict[str, Run] = {}

    def kept(by: str) -> None:
        ended[by] = chosen[by](energy, gap)

    runs: dict[str, Callable[[], Any]] = {by: partial(kept, by) for by in chosen}
    seconds = paired(runs, rounds=rounds, least=0.0)
    return [
        {
            "by": by,
            "iterations": ended[by].iterations,
            "reached": ended[by].gap,
            "seconds": statistics.median(seconds[by]),
            "times ours": ratio(seconds, by, "ergodual"),
        }
        for by in chosen
    ]
