"""Random small problems, each with the same problem in CVXPY: functions × operators × weights, with
everything degenerate that there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Size, Tensor, nn

import ergodual as ed
from ergodual.operators.norms import matrix_of
from ergodual.problem import LowerLevel

try:
    import cvxpy as cp
except ModuleNotFoundError:  # a short run in the tests does without
    cp = None

BATCH = 4
Convex = Callable[[Any], tuple[Any, list[Any]]]
"""An affine expression of CVXPY to a cost and constraints."""
Term = tuple[ed.Function, Convex]


class Case(NamedTuple):
    """A problem in float64 and its observations.

    Attributes
    ----------
    names
        What it is made of.
    problem, observed
        With parameters that are learned.
    single
        Whether it is to be solved in float32.
    optimum
        Of a sample, CVXPY's status and optimal value; "not compared" where it is not there.
    """

    names: dict[str, str]
    problem: LowerLevel
    observed: Tensor
    single: bool
    optimum: Callable[[int], tuple[str, float]]


def random_case(rng: Generator) -> Case:
    """One of all."""
    n = int(rng.choice([1, 2, 3, 5, 8]))
    single, scale = bool(rng.random() < 0.3), 10.0 ** rng.uniform(-2, 2)
    K_name, K = operator(rng, n)
    domain = Size((1, n)) if K_name == "conv" else Size((n,))
    F_name, (F, F_convex) = function(rng, K.codomain(domain), scale, among=list(FUNCTIONS))
    inverse = rng.random() < 0.6
    names = {"kind": "inverse" if inverse else "problem", "F": F_name, "K": K_name}
    names["type"] = "float32" if single else "float64"
    if not inverse:
        names["G"], (G, G_convex) = function(rng, domain, scale, ENCLOSE_ZERO)
        observed = observations(rng, domain, scale)
        problem: LowerLevel = ed.Problem(F, G, K)

        def parts(i: int) -> list[tuple[Any, Any, Convex]]:
            x = observed[i].flatten().numpy()
            KM = matrix_of(K, domain).numpy()
            return [(KM, KM @ x, F_convex), (np.eye(n), np.zeros(n), G_convex)]
    else:
        names["A"], A = operator(rng, n, among=["tall", "wide", "identity", "rank 1", "zero row"])
        if K_name == "conv":
            names["A"], A = "identity", ed.Identity()
        seen = A.codomain(domain)
        names["data"], (data, data_convex) = function(rng, seen, scale, DATA)
        names["G"], (G, G_convex) = function(rng, domain, scale, list(FUNCTIONS))
        observed = observations(rng, seen, scale)
        problem = ed.InverseProblem(A=A, data=data, F=F, K=K, G=G, domain=tuple(domain))

        def parts(i: int) -> list[tuple[Any, Any, Convex]]:
            KM, AM = (matrix_of(each, domain).numpy() for each in (K, A))
            b = observed[i].flatten().numpy()
            return [
                (AM, -b, data_convex),
                (KM, np.zeros(len(KM)), F_convex),
                (np.eye(n), np.zeros(n), G_convex),
            ]

    return Case(names, problem, observed, single, lambda i: by_cvxpy(parts(i), n))


def by_cvxpy(parts: list[tuple[Any, Any, Convex]], n: int) -> tuple[str, float]:
    """Status and optimal value of the sum of functions of affine maps."""
    if cp is None:
        return "not compared", float("nan")
    r = cp.Variable(n)
    cost: Any = 0
    constraints = list[Any]()
    for matrix, offset, convex in parts:
        own, limits = convex(matrix @ r + offset)
        cost, constraints = cost + own, constraints + limits
    program = cp.Problem(cp.Minimize(cost), constraints)
    try:
        program.solve(solver="CLARABEL")
    except cp.SolverError:
        return "failed", float("nan")
    return program.status, float(program.value if program.value is not None else "nan")


def observations(rng: Generator, shape: Size, scale: float) -> Tensor:
    """Sometimes 0, sometimes small, sometimes of whole numbers."""
    x = rng.standard_normal((BATCH, *shape))
    if rng.random() < 0.2:
        x = np.rint(x)
    if rng.random() < 0.3:
        x[int(rng.integers(BATCH))] *= rng.choice([0.0, 1e-6])
    return torch.from_numpy(scale * x)


def operator(rng: Generator, n: int, among: list[str] | None = None) -> tuple[str, ed.Operator]:
    """A name and an operator on samples of n numbers."""
    names = among or [
        *("tall", "wide", "square", "rank 1", "zero row", "redundant rows", "zero"),
        *("dct", "identity", "diagonal", "gradient", "conv", "product", "stack"),
    ]
    name, scale = str(rng.choice(names)), 10.0 ** rng.uniform(-1.5, 1.5)

    def dense(m: int) -> Any:
        return rng.standard_normal((m, n))

    m = n + int(rng.integers(0, 4))
    rows: dict[str, Callable[[], Any]] = {
        "tall": lambda: dense(m + 1),
        "wide": lambda: dense(max(1, n - 1)),
        "square": lambda: dense(n),
        "rank 1": lambda: np.outer(rng.standard_normal(m), rng.standard_normal(n)),
        "zero row": lambda: np.concatenate([dense(n), np.zeros((1, n))]),
        "redundant rows": lambda: np.concatenate([one := dense(m), one[:1], -2 * one[-1:]]),
        "zero": lambda: np.zeros((m, n)),
    }
    if name in rows:
        return name, ed.Dense(torch.from_numpy(scale * rows[name]()))
    if name == "conv":
        kernel = torch.from_numpy(scale * rng.standard_normal((2, 1, min(3, n))))
        return name, ed.Conv(kernel, padding=str(rng.choice(["same", "circular", "full"])))  # type: ignore[arg-type]
    K: dict[str, Callable[[], ed.Operator]] = {
        "dct": lambda: ed.Dense.dct(n, torch.float64, m),
        "identity": ed.Identity,
        "diagonal": lambda: ed.Diagonal(nn.Parameter(torch.from_numpy(rng.standard_normal(n)))),
        "gradient": ed.Gradient,
        "product": lambda: scale * (ed.Dense(torch.from_numpy(dense(m))) @ ed.Identity()),
        "stack": lambda: ed.Stack(ed.Dense(torch.from_numpy(dense(m))), ed.Gradient()),
    }
    return name, K[name]()


def function(rng: Generator, shape: Size, scale: float, among: list[str]) -> tuple[str, Term]:
    """A name, a function of samples of this shape, and its expression."""
    name = str(rng.choice(among))
    return name, FUNCTIONS[name](rng, shape, scale)


def weights(rng: Generator, shape: Size, scale: float) -> nn.Parameter:
    """One for all or one for each, some of them 0."""
    w = 10.0 ** rng.uniform(-1.5, 0.5) * (0.2 + rng.random(() if rng.random() < 0.5 else shape))
    if rng.random() < 0.25:
        w = np.where(rng.random(w.shape) < 0.5, 0.0, w)
    return nn.Parameter(torch.as_tensor(scale * w))


def _l1(rng: Generator, shape: Size, _scale: float) -> Term:
    f = ed.L1(weights(rng, shape, 1.0))
    w = _flat(f.weight, shape)
    return f, lambda u: (w @ cp.abs(u), [])


def _l21(rng: Generator, shape: Size, _scale: float) -> Term:
    size = int(rng.choice([s for s in range(1, shape[0] + 1) if shape[0] % s == 0]))
    groups = Size((shape[0] // size, *shape[1:]))
    f = ed.L21(weights(rng, groups, 1.0), size=size)
    w, at = _flat(f.weight, groups), np.arange(shape.numel()).reshape(size, -1)
    return f, lambda u: (sum(w[g] * cp.norm(u[at[:, g]]) for g in range(len(w))), [])


def _squared(rng: Generator, shape: Size, _scale: float) -> Term:
    f = ed.SquaredL2(weights(rng, shape, 1.0))
    w = _flat(f.weight, shape)
    return f, lambda u: (0.5 * cp.sum_squares(cp.multiply(np.sqrt(w), u)), [])


def _box(rng: Generator, shape: Size, scale: float) -> Term:
    f = ed.Box(radius=weights(rng, shape, scale))
    w = _flat(f.radius, shape)
    return f, lambda u: (0.0, [u <= w, u >= -w])


def _half_open(rng: Generator, shape: Size, scale: float) -> Term:
    lower = -weights(rng, shape, scale).detach().expand(shape).clone()
    lower[torch.from_numpy(rng.random(tuple(shape)) < 0.4)] = -torch.inf
    upper = weights(rng, shape, scale).detach()
    f, low, high = ed.Box(lower=lower, upper=upper), _flat(lower, shape), _flat(upper, shape)
    bounded = np.flatnonzero(np.isfinite(low))
    return f, lambda u: (0.0, [u <= high, *([u[bounded] >= low[bounded]] if len(bounded) else [])])


def _ball(rng: Generator, _shape: Size, scale: float) -> Term:
    radius = weights(rng, Size(()), scale)
    return ed.L2Ball(radius), lambda u: (0.0, [cp.norm(u) <= float(radius.detach())])


def _translated(rng: Generator, shape: Size, scale: float) -> Term:
    f, convex = _l1(rng, shape, scale)
    shift = nn.Parameter(torch.from_numpy(scale * rng.standard_normal(tuple(shape))))
    at = shift.detach().flatten().numpy()
    return ed.Translated(f, shift), lambda u: convex(u - at)


FUNCTIONS: dict[str, Callable[[Generator, Size, float], Term]] = {
    "l1": _l1,
    "l21": _l21,
    "squared": _squared,
    "box": _box,
    "half open": _half_open,
    "non-negative": lambda rng, shape, scale: (ed.NonNegative(), lambda u: (0.0, [u >= 0])),
    "ball": _ball,
    "zero": lambda rng, shape, scale: (ed.Zero(), lambda u: (0.0, [])),
    "translated": _translated,
}
ENCLOSE_ZERO = [name for name in FUNCTIONS if name != "translated"]
DATA = ["squared", "squared", "l1", "ball", "box", "l21"]


def _flat(values: Any, shape: Size) -> Any:
    return torch.as_tensor(values).detach().expand(shape).flatten().numpy()
