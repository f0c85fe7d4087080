"""The tables that the tests run through: add a line here and a new function, operator or problem is tested everywhere."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.speech.quantizers import a_law, mid_rise, mid_tread, mu_law, uniform

BATCH, N, M = 2, 3, 4


def parameter(*values: float, shape: tuple[int, ...] = ()) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64).reshape(shape))


def spread(*shape: int, low: float, high: float, seed: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(
        low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)
    )


class Huber(ed.Function):
    """A function as a user would write it: value and prox, all else by default (so its z are kept)."""

    separable = True

    def __init__(self, width: float | Tensor) -> None:
        super().__init__()
        self.width = width

    def value(self, x: Tensor) -> Tensor:
        return torch.where(
            x.abs() <= self.width, x.square() / (2 * self.width), x.abs() - self.width / 2
        ).sum(-1)

    def prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        return z - step * torch.clamp(z / (self.width + step), -1, 1)


def half_open() -> ed.Box:
    lower = torch.full((BATCH, N), -math.inf, dtype=torch.float64)
    lower[0] = -0.1
    return ed.Box(lower=nn.Parameter(lower), upper=spread(BATCH, N, low=0.05, high=0.3, seed=3))


FUNCTIONS: dict[str, Callable[[], ed.Function]] = {
    "l1": ed.L1,
    "l1 weighted": lambda: ed.L1(parameter(0.7)),
    "l1 per coefficient": lambda: ed.L1(spread(N, low=0.2, high=2.0, seed=1)),
    "l21": lambda: ed.L21(N),
    "l21 weighted": lambda: ed.L21(N, parameter(0.4)),
    "l21 of one": lambda: ed.L21(1, spread(N, low=0.2, high=2.0, seed=6)),
    "box": lambda: ed.Box(radius=0.3),
    "box per sample": lambda: ed.Box(radius=spread(BATCH, 1, low=0.1, high=0.5, seed=2)),
    "box bounds": lambda: ed.Box(lower=-0.2, upper=spread(BATCH, N, low=0.1, high=0.5, seed=4)),
    "box half open": half_open,
    "box point": lambda: ed.Box(radius=0.0),
    "zero": ed.Zero,
    "squared": lambda: ed.SquaredL2(parameter(1.3)),
    "squared per sample": lambda: ed.SquaredL2(spread(BATCH, 1, low=0.5, high=2.0, seed=5)),
    "user's huber": lambda: Huber(parameter(0.4)),
}


def matrix(m: int = M, n: int = N, seed: int = 7) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(torch.randn(m, n, generator=generator, dtype=torch.float64))


class Slow(ed.Operator):
    """An operator as a user would write it: nothing fused, two parameters (K = diag(scale) A)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.A = spread(M, low=0.5, high=1.5, seed=8), matrix()
        self.m, self.n = M, N

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x @ self.A.T)

    def adjoint(self, y: Tensor) -> Tensor:
        return (self.scale * y) @ self.A

    def norm(self) -> Tensor:
        return torch.linalg.matrix_norm(self.scale[:, None] * self.A, 2)

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor, ...]:
        return (dual * (primal @ self.A.T)).sum(0), (self.scale * dual).T @ primal


OPERATORS: dict[str, Callable[[], ed.Operator]] = {
    "tall": lambda: ed.Dense(matrix()),
    "wide": lambda: ed.Dense(matrix(2, N)),
    "one row": lambda: ed.Dense(matrix(1, N)),
    "dct": lambda: ed.Dense.dct(N, dtype=torch.float64),
    "dft": lambda: ed.Dense.dft(N, M, dtype=torch.float64),
    "user's": Slow,
}

