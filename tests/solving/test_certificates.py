"""Every problem that has a gap gets one, and those that have no solution are told."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ergodual as ed
from ergodual.problem import LowerLevel
from ergodual.solving.certificates import Pending

D = torch.float64
BATCH = 10


def dense(m: int, n: int, dtype: torch.dtype = D) -> ed.Dense:
    generator = torch.Generator().manual_seed(m)
    return ed.Dense(torch.randn(m, n, generator=generator, dtype=D).to(dtype))


def positive(m: int, n: int, dtype: torch.dtype = D) -> ed.Dense:
    return ed.Dense(dense(m, n, dtype).matrix.detach().abs())


def seen(n: int, dtype: torch.dtype = D) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(BATCH, n, generator=generator, dtype=D).to(dtype)


def images() -> Tensor:
    return torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=D)


class Linear(ed.Function):
    """⟨a, x⟩, which a user may bring: unbounded below."""

    separable = True
    per_sample = ()

    def __init__(self, n: int) -> None:
        super().__init__()
        self.a = seen(n)[0]

    def value(self, x: Tensor) -> Tensor:
        return (self.a * x).sum(1)

    def conjugate(self, y: Tensor) -> Tensor:
        return torch.where((y == self.a).all(1), 0.0, math.inf)

    def prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        return z - step * self.a


def thin(n: int) -> Tensor:
    weights = torch.full((n,), 0.3, dtype=D)
    weights[:3] = 0
    return weights


def falling(n: int, dtype: torch.dtype) -> Tensor:
    return -seen(n, dtype).abs().cumsum(1) - torch.arange(n)


def signs(n: int, dtype: torch.dtype) -> ed.Diagonal:
    return ed.Diagonal(seen(n, dtype)[0].sign())


def filters(dtype: torch.dtype) -> ed.Conv:
    return ed.Conv(torch.tensor([[[0.2, 1.0, 0.3]], [[0.1, -0.5, 0.2]]], dtype=dtype))


I, P, TV = ed.InverseProblem, ed.Problem, lambda: ed.Gradient(axes=(-2, -1))  # noqa: E741
Made = tuple[LowerLevel, Tensor]
FINITE: dict[str, Callable[[int, int], Made]] = {
    "squared + l1": lambda m, n: (P(ed.SquaredL2(), ed.L1(0.3), dense(m, n)), seen(n)),
    "l1 + l1": lambda m, n: (P(ed.L1(0.4), ed.L1(0.5), dense(m, n)), seen(n)),
    "l1 + l21": lambda m, n: (P(ed.L1(0.4), ed.L21(0.5, size=2), dense(m, n)), seen(n)),
    "l1 + zero": lambda m, n: (P(ed.L1(0.4), ed.Zero(), dense(m, n)), seen(n)),
    "squared + zero": lambda m, n: (P(ed.SquaredL2(), ed.Zero(), dense(m, n)), seen(n)),
    "lasso, G": lambda m, n: (I(A=dense(m, n), data=ed.SquaredL2(), G=ed.L1(0.3)), seen(m)),
    "lasso, F": lambda m, n: (I(A=dense(m, n), data=ed.SquaredL2(), F=ed.L1(0.3)), seen(m)),
    "some weights are 0, G": lambda m, n: (
        I(A=dense(m, n), data=ed.SquaredL2(), G=ed.L1(thin(n))),
        seen(m),
    ),
    "some weights are 0, F": lambda m, n: (
        I(A=dense(m, n), data=ed.SquaredL2(), F=ed.L1(thin(n))),
        seen(m),
    ),
    "least squares": lambda m, n: (I(A=dense(m, n), data=ed.SquaredL2()), seen(m)),
    "non-negative": lambda m, n: (
        I(A=dense(m, n), data=ed.SquaredL2(), G=ed.NonNegative()),
        seen(m),
    ),
    "all non-negative": lambda m, n: (
        I(A=positive(m, n), data=ed.SquaredL2(), G=ed.NonNegative()),
        seen(m),
    ),
    "l1 data": lambda m, n: (I(A=dense(m, n), data=ed.L1(), F=ed.L1(0.3)), seen(m)),
    "translated": lambda m, n: (
        P(ed.SquaredL2(), ed.Translated(ed.L1(0.3), torch.ones(n, dtype=D)), dense(m, n)),
        seen(n),
    ),
    "total variation": lambda m, n: (
        I(data=ed.SquaredL2(), F=ed.L21(0.1, dim=1), K=TV()),
        images(),
    ),
    "total variation, l1": lambda m, n: (
        I(data=ed.L1(), F=ed.L21(0.6, dim=1), K=TV()),
        images(),
    ),
    "total variation, float32": lambda m, n: (
        I(data=ed.SquaredL2(), F=ed.L21(0.1, dim=1), K=TV()),
        images().float(),
    ),
}


@pytest.mark.parametrize("shape", [(20, 12), (12, 20)], ids=str)
@pytest.mark.parametrize("name", FINITE)
def test_wherever_a_gap_is_to_be_had_it_is_finite_and_right(
    name: str, shape: tuple[int, int]
) -> None:
    problem, x = FINITE[name](*shape)
    solution = ed.solve(problem, x)
    single = x.dtype == torch.float32
    assert solution.status == ["solved"] * len(x)
    one = problem.instance(x).detached()
    with torch.no_grad():
        best = ed.solve(problem, x, tol=1e-4 if single else 1e-12)
        nothing, optimum = one.primal(one.zeros_primal()), one.primal(best.r)
        reached = one.primal(solution.r)
    # no more above the optimum than the gap says, and that is small
    rounding = 1e-5 if single else 1e-12
    assert torch.all(reached - optimum <= solution.gap + rounding * nothing)
    assert torch.all(solution.gap <= (1e-2 if single else 2e-5) * nothing)
    size = solution.r.flatten(1).norm(dim=1)
    assert torch.all(solution.radius >= 10 * size)
    whole = solution.radius.isinf()
    with torch.no_grad():
        bound = one.dual(solution.certificate)
    assert torch.allclose(bound[whole], (reached - solution.gap)[whole], atol=rounding)


WITHOUT: dict[str, Callable[[torch.dtype], Made]] = {
    "a ball that is too small": lambda t: (
        I(A=dense(20, 12, t), data=ed.L2Ball(0.01), F=ed.L1()),
        seen(20, t),
    ),
    "a ball, G": lambda t: (I(A=dense(20, 12, t), data=ed.L2Ball(0.01), G=ed.L1()), seen(20, t)),
    "a ball and differences": lambda t: (
        I(A=dense(20, 12, t), data=ed.L2Ball(0.01), F=ed.L1(), K=ed.Gradient()),
        seen(20, t),
    ),
    "two balls": lambda t: (
        I(A=dense(20, 12, t), data=ed.L2Ball(0.01), F=ed.L2Ball(0.01)),
        seen(20, t),
    ),
    "two boxes": lambda t: (
        P(ed.Box(radius=0.1), ed.Box(radius=0.05), dense(20, 12, t)),
        seen(12, t),
    ),
    "a ball and a box": lambda t: (
        P(ed.L2Ball(0.1), ed.Box(radius=0.05), dense(20, 12, t)),
        seen(12, t),
    ),
    "bounds against rising": lambda t: (
        I(data=ed.Box(radius=0.05), F=ed.NonNegative(), K=ed.Gradient(), G=ed.L1()),
        falling(12, t),
    ),
    "a ball against signs": lambda t: (
        I(A=dense(20, 12, t), data=ed.L2Ball(0.5), F=ed.NonNegative(), K=signs(12, t)),
        -seen(12, t).abs() @ (signs(12, t).diagonal.detach()[:, None] * dense(20, 12, t).matrix.T),
    ),
    "bounds against filters": lambda t: (
        I(data=ed.Box(radius=0.1), F=ed.NonNegative(), K=filters(t), G=ed.L1(), domain=(1, 12)),
        (-1 - seen(12, t).abs())[:, None],
    ),
    "a linear program": lambda t: (
        I(A=positive(5, 12, t), data=ed.Box(radius=0.0), G=ed.Tilted(ed.NonNegative(), 1.0)),
        -seen(5, t).abs(),
    ),
    "counts against bounds": lambda t: (
        I(data=ed.KullbackLeibler(), F=ed.Box(lower=-2.0, upper=-1.0)),
        seen(12, t).abs(),
    ),
    "bounds against x >= 0": lambda t: (
        I(data=ed.Box(radius=0.1), F=ed.L1(), G=ed.NonNegative()),
        -1 - seen(12, t).abs(),
    ),
}


@pytest.mark.parametrize("dtype", [D, torch.float32], ids=str)
@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("method", [None, ed.ChambollePock()], ids=["restarted", "plain"])
def test_infeasible_problems_are_told_early_with_a_ray(
    name: str, dtype: torch.dtype, method: ed.ChambollePock | None
) -> None:
    problem, x = WITHOUT[name](dtype)
    with pytest.warns(ed.NotConvergedWarning, match="10 of 10 problems are infeasible"):
        solution = ed.solve(problem, x, method=method)
    assert solution.status == ["infeasible"] * len(x)
    assert solution.iterations.max() <= 2048
    assert solution.dual_ray is not None
    # the ray separates: <c, d> is above what F's and G's domains reach in its direction
    one, d = problem.instance(x).detached(), solution.dual_ray
    with torch.no_grad():
        F, G = (f.domain_indicator() or ed.Zero() for f in (one.F, one.G))
        v = G.prox_conjugate(-one.K.adjoint(d, one.domain), 1e-150 if dtype == D else 1e-18)
        rise = (one.constant() * d).sum(1) - F.conjugate(d) - G.conjugate(v)
    assert torch.all(rise > 1e-3)
    assert torch.all(solution.radius > 1e3)
    assert torch.allclose(d.norm(dim=1), torch.ones_like(rise), atol=1e-4)


def test_feasible_neighbours_of_infeasible_samples_are_solved() -> None:
    A, b = dense(20, 12), seen(20)
    least = (b - b @ torch.linalg.pinv(A.matrix.detach()).T @ A.matrix.detach().T).norm(dim=1)
    for share, status in ((1.01, "solved"), (0.99, "infeasible")):
        problem = I(A=A, data=ed.L2Ball((share * least)[:, None]), F=ed.L1())
        solution = ed.solve(problem, b) if share > 1 else None
        if solution is None:
            with pytest.warns(ed.NotConvergedWarning):
                solution = ed.solve(problem, b)
        assert solution.status == [status] * len(b)


def test_what_falls_up_to_a_bound_is_not_called_unbounded() -> None:
    """A direction that both bounds of a box cut off has to be seen far beyond them."""
    slope = torch.tensor([0.08, 0.18, -0.17, 0.12, 0.11, -0.29], dtype=torch.float64)
    weight = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.15], dtype=torch.float64)
    b = torch.tensor([[0.01, 0.0, -0.23, 0.04, -0.2, -0.1]], dtype=torch.float64)
    F = ed.Tilted(ed.L1(0.012), slope)
    K, G = ed.Stack(ed.Gradient()), ed.Box(radius=0.14)
    solution = ed.solve(I(data=ed.SquaredL2(weight), F=F, K=K, G=G), b)
    assert solution.status == ["solved"]
    assert torch.allclose(solution.x.abs()[:, [0, 2, 3, 5]], torch.full((4,), 0.14).double())


UNBOUNDED: dict[str, Callable[[], Made]] = {
    "a kernel": lambda: (I(A=dense(5, 12), data=ed.SquaredL2(), G=Linear(12)), seen(5)),
    "a cone": lambda: (P(ed.NonNegative(), Linear(12), ed.Identity()), seen(12)),
    "an l1 norm that is too small": lambda: (
        I(A=dense(5, 12), data=ed.L1(0.01), F=ed.L1(0.1), G=Linear(12)),
        seen(5),
    ),
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_unbounded_problems_are_told_with_a_ray(name: str) -> None:
    problem, x = UNBOUNDED[name]()
    with pytest.warns(ed.NotConvergedWarning, match="are unbounded"):
        solution = ed.solve(problem, x)
    assert solution.status == ["unbounded"] * len(x)
    assert solution.primal_ray is not None
    one, ray = problem.instance(x).detached(), solution.primal_ray
    with torch.no_grad():
        # in F's domain but for a rounding
        into = one.F.domain_indicator() or ed.Zero()
        at = [(t * ray, into.prox(t * one.K(ray), 1e-150)) for t in (1e3, 1e6)]
        assert all(torch.allclose(near, one.K(r), atol=1e-9 * 1e6) for r, near in at)
        values = [one.F.value(near) + one.G.value(r) for r, near in at]
    assert torch.all(values[1] < 500 * values[0])
    assert torch.all(values[0] < 0)


def test_the_gap_is_infinite_only_where_F_is() -> None:
    problem, b = (
        I(A=positive(20, 12), data=ed.NonNegative(), F=ed.L1(0.3), K=dense(12, 12)),
        seen(20),
    )
    found = ed.solve(problem, b)
    with torch.no_grad():
        objective = problem.instance(b).primal(found.r)
    assert found.converged.all()
    assert objective.isfinite().any()
    assert torch.equal(objective.isfinite(), found.gap.isfinite())
    assert torch.all(found.gap[found.gap.isfinite()] <= 1e-5)


def program(form: str, seed: int) -> tuple[LowerLevel, Tensor, dict[str, Any]]:
    """A small linear program, here and in the form that scipy takes."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m := int(rng.integers(2, 6)), n := int(rng.integers(3, 9))))
    b, c = rng.standard_normal(m), rng.standard_normal(n)
    if seed % 2:  # one that has a solution
        b = A @ rng.random(n).round()
        c = A.T @ rng.standard_normal(m) + rng.random(n)
    data, G, there = {
        "equations": (ed.Box(radius=0.0), ed.NonNegative(), {"A_eq": A, "b_eq": b}),
        "inequalities": (ed.NonNegative(), ed.NonNegative(), {"A_ub": -A, "b_ub": -b}),
        "bounds": (
            ed.Box(radius=0.1),
            ed.Box(lower=-0.5, upper=math.inf),
            {
                "A_ub": np.concatenate([A, -A]),
                "b_ub": np.concatenate([b, -b]) + 0.1,
                "bounds": (-0.5, None),
            },
        ),
    }[form]
    G = ed.Tilted(G, torch.from_numpy(c))
    problem = I(A=ed.Dense(torch.from_numpy(A)), data=data, G=G)
    return problem, torch.from_numpy(b)[None], {"c": c, **there}


