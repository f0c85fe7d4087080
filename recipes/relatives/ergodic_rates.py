"""[9] on other data, for longer: how fast the energy falls, of the last iterate and the average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import ergodual as ed
from ergodual.problem import LowerLevel

NOTES = [
    "Energy above the optimum (ed.solve to a relative gap of 1e-11) after N iterations, by "
    "Unrolled, float64; means over three seeds, with the lowest and the highest.",
    "found: where the energy falls like a power of N, the exponent fitted from N = 160 to 5120; "
    "where it falls geometrically, the factor of an iteration, fitted from N = 20 on to where "
    "1e-9 of the first is left. proved: the same as [9] has it, of the average.",
    "A game of 100 x 100 entries, uniform in [-1, 1], with steps 0.99 / ‖K‖ and, of entropies, "
    "0.99 / max |K_ij|; total variation (ROF) and Huber's (width "
    "0.05) of a rectangle in 64 x 64 pixels with noise 0.1, weight 0.15; ‖Ax − b‖²/2 + 2‖x‖₁ + "
    "‖x‖²/2 with A of 60 x 100.",
]
SEEDS = (0, 1, 2)
POWERS = [10 * 2**i for i in range(10)]


class Case(NamedTuple):
    """A problem with steps, weights of the average, what [9] proves of it, and where to look.

    Attributes
    ----------
    proved
        The exponent of N, or the factor of an iteration.
    """

    problem: LowerLevel
    observed: Tensor
    steps: ed.StepSizes
    weights: Tensor
    proved: float
    depths: Sequence[int]


def run(_data: Path, _seed: int) -> Iterator[dict[str, object]]:
    """A row for each problem and output."""
    for name, case in cases().items():
        excess = excesses(case)
        for kind, errors in zip(("last iterate", "average"), excess.T, strict=True):
            yield {
                "problem": name,
                "output": kind,
                "rate": "power" if case.proved < 0 else "geometric",
                "proved": case.proved,
                "found": fitted(np.array(case.depths), errors, case.proved < 0),
            }


def cases() -> dict[str, Case]:
    """With random data."""
    K = 2 * torch.rand(100, 100, dtype=torch.float64) - 1
    game = ed.InverseProblem(A=ed.Dense(K), data=ed.Conjugate(ed.Simplex()), G=ed.Simplex())
    zeros, ones = torch.zeros_like(K[:1]), torch.ones(POWERS[-1])
    step, mirror = 0.99 / float(torch.linalg.matrix_norm(K, 2)), 0.99 / float(K.abs().max())
    entropy = ed.Entropy(ed.StepSizes.fixed(mirror, mirror))

    x = torch.zeros(1, 64, 64, dtype=torch.float64)
    x[:, 16:48, 16:40] = 1.0
    noisy = x + 0.1 * torch.randn_like(x)
    rof = ed.Problem(F=ed.L21(0.15, dim=1), G=ed.SquaredL2(), K=ed.Gradient())
    faster = ed.StepSizes.accelerated(1.0)
    sigma = faster(rof.K, POWERS[-1], x.shape[1:], x).sigma
    huber = ed.Problem(F=ed.Huber(0.15, 0.05, dim=1), G=ed.SquaredL2(), K=ed.Gradient())

    A = torch.randn(60, 100, dtype=torch.float64)
    b = A[:, :5].sum(1)[None]
    b += 0.1 * torch.randn_like(b)
    net = ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2(), G=ed.ElasticNet(2.0, 1.0))
    return {
        "matrix game": Case(game, zeros, ed.StepSizes.fixed(step, step), ones, -1.0, POWERS),
        "matrix game, entropy": Case(game, zeros, entropy, ones, -1.0, POWERS),
        "total variation": Case(rof, noisy, faster, sigma, -2.0, POWERS),
        "Huber's total variation": geometric(huber, noisy, 8**0.5, 0.05 / 0.15),
        "elastic net": geometric(net, b, float(torch.linalg.matrix_norm(A, 2)), 1.0),
    }


def geometric(problem: LowerLevel, observed: Tensor, norm: float, dual: float) -> Case:
    """Of a G that is strongly convex with 1, and an F* that is with ``dual`` (Chambolle, Pock 2011,
    Algorithm 3).
    """
    mu = 2 * dual**0.5 / norm
    theta, depths = 1 / (1 + mu), list(range(10, 410, 10))
    steps = ed.StepSizes.fixed(mu / (2 * dual), mu / 2, theta)
    weights = theta ** -torch.arange(depths[-1], dtype=torch.float64)
    return Case(problem, observed, steps, weights, theta, depths)


def excesses(case: Case) -> np.ndarray:
    """Energy − optimum, of the last iterate and of the average, for each depth."""
    solution = ed.solve(case.problem, case.observed, tol=1e-11, max_iterations=500_000)
    one = case.problem.instance(case.observed)
    shift = one.zeros_primal() if one.shift is None else one.shift
    domain = one.G.domain_indicator() or ed.Zero()  # which rounding makes averages leave
    best, found = one.primal(solution.x - shift), []
    with torch.no_grad():
        for N in case.depths:
            for output in (ed.Last(), ed.Ergodic(case.weights[:N] / case.weights[:N].sum())):
                x = ed.Unrolled(case.problem, N, case.steps, output)(case.observed)
                found.append(float(one.primal(domain.prox(x - shift, 1.0)) - best))
    return np.array(found).reshape(-1, 2)


def fitted(N: np.ndarray, errors: np.ndarray, power: bool) -> float:
    """The exponent of N, or the factor of an iteration."""
    if power:
        late = N >= 160
        return float(np.polyfit(np.log(N[late]), np.log(errors[late]), 1)[0])
    seen = (N >= 20) & (errors > 1e-9 * errors[0])
    return float(np.exp(np.polyfit(N[seen], np.log(errors[seen]), 1)[0]))
