"""The tables that the tests run through: add a line here and a new function, operator or problem is
tested everywhere; in the second of a pair of tables, with a few of the first.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.operators.channel import Channel
from ergodual.operators.colour import Opponent
from ergodual.speech.quantizers import (
    a_law,
    mid_rise,
    mid_tread,
    mu_law,
    mu_law_continuous,
    quantizer_of,
    uniform,
)

BATCH, N, M = 2, 3, 4


def parameter(*values: float, shape: tuple[int, ...] = ()) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64).reshape(shape))


def spread(*shape: int, low: float, high: float, seed: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(
        low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)
    )


class UsersHuber(ed.Function):
    """A function as a user would write it: value and prox, all else by default."""

    separable = True

    def __init__(self, width: float | Tensor) -> None:
        super().__init__()
        self.width = width

    def value(self, x: Tensor) -> Tensor:
        near = x.square() / (2 * self.width)
        return torch.where(x.abs() <= self.width, near, x.abs() - self.width / 2).flatten(1).sum(1)

    def prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        return z - step * torch.clamp(z / (self.width + step), -1, 1)


Sample = tuple[int, ...]
FLAT: Sample = (N,)


def half_open(sample: Sample = FLAT) -> ed.Box:
    lower = torch.full((BATCH, *sample), -math.inf, dtype=torch.float64)
    lower[0] = -0.1
    return ed.Box(
        lower=nn.Parameter(lower), upper=spread(BATCH, *sample, low=0.05, high=0.3, seed=3)
    )


def per_sample(sample: Sample, low: float, high: float, seed: int) -> nn.Parameter:
    return spread(BATCH, *[1] * len(sample), low=low, high=high, seed=seed)


def some_zero(sample: Sample) -> nn.Parameter:
    weights = spread(*sample, low=0.2, high=1.0, seed=15)
    weights.data.flatten()[::2] = 0
    return weights


def some_groups(sample: Sample) -> Tensor:
    """Of 1, 2, 3 … coordinates, in no order, the first one free."""
    count = math.prod(sample)
    numbers = [g for g in range(count) for _ in range(g + 1)][: count - 1]
    order = torch.randperm(count - 1, generator=torch.Generator().manual_seed(40))
    return torch.cat([torch.tensor([-1]), torch.tensor(numbers)[order]]).view(sample)


def matrix_shape(sample: Sample) -> tuple[int, int] | None:
    """None where a sample is made of matrices already."""
    return None if len(sample) > 1 else (1, sample[0])


KNOTS = torch.tensor([-0.9, -0.3, 0.1, 0.4, 0.8], dtype=torch.float64)

CORE_FUNCTIONS: dict[str, Callable[..., ed.Function]] = {
    "l1": lambda s=FLAT: ed.L1(),
    "l1 weighted": lambda s=FLAT: ed.L1(parameter(0.7)),
    "l1 per coefficient": lambda s=FLAT: ed.L1(spread(*s, low=0.2, high=2.0, seed=1)),
    "l1 per sample": lambda s=FLAT: ed.L1(spread(BATCH, *s, low=0.2, high=2.0, seed=1)),
    "l1 with zeros": lambda s=FLAT: ed.L1(some_zero(s)),
    "l21": lambda s=FLAT: ed.L21(size=s[0]),
    "l21 along an axis": lambda s=FLAT: ed.L21(parameter(0.4), dim=1),
    "l21 along the last": lambda s=FLAT: ed.L21(per_sample(s, 0.2, 1.0, 16), dim=-1),
    "l21 of one": lambda s=FLAT: ed.L21(spread(*s, low=0.2, high=2.0, seed=6), size=1),
    "l21 with zeros": lambda s=FLAT: ed.L21(some_zero(s), size=1),
    "box": lambda s=FLAT: ed.Box(radius=0.3),
    "box per sample": lambda s=FLAT: ed.Box(radius=per_sample(s, 0.1, 0.5, 2)),
    "box bounds": lambda s=FLAT: ed.Box(
        lower=-0.2, upper=spread(BATCH, *s, low=0.1, high=0.5, seed=4)
    ),
    "box half open": half_open,
    "box point": lambda s=FLAT: ed.Box(radius=parameter(0.0)),
    "non-negative": lambda s=FLAT: ed.NonNegative(),
    "ball": lambda s=FLAT: ed.L2Ball(per_sample(s, 0.1, 0.9, 17)),
    "zero": lambda s=FLAT: ed.Zero(),
    "squared": lambda s=FLAT: ed.SquaredL2(parameter(1.3)),
    "squared per sample": lambda s=FLAT: ed.SquaredL2(per_sample(s, 0.5, 2.0, 5)),
    "squared with zeros": lambda s=FLAT: ed.SquaredL2(some_zero(s)),
    "translated": lambda s=FLAT: ed.Translated(
        ed.L1(parameter(0.5)), spread(*s, low=-0.5, high=0.5, seed=18)
    ),
    "translated per sample": lambda s=FLAT: ed.Translated(
        ed.SquaredL2(parameter(0.8)), spread(BATCH, *s, low=-0.5, high=0.5, seed=19)
    ),
    "user's huber": lambda s=FLAT: UsersHuber(parameter(0.4)),
}
MORE_FUNCTIONS: dict[str, Callable[..., ed.Function]] = {
    "huber of a given weight": lambda s=FLAT: ed.Huber(
        spread(*s, low=0.2, high=1.0, seed=26).detach(), parameter(0.3)
    ),
    "l2": lambda s=FLAT: ed.L2(parameter(0.4)),
    "l2 per sample": lambda s=FLAT: ed.L2(per_sample(s, 0.2, 1.0, 23)),
    "l1 ball": lambda s=FLAT: ed.L1Ball(per_sample(s, 0.3, 0.9, 24)),
    "maximum norm": lambda s=FLAT: ed.LInf(parameter(0.6)),
    "simplex": lambda s=FLAT: ed.Simplex(parameter(0.8)),
    "maximum": lambda s=FLAT: ed.Conjugate(ed.Simplex(per_sample(s, 0.3, 0.9, 25))),
    "huber": lambda s=FLAT: ed.Huber(parameter(0.8), spread(*s, low=0.1, high=0.6, seed=26)),
    "huber of groups": lambda s=FLAT: ed.Huber(parameter(0.7), parameter(0.3), dim=1),
    "huber per sample": lambda s=FLAT: ed.Huber(per_sample(s, 0.3, 0.9, 27), 0.2),
    "elastic net": lambda s=FLAT: ed.ElasticNet(spread(*s, low=0.1, high=0.6, seed=28)),
    "elastic net per sample": lambda s=FLAT: ed.ElasticNet(
        per_sample(s, 0.1, 0.6, 29), per_sample(s, 0.3, 0.9, 30)
    ),
    "counts": lambda s=FLAT: ed.KullbackLeibler(spread(*s, low=0.1, high=2.0, seed=31)),
    "counts per sample": lambda s=FLAT: ed.KullbackLeibler(
        spread(BATCH, *s, low=0.1, high=2.0, seed=32)
    ),
    "nuclear": lambda s=FLAT: ed.Nuclear(parameter(0.4), shape=matrix_shape(s)),
    "nuclear per sample": lambda s=FLAT: ed.Nuclear(
        per_sample(s, 0.2, 0.6, 34), shape=matrix_shape(s)
    ),
    "groups": lambda s=FLAT: ed.GroupSum(ed.L2(parameter(0.7)), some_groups(s), parameter(0.6)),
    "groups of each weight": lambda s=FLAT: ed.GroupSum(
        ed.LInf(parameter(0.5)),
        some_groups(s),
        spread(1 + int(some_groups(s).max()), low=0.3, high=1.2, seed=38),
    ),
    "groups of maxima": lambda s=FLAT: ed.GroupSum(ed.Conjugate(ed.Simplex()), some_groups(s)),
    "spline": lambda s=FLAT: ed.Spline(KNOTS, spread(4, low=0.1, high=1.5, seed=35)),
    "spline of channels": lambda s=FLAT: ed.Spline(
        KNOTS, spread(s[0], 4, low=0.1, high=1.5, seed=36), spread(s[0], 1, low=-1, high=0, seed=37)
    ),
    "linear": lambda s=FLAT: ed.Linear(spread(*s, low=-0.5, high=0.5, seed=33)),
    "tilted": lambda s=FLAT: ed.Tilted(ed.L1(parameter(0.5)), parameter(0.3)),
}
FUNCTIONS = {**CORE_FUNCTIONS, **MORE_FUNCTIONS}


def matrix(m: int = M, n: int = N, seed: int = 7) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(torch.randn(m, n, generator=generator, dtype=torch.float64))


class Slow(ed.Operator):
    """An operator with all given by hand and nothing fused: K = diag(scale) A."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.A = spread(M, low=0.5, high=1.5, seed=8), matrix()

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x @ self.A.T)

    def adjoint(self, y: Tensor, domain: torch.Size | None = None) -> Tensor:
        return (self.scale * y) @ self.A

    def norm(self, domain: torch.Size | None = None) -> Tensor:
        norm: Tensor = torch.linalg.matrix_norm(self.scale[:, None] * self.A, 2)
        return norm

    def norm_bound(self, domain: torch.Size | None = None) -> float:
        return float(self.norm().detach())

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.scale, self.A)

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor, ...]:
        return (dual * (primal @ self.A.T)).sum(0), (self.scale * dual).T @ primal