@pytest.mark.filterwarnings("ignore::ergodual.NotConvergedWarning")
@pytest.mark.parametrize("form", ["equations", "inequalities", "bounds"])
def test_linear_programs_are_what_highs_says(form: str) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    for seed in range(12):
        problem, b, there = program(form, seed)
        theirs = optimize.linprog(**there)
        found = ed.solve(problem, b, max_iterations=5000)
        expected = {0: "solved", 2: "infeasible", 3: "unbounded"}[theirs.status]
        assert found.status == [expected], seed
        if expected == "solved":
            cost = float(found.x[0] @ torch.from_numpy(there["c"]))
            assert cost == pytest.approx(theirs.fun, rel=1e-4, abs=1e-6)


def test_a_linear_term_that_is_bounded_is_solved() -> None:
    problem, b = I(A=dense(20, 12), data=ed.SquaredL2(), G=Linear(12)), seen(20)
    solution = ed.solve(problem, b, tol=1e-8)
    A, a = dense(20, 12).matrix.detach(), Linear(12).a
    expected = torch.linalg.solve(A.T @ A, (b @ A - a).T).T
    assert torch.allclose(solution.x, expected, atol=1e-5)


B = seen(12)[:5]
AT_ZERO: dict[str, Callable[[float], Made]] = {
    "squared + l1 elsewhere": lambda s: (
        I(A=dense(20, 12), data=ed.SquaredL2(1 / s), G=ed.Translated(ed.L1(3.0), s * B)),
        torch.zeros(5, 20, dtype=D),
    ),
    "l1 + squared elsewhere": lambda s: (
        I(A=dense(20, 12), data=ed.L1(0.2), G=ed.Translated(ed.SquaredL2(1 / s), s * B)),
        torch.zeros(5, 20, dtype=D),
    ),
    "l1 elsewhere + squared": lambda s: (
        P(
            ed.Translated(ed.L1(0.3), s * seen(20)[:5]),
            ed.SquaredL2(1 / s),
            dense(20, 12),
        ),
        1e-9 * s * B,
    ),
    "l1 + l1 + a box elsewhere": lambda s: (
        I(A=dense(20, 12), data=ed.L1(0.2), F=ed.L1(0.1), G=ed.Box(lower=s * B, upper=s * B + s)),
        torch.zeros(5, 20, dtype=D),
    ),
    "squared + a box elsewhere": lambda s: (
        I(data=ed.SquaredL2(1 / s), F=ed.Box(lower=s * elsewhere(), upper=2 * s), K=dense(20, 12)),
        torch.zeros(5, 12, dtype=D),
    ),
}