PROBLEMS: dict[str, Callable[[], ed.Problem]] = {
    "the paper's": lambda: ed.Problem(ed.L1(), ed.Box(radius=0.15), ed.Dense(matrix())),
    "weights and radii": lambda: ed.Problem(
        ed.L1(spread(M, low=0.2, high=0.6, seed=11)),
        ed.Box(radius=spread(BATCH, 1, low=0.1, high=0.4, seed=12)),
        ed.Dense(matrix()),
    ),
    "cells": lambda: ed.Problem(ed.L1(parameter(0.3)), half_open(), ed.Dense(matrix(2, N))),
    "ridge": lambda: ed.Problem(
        ed.SquaredL2(parameter(0.8)), ed.SquaredL2(parameter(1.7)), ed.Dense(matrix())
    ),
    "lasso": lambda: ed.Problem(
        ed.L1(parameter(0.4)),
        ed.SquaredL2(spread(BATCH, 1, low=0.5, high=2.0, seed=13)),
        ed.Dense(matrix()),
    ),
    "dantzig": lambda: ed.Problem(
        ed.Box(radius=parameter(0.2)), ed.L1(parameter(0.1)), ed.Dense(matrix())
    ),
    "unregularised": lambda: ed.Problem(
        ed.SquaredL2(parameter(0.5)), ed.Zero(), ed.Dense(matrix())
    ),
    "trivial": lambda: ed.Problem(ed.Zero(), ed.SquaredL2(1.0), ed.Dense(matrix())),
    "pairs": lambda: ed.Problem(
        ed.L21(2, spread(M // 2, low=0.2, high=0.6, seed=14)),
        ed.Box(radius=0.15),
        ed.Dense(matrix()),
    ),
    "user's function": lambda: ed.Problem(
        Huber(parameter(0.6)), Huber(parameter(0.9)), ed.Dense(matrix())
    ),
    "user's operator": lambda: ed.Problem(ed.L1(), ed.Box(radius=0.15), Slow()),
}


def lower_level(K: Tensor, radius: float = 0.2) -> ed.Problem:
    """The paper's problem with another K."""
    return ed.Problem(ed.L1(), ed.Box(radius=radius), ed.Dense(K))


def low_rank(m: int, n: int, rank: int) -> Tensor:
    return matrix(m, rank, seed=41).detach() @ matrix(rank, n, seed=42).detach()


DEGENERATE: dict[str, Callable[[], ed.Problem]] = {
    "K is zero": lambda: lower_level(torch.zeros(M, N, dtype=torch.float64)),
    "radius is zero": lambda: lower_level(matrix(), 0.0),
    "repeated rows": lambda: lower_level(matrix().detach().repeat(3, 1)),
    "a row of zeros": lambda: lower_level(
        torch.cat([matrix().detach(), torch.zeros(1, N, dtype=torch.float64)])
    ),
    "a column of zeros": lambda: lower_level(
        matrix().detach() * torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    ),
    "rank one": lambda: lower_level(low_rank(M, N, 1)),
    "rank two": lambda: lower_level(low_rank(7, N, 2)),
    "one row": lambda: lower_level(matrix(1, N)),
    "many rows": lambda: lower_level(matrix(200, N)),
    "no data term's bound": lambda: lower_level(matrix(), math.inf),
    "rows of very different size": lambda: lower_level(
        matrix().detach() * torch.tensor([[1e-4], [1.0], [1e3], [1.0]], dtype=torch.float64)
    ),
}

OUTPUTS: dict[str, Callable[[int], ed.Last | ed.Ergodic]] = {
    "plain": lambda depth: ed.Last(),
    "1/k": lambda depth: ed.Ergodic("1/k"),
    "uniform": lambda depth: ed.Ergodic("uniform"),
    "given": lambda depth: ed.Ergodic(spread(depth, low=-0.2, high=1.0, seed=depth)),
    "learned": lambda depth: ed.Ergodic("learned"),
}


def observation(seed: int = 21, batch: int = BATCH, n: int = N) -> Tensor:
    return 0.5 * torch.randn(
        batch, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


QUANTIZERS = {
    **{f"mid-rise {bits}": mid_rise(bits) for bits in (1, 2, 4, 8, 16)},
    **{f"mid-tread {bits}": mid_tread(bits) for bits in (1, 2, 4, 8, 16)},
    "mu-law": mu_law(),
    "a-law": a_law(),
    "shifted": uniform("shifted", 0.1, 0.03, -9, 9),
    "rescaled": mid_rise(4).scaled(0.77),
    "closed": uniform("closed", 0.1, 0.0, -20, 20, (False, False)),
}