class Mixing(ed.Operator):
    """An operator as a user would write it: forward alone."""

    def __init__(self, seed: int = 51) -> None:
        super().__init__()
        self.weights = matrix(2, 2, seed)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("oc,bcs->bos", self.weights, x.cumsum(-1))


def kernel(*shape: int, seed: int = 61) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(0.5 * torch.randn(*shape, generator=generator, dtype=torch.float64))


def weights(*shape: int, seed: int = 71) -> nn.Parameter:
    return spread(*shape, low=-1.0, high=1.0, seed=seed)


SPARSE = torch.tensor(
    [[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, -1.0, 0.0], [3.0, 1.0, 0.0]], dtype=torch.float64
).to_sparse()


class Operators(NamedTuple):
    """How an operator is made (of a seed, if it has parameters), and its samples' shape."""

    make: Callable[..., ed.Operator]
    domain: Sample


CORE_OPERATORS: dict[str, Operators] = {
    "tall": Operators(lambda seed=7: ed.Dense(matrix(seed=seed)), FLAT),
    "wide": Operators(lambda seed=7: ed.Dense(matrix(2, N, seed)), FLAT),
    "one row": Operators(lambda seed=7: ed.Dense(matrix(1, N, seed)), FLAT),
    "dct": Operators(lambda seed=7: ed.Dense.dct(N, dtype=torch.float64), FLAT),
    "dft": Operators(lambda seed=7: ed.Dense.dft(N, M, dtype=torch.float64), FLAT),
    "by hand": Operators(lambda seed=7: Slow(), FLAT),
    "user's": Operators(Mixing, (2, 3)),
    "conv": Operators(lambda seed=61: ed.Conv(kernel(2, 1, 3, seed=seed)), (1, 5)),
    "conv, circular": Operators(
        lambda seed=61: ed.Conv(kernel(2, 2, 2, 3, seed=seed), padding="circular"), (2, 3, 4)
    ),
    "conv, reflect": Operators(
        lambda seed=61: ed.Conv(kernel(2, 1, 3, 2, seed=seed), padding="reflect"), (1, 3, 4)
    ),
    "conv, strided": Operators(
        lambda seed=61: ed.Conv(kernel(4, 1, 4, seed=seed), stride=2, padding="none"), (1, 7)
    ),
    "conv, full": Operators(
        lambda seed=61: ed.Conv(kernel(1, 1, 1, 2, 2, seed=seed), padding="full"), (1, 1, 2, 2)
    ),
    "identity": Operators(lambda seed=0: ed.Identity(), (2, 2)),
    "diagonal": Operators(lambda seed=71: ed.Diagonal(weights(2, 1, seed=seed)), (2, 3)),
    "gradient": Operators(lambda seed=0: ed.Gradient(), (3, 2)),
    "gradient of channels": Operators(lambda seed=0: ed.Gradient(axes=(-1,)), (2, 3)),
    "stack": Operators(
        lambda seed=61: ed.Stack(ed.Gradient(), ed.Conv(kernel(2, 1, 3, seed=seed))), (1, 4)
    ),
    "product": Operators(
        lambda seed=7: ed.Dense(matrix(2, M, seed)) @ ed.Dense(matrix(seed=seed + 1)), FLAT
    ),
    "adjoint": Operators(lambda seed=7: ed.Dense(matrix(N, M, seed)).T, FLAT),
    "scaled": Operators(
        lambda seed=7: ed.Scaled(parameter(0.7), ed.Dense(matrix(seed=seed))), FLAT
    ),
}
MORE_OPERATORS: dict[str, Operators] = {
    "blur": Operators(lambda seed=61: ed.Blur(kernel(2, 3, seed=seed)), (1, 3, 4)),
    "blur, zero": Operators(lambda seed=61: ed.Blur(kernel(2, seed=seed), "zero"), (2, 3)),
    "fourier": Operators(lambda seed=71: ed.Fourier(weights(3, seed=seed)), (2, 3)),
    "fourier of reals": Operators(
        lambda seed=71: ed.Fourier(weights(2, 3, seed=seed), real=True), (2, 3)
    ),
    "dct along axes": Operators(lambda seed=0: ed.Dct(axes=2), (2, 3)),
    "wavelet": Operators(lambda seed=0: ed.Wavelet("db2", axes=1), (2, 4)),
    "wavelet of images": Operators(lambda seed=0: ed.Wavelet("haar"), (2, 4)),
    "wavelet, mirrored": Operators(lambda seed=0: ed.SymmetricWavelet("db2", axes=1), (5,)),
    "wavelet of images, mirrored": Operators(
        lambda seed=0: ed.SymmetricWavelet("haar", 2), (1, 3, 2)
    ),
    "stft": Operators(lambda seed=0: ed.Stft(3, hop=2), (4,)),
    "framed": Operators(lambda seed=7: ed.Framed(matrix(3, 4, seed), hop=2), (7,)),
    "framed, hop 1": Operators(lambda seed=7: ed.Framed(matrix(2, 3, seed), hop=1), (4,)),
    "neighbours": Operators(lambda seed=0: ed.Differences([(0, 1), (1, -1), (-1, -2)]), (2, 3)),
    "symmetric gradient": Operators(lambda seed=0: ed.SymmetricGradient(), (2, 2, 2)),
    "a channel": Operators(
        lambda seed=7: Channel(ed.Dense(matrix(seed=seed)), 1, 0, (2, 3)), (2, N)
    ),
    "opponent colours": Operators(lambda seed=0: Opponent(2.0).double(), (3, 2)),
    "sparse": Operators(
        lambda seed=71: ed.Sparse(SPARSE, (3,), (2, 2), weights(5, seed=seed)), FLAT
    ),
    "tomography": Operators(
        lambda seed=0: ed.Tomography(2, [0.0, 0.6, 1.5], source=3.0, detector=1.0).double(), (2, 2)
    ),
    "blocks": Operators(
        lambda seed=7: ed.Blocks(
            [
                [ed.Dense(matrix(seed=seed)), ed.Scaled(parameter(-0.7), ed.Identity())],
                [None, ed.Gradient()],
            ],
            [(3,), (4,)],
        ),
        (7,),
    ),
}
OPERATORS = {**CORE_OPERATORS, **MORE_OPERATORS}

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
        ed.L21(spread(M // 2, low=0.2, high=0.6, seed=14), size=2),
        ed.Box(radius=0.15),
        ed.Dense(matrix()),
    ),
    "user's function": lambda: ed.Problem(
        UsersHuber(parameter(0.6)), UsersHuber(parameter(0.9)), ed.Dense(matrix())
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


def observation(
    seed: int = 21, batch: int = BATCH, n: int = N, sample: Sample | None = None
) -> Tensor:
    shape = (batch, *((n,) if sample is None else sample))
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(*shape, generator=generator, dtype=torch.float64)


QUANTIZERS = {
    **{f"mid-rise {bits}": mid_rise(bits) for bits in (1, 2, 4, 8, 16)},
    **{f"mid-tread {bits}": mid_tread(bits) for bits in (1, 2, 4, 8, 16)},
    **{f"{kind} 4": quantizer_of(kind, 4) for kind in ("floor", "truncate")},
    "mu-law": mu_law(),
    "a-law": a_law(),
    **{f"continuous {bits}": mu_law_continuous(bits, bits < 8) for bits in (5, 8)},
    "shifted": uniform("shifted", 0.1, 0.03, -9, 9),
    "rescaled": mid_rise(4).scaled(0.77),
    "closed": uniform("closed", 0.1, 0.0, -20, 20, (False, False)),
}