def elsewhere() -> Tensor:
    lower = torch.full((20,), -2.0, dtype=D)
    lower[0] = 0.5
    return lower


@pytest.mark.parametrize("name", AT_ZERO)
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_observations_of_zero_have_the_units_of_the_functions(name: str, scale: float) -> None:
    """Their objectives are multiplied by the scale, and their solutions are."""
    found, right = ed.solve(*AT_ZERO[name](scale)), ed.solve(*AT_ZERO[name](1.0), tol=1e-12)
    assert found.status == right.status == ["solved"] * 5
    missed = (found.x / scale - right.x).norm() / right.x.norm()
    assert missed <= 2e-3


@pytest.mark.parametrize("name", ["l1", "squared", "box", "ball", "l21"])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_a_translation_is_an_observation(name: str, scale: float) -> None:
    K, b = dense(20, 12), scale * seen(20)[:5]
    f = {
        "l1": ed.L1(),
        "squared": ed.SquaredL2(),
        "box": ed.Box(radius=2 * scale),
        "ball": ed.L2Ball(8 * scale),
        "l21": ed.L21(size=2),
    }[name]
    one = ed.solve(I(A=K, data=f, G=ed.L1(0.3)), b)
    other = ed.solve(I(A=K, data=ed.Translated(f, b), G=ed.L1(0.3)), torch.zeros_like(b))
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.gap, other.gap)
    assert one.status == ["solved"] * 5


def test_what_costs_more_than_nothing_is_no_solution() -> None:
    """Along a direction that A hardly sees the residual is tiny, however far x has gone: there the
    energies are apart, and beyond r = 0 is better.
    """
    A = torch.tensor([[1.0, 0.0], [0.0, 1e-7]], dtype=torch.float64)
    problem = ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2())
    pending = Pending.of(
        problem.instance(torch.tensor([[1.0, 0.0]], dtype=torch.float64)), 1.0, 1e-6, None
    )
    for far, solved in ((5.0, True), (0.9e7, False), (1.1e7, False)):
        r = torch.tensor([[1.0, far]], dtype=torch.float64)
        y = pending.c + r @ A.T  # the dual of r
        assert bool(pending.judge(r, y).error <= 1e-6) == solved
