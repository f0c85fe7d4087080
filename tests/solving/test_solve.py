"""Solutions with certificates: against other solvers, on degenerate problems, whatever the scale,
and sample by sample.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cases import BATCH, DEGENERATE, PROBLEMS, N, lower_level, matrix, observation
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import ergodual as ed
from ergodual.primal_dual.tape import unroll

METHODS: dict[str, Callable[[], Any]] = {
    "default": lambda: None,
    "halpern": lambda: ed.Restarted("halpern"),
    "accelerated, restarted": lambda: ed.Restarted("accelerated"),
    "average": lambda: ed.Restarted("average"),
    "chambolle-pock": ed.ChambollePock,
    "chambolle-pock, weight 3": lambda: ed.ChambollePock(weight=3.0),
    "accelerated": lambda: ed.ChambollePock(accelerated=True),
    "preconditioned": lambda: ed.Restarted(precondition=True),
}
every_method = pytest.mark.parametrize("method", METHODS)


@every_method
@pytest.mark.parametrize("name", PROBLEMS)
def test_solves(name: str, method: str) -> None:
    problem, x_tilde = PROBLEMS[name](), observation()
    if method == "preconditioned" and name in ("pairs", "user's operator"):
        with pytest.raises(
            ed.ErgodualError,
            match="Preconditioning needs a Stack, or a matrix and functions that are sums",
        ):
            ed.solve(problem, x_tilde, method=METHODS[method]())
        return
    found = ed.solve(problem, x_tilde, tol=1e-9, method=METHODS[method]())
    assert found.converged.all()
    assert (found.error <= 1e-9).all()
    assert (found.gap >= 0).all()
    torch.testing.assert_close(found.x, x_tilde + found.r)
    with torch.no_grad():
        steps = ed.StepSizes.balanced()(problem.K, 4000)
        expected = unroll([problem.instance(x_tilde)] * 4000, steps, ed.Last()(4000))
    if name != "cells":  # whose solutions are many
        torch.testing.assert_close(found.x, expected, rtol=0, atol=1e-4)
    if name not in (
        "user's function",
        "dantzig",
    ):  # one has no conjugate, and so no gap; the gap of the other ends by a rounding
        gap, whole = problem.instance(x_tilde).gap(found.r, found.certificate), found.radius.isinf()
        torch.testing.assert_close(gap.clamp(min=0)[whole], found.gap[whole], rtol=0, atol=1e-14)
        assert whole.all() or name == "unregularised"


@pytest.mark.parametrize("name", ["dantzig", "user's function"])
def test_where_there_is_no_finite_gap_a_residual_is_used(name: str) -> None:
    found = ed.solve(PROBLEMS[name](), observation(), tol=1e-9)
    assert found.gap.isinf().any()
    assert (found.error <= 1e-9).all()


@every_method
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_problems_have_a_certificate(name: str, method: str) -> None:
    problem = DEGENERATE[name]()
    limit = (
        1_000_000 if name == "rows of very different size" and "chambolle" in method else 100_000
    )
    x_tilde = observation(batch=3)
    found = ed.solve(problem, x_tilde, tol=1e-5, method=METHODS[method](), max_iterations=limit)
    assert found.converged.all()
    with torch.no_grad():
        cost, gap = (
            problem.F.value(problem.K(x_tilde)),
            problem.instance(x_tilde).gap(found.r, found.y),
        )
    if name != "no data term's bound":  # whose gap is infinite off the solution
        assert (gap <= 1.01e-5 * torch.where(cost > 0, cost, 1.0)).all()


def test_a_problem_of_one_number() -> None:
    for k, x, eta in ((2.0, 1.0, 0.3), (-0.5, 0.1, 0.3), (1e-3, -5.0, 2.0)):
        problem = lower_level(torch.tensor([[k]], dtype=torch.float64), eta)
        found = ed.solve(problem, torch.tensor([[x]], dtype=torch.float64))
        assert found.x.item() == pytest.approx(math.copysign(max(0.0, abs(x) - eta), x), abs=1e-5)


def test_nothing_to_do_takes_no_iteration() -> None:
    assert not ed.solve(
        lower_level(matrix()), torch.zeros(BATCH, N, dtype=torch.float64)
    ).iterations.any()
    assert not ed.solve(DEGENERATE["radius is zero"](), observation()).iterations.any()


@pytest.mark.parametrize(
    "method", [name for name in METHODS if "weight" not in name]
)  # a weight that is given has a scale
@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_scale_changes_nothing(factor: float, method: str) -> None:
    K, x_tilde = matrix(9, 6).detach(), observation(n=6)
    found = ed.solve(lower_level(K), x_tilde, method=METHODS[method]())
    of_K = ed.solve(lower_level(factor * K), x_tilde, method=METHODS[method]())
    of_x = ed.solve(lower_level(K, factor * 0.2), factor * x_tilde, method=METHODS[method]())
    for other, scale in ((of_K, 1.0), (of_x, factor)):
        assert (other.iterations - found.iterations).abs().max() <= 32
        torch.testing.assert_close(other.x / scale, found.x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nor_do_the_units_of_the_objective(dtype: torch.dtype) -> None:
    x = torch.kron(torch.eye(3, dtype=dtype), torch.ones(4, 4, dtype=dtype))[None, None]
    blur = ed.Blur(torch.ones(3, 3, dtype=dtype) / 9)

    def iterations(unit: float) -> int:
        data, F = ed.SquaredL2(unit), ed.L21(1e-3 * unit, dim=1)
        problem = ed.InverseProblem(A=blur, data=data, F=F, K=ed.Gradient(axes=(-2, -1)))
        return int(ed.solve(problem, blur(x), tol=1e-3).iterations)

    assert len({iterations(unit) for unit in (1e-8, 1e-4, 1.0, 1e4, 1e8)}) == 1


def highs(K: np.ndarray, x: np.ndarray, eta: float) -> float:
    """min Σt over −t ≤ K(x + r) ≤ t, |r| ≤ η."""
    m, n = K.shape
    A = np.block([[K, -np.eye(m)], [-K, -np.eye(m)]])
    bounds = [(-eta, eta)] * n + [(0, None)] * m
    return float(
        linprog(
            np.r_[np.zeros(n), np.ones(m)],
            A_ub=A,
            b_ub=np.r_[-K @ x, K @ x],
            bounds=bounds,
            method="highs",
        ).fun
    )


@pytest.mark.parametrize(("m", "n"), [(20, 20), (12, 20), (30, 10)])
def test_the_objective_is_that_of_a_simplex_solver(m: int, n: int) -> None:
    K, x_tilde = matrix(m, n).detach(), observation(batch=5, n=n)
    problem = lower_level(K)
    found = ed.solve(problem, x_tilde, tol=1e-9)
    with torch.no_grad():
        primal = problem.instance(x_tilde).primal(found.r).tolist()
    for i in range(5):
        assert primal[i] == pytest.approx(highs(K.numpy(), x_tilde[i].numpy(), 0.2), rel=1e-8)


@every_method
def test_samples_do_not_know_of_each_other(method: str) -> None:
    K, x_tilde = matrix(9, 6).detach(), observation(batch=8, n=6)
    radius = 0.05 + 0.3 * torch.rand(
        8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))

    def solved(rows: torch.Tensor) -> ed.Solution:
        return ed.solve(
            ed.Problem(ed.L1(), ed.Box(radius=radius[rows]), ed.Dense(K)),
            x_tilde[rows],
            method=METHODS[method](),
        )

    together = solved(torch.arange(8))
    permuted = solved(order)
    torch.testing.assert_close(permuted.x, together.x[order], rtol=0, atol=1e-12)
    for i in range(8):
        torch.testing.assert_close(
            solved(torch.tensor([i])).x[0], together.x[i], rtol=0, atol=1e-12
        )


def test_a_cell_without_bounds_on_one_side() -> None:
    lower = torch.tensor([[-0.1, -math.inf, -0.2, -0.1]], dtype=torch.float64).repeat(3, 1)
    box = ed.Box(lower=lower, upper=-lower.clamp(min=-0.3))
    found = ed.solve(
        ed.Problem(ed.L1(), box, ed.Dense.dct(4, torch.float64)), observation(batch=3, n=4)
    )
    assert found.converged.all()
    assert (box.value(found.r) == 0).all()


@pytest.mark.filterwarnings("ignore::ergodual.NotConvergedWarning")
@pytest.mark.parametrize("weight", [1e-8, 1e8])
@pytest.mark.parametrize("name", ["unregularised", "cells"])
def test_no_step_weight_makes_a_certificate(name: str, weight: float) -> None:
    """A residual would be small for steps that move nothing, so it has steps of its own."""
    found = ed.solve(
        PROBLEMS[name](), observation(), method=ed.ChambollePock(weight), max_iterations=64
    )
    assert not found.converged.any()


@pytest.mark.parametrize("c", [1e-6, 1e3])
def test_nor_does_preconditioning(c: float) -> None:
    problem = ed.Problem(ed.SquaredL2(1 / c**2), ed.Zero(), ed.Dense(c * matrix(6, N).detach()))
    found = ed.solve(problem, observation(), method=ed.Restarted(precondition=True, polish=False))
    assert found.x.abs().max() <= 1e-3  # the solution is 0


def test_a_large_constant_costs_no_digits() -> None:
    """K x̃ is small where x̃ is not, for differences in float32: a certificate from K(x̃ + r) would
    be all rounding.
    """
    K = (torch.eye(60) - torch.eye(60).roll(1, 1))[:-1]
    found = ed.solve(lower_level(K, 0.25), 1e4 + observation(batch=4, n=60).float())
    assert found.converged.all()


def test_a_large_constant_costs_accelerated_steps_no_digits() -> None:
    """Nor r̄, by steps that are those of the Gradient, which has no matrix."""
    problem = ed.Problem(ed.L21(0.3, dim=1), ed.SquaredL2(), ed.Gradient())
    x_tilde = 1e5 + torch.randn(2, 8, 9)
    method = ed.Restarted("accelerated", polish=False)
    found = ed.solve(problem, x_tilde, tol=1e-5, method=method)
    assert found.converged.all()
    alike = ed.solve(problem, x_tilde - 1e5, tol=1e-5, method=method)
    torch.testing.assert_close(found.r, alike.r, rtol=0, atol=1e-2)


def test_an_earlier_solution_is_made_feasible() -> None:
    x_tilde = observation()
    before = ed.solve(lower_level(matrix(), 0.1), x_tilde)
    found = ed.solve(lower_level(matrix(), 0.1 * (1 - 1e-7)), x_tilde, start=before)
    assert found.gap.isfinite().all()


@pytest.mark.filterwarnings("ignore::ergodual.NotConvergedWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_has_no_feasible_point_has_no_certificate(dtype: torch.dtype) -> None:
    """|x̃ + r| ≤ 0.1 and |r| ≤ 0.1 exclude each other at x̃ = 5.

    The duals grow for ever, and with them what a residual is relative to.
    """
    problem = ed.Problem(
        ed.Box(radius=0.1), ed.Box(radius=0.1), ed.Dense(torch.eye(3, dtype=dtype))
    )
    assert not ed.solve(
        problem, torch.full((1, 3), 5.0, dtype=dtype), max_iterations=5000
    ).converged


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_a_large_constant_makes_no_certificate(offset: float) -> None:
    differences = (
        torch.eye(20, dtype=torch.float64) - torch.eye(20, dtype=torch.float64).roll(1, 1)
    )[:-1]
    problem = ed.Problem(ed.Box(radius=0.3), ed.SquaredL2(), ed.Dense(differences))
    x_tilde = observation(n=20)
    plain, moved = (ed.solve(problem, x_tilde + c) for c in (0.0, offset))
    torch.testing.assert_close(moved.r, plain.r, rtol=0, atol=1e-4)


@pytest.mark.parametrize("tol", [1e-6, 1e-9])
def test_where_the_primal_has_arrived_the_dual_soon_does(tol: float) -> None:
    for seed in range(5):
        problem = lower_level(matrix(200, N, seed).detach())
        assert ed.solve(problem, observation(seed, batch=6), tol=tol).iterations.max() <= 2000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_newton_lands(dtype: torch.dtype) -> None:
    K, x_tilde = matrix(30, 20).detach().to(dtype), observation(batch=8, n=20).to(dtype)
    with_, without = (
        ed.solve(
            lower_level(K), x_tilde, tol=1e-5, method=ed.Restarted(polish=flag)
        ).iterations.sum()
        for flag in (True, False)
    )
    assert with_ < without


def test_restarts_are_worth_it() -> None:
    x_tilde = (8 * observation(batch=16, n=80)).round() / 8
    problem = lower_level(ed.Dense.dct(80, torch.float64).matrix.detach(), 1 / 16)
    took = {
        name: ed.solve(problem, x_tilde, tol=1e-8, method=METHODS[name]())
        .iterations.double()
        .median()
        for name in ("average", "halpern", "chambolle-pock")
    }
    assert took["average"] <= 0.7 * took["chambolle-pock"]
    assert took["halpern"] <= 0.7 * took["average"]


@pytest.mark.filterwarnings("ignore::ergodual.NotConvergedWarning")
@pytest.mark.parametrize(
    ("F", "G"), [(ed.L1(0.1), ed.SquaredL2()), (ed.SquaredL2(), ed.Box(radius=0.2))]
)
def test_strong_convexity_gives_the_quadratic_rate(F: ed.Function, G: ed.Function) -> None:
    problem, x_tilde = ed.Problem(F, G, ed.Dense(matrix(20, 15))), observation(batch=8, n=15)
    method = ed.ChambollePock(accelerated=True)
    early, late = (
        ed.solve(problem, x_tilde, tol=0.0, method=method, max_iterations=k).error.max()
        for k in (32, 320)
    )
    assert late <= early / 50


def test_preconditioning_is_worth_it() -> None:
    K = matrix(30, 20).detach() * torch.logspace(-2, 2, 30, dtype=torch.float64)[:, None]
    x_tilde = observation(batch=6, n=20)
    plain, scaled = (
        ed.solve(lower_level(K), x_tilde, method=ed.Restarted(precondition=flag)).iterations.max()
        for flag in (False, True)
    )
    assert scaled < plain / 2


def test_a_warm_start() -> None:
    K, x_tilde = matrix(9, 6).detach(), observation(n=6)
    found = ed.solve(lower_level(K), x_tilde, tol=1e-10)
    assert not ed.solve(lower_level(K), x_tilde, tol=1e-10, start=found).iterations.any()
    moved = K + 1e-6 * matrix(9, 6, seed=9).detach()
    warm, cold = (
        ed.solve(lower_level(moved), x_tilde, tol=1e-10, start=start).iterations.sum()
        for start in (found, None)
    )
    assert warm < cold
    with pytest.raises(ed.ErgodualError, match=r"r of shape \(2, 6\).* needs \(3, 6\)"):
        ed.solve(lower_level(K), observation(batch=3, n=6), start=found)


def test_float32_has_a_tolerance_of_its_own() -> None:
    found = ed.solve(lower_level(matrix(9, 6).detach().float()), observation(n=6).float())
    assert found.converged.all()
    assert found.x.dtype == torch.float32


def test_what_is_not_solved_is_said() -> None:
    with pytest.warns(
        ed.NotConvergedWarning,
        match=r"[12] of 2 problems did not reach 1e-06 within 5 iterations; the largest error is",
    ):
        found = ed.solve(lower_level(matrix(30, 20)), observation(n=20), max_iterations=5)
    assert not found.converged.all()
    assert (found.error[~found.converged] > 1e-6).all()
    assert found.iterations.max() == 5


def test_iterations_may_be_a_float() -> None:
    assert ed.solve(lower_level(matrix()), observation(), max_iterations=1e5).converged.all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tol": -1.0}, "tolerance is -1"),
        ({"tol": math.nan}, "tolerance is nan"),
        ({"max_iterations": -1}, "number of iterations is -1"),
        ({"observation": torch.full((1, N), math.nan, dtype=torch.float64)}, "not finite"),
        (
            {
                "problem": ed.InverseProblem(
                    A=ed.Diagonal(torch.ones(N).double()),
                    data=ed.SquaredL2(),
                    F=ed.L1(),
                    K=ed.Identity(),
                ),
                "observation": torch.full((1, N), math.nan, dtype=torch.float64),
            },
            "Sample 0 of the observations has an entry that is not finite",
        ),
        ({"observation": torch.ones(1, N + 1, dtype=torch.float64)}, r"shape \(4,\)"),
        ({"observation": torch.ones(1, N)}, "float32"),
        ({"norm": -1.0}, "norm is -1"),
        ({"method": ed.Restarted}, "method is <class"),
        (
            {
                "observation": observation(batch=3),
                "start": ed.solve(lower_level(matrix()), observation()),
            },
            "leave start out",
        ),
        (
            {
                "problem": ed.Problem(
                    ed.L1(),
                    ed.Box(radius=torch.ones(5, 1, dtype=torch.float64)),
                    ed.Dense(matrix()),
                )
            },
            "does not fit 2 samples",
        ),
        (
            {"problem": ed.Problem(ed.L1(torch.ones(4)), ed.Box(radius=1.0), ed.Dense(matrix()))},
            "L1 has a tensor that is torch.float32",
        ),
        (
            {
                "problem": ed.Problem(
                    ed.L1(torch.ones(9).double()), ed.Box(radius=1.0), ed.Dense(matrix())
                )
            },
            r"does not fit 2 samples of shape .4,",
        ),
        (
            {"problem": lower_level(matrix(), torch.ones(2).double())},
            r"Box's radius has shape \(2,\).*does not fit 2 samples",
        ),
        (
            {"problem": lower_level(matrix().half()), "observation": observation().half()},
            "float16; convert",
        ),
        (
            {
                "problem": lower_level(1e300 * matrix().detach()),
                "observation": 1e300 * observation(),
            },
            "K times the observations is not finite",
        ),
        ({"max_iterations": math.inf}, "number of iterations is inf"),
        (
            {
                "start": replace(
                    ed.solve(lower_level(matrix()), observation()),
                    y=torch.full((2, 4), math.nan).double(),
                )
            },
            "entry of y that is",
        ),
    ],
)
def test_refusals(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        ed.solve(**{"problem": lower_level(matrix()), "observation": observation(), **options})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ed.Restarted("best"), "kind is 'best'"),
        (lambda: ed.ChambollePock(math.inf), "weight is inf"),
    ],
)
def test_methods_refuse(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1000),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 3),
    st.floats(0, 2),
    st.floats(-6, 6),
)
def test_any_problem_has_a_gap_that_closes(
    seed: int, m: int, n: int, batch: int, radius: float, decade: float
) -> None:
    K, x_tilde = 10**decade * matrix(m, n, seed).detach(), observation(seed, batch, n)
    problem = lower_level(K, radius)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ed.solve(problem, x_tilde)
    assert (problem.G.value(found.r) == 0).all()
    assert (found.error <= 1e-6).all()
    with torch.no_grad():
        gap, cost = (
            problem.instance(x_tilde).gap(found.r, found.y),
            problem.F.value(problem.K(x_tilde)),
        )
    assert (gap >= -1e-14 * cost).all()
    torch.testing.assert_close(
        found.gap,
        gap.clamp(min=0),
        rtol=0,
        atol=1e-14 * max(1.0, float(cost.max()) if batch else 0.0),
    )


def test_an_ill_conditioned_lasso_is_solved_by_the_default() -> None:
    """Of condition 1000: no Newton step leads away from the objective that is there."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    U, V = (torch.linalg.qr(draw(30, 30))[0] for _ in range(2))
    K = U @ torch.diag(torch.logspace(0, -3, 30, dtype=torch.float64)) @ V
    problem, x = ed.Problem(ed.SquaredL2(), ed.L1(1e-4), ed.Dense(K)), draw(8, 30)
    found = ed.solve(problem, x, max_iterations=20_000)
    slow = ed.solve(problem, x, max_iterations=20_000, method=ed.Restarted(polish=False))
    assert found.converged.all()
    objective, least = (problem.instance(x).primal(each.r) for each in (found, slow))
    assert (objective <= least * (1 + 1e-3)).all()


@pytest.mark.parametrize("groups", [True, False])
def test_newton_steps_by_products_where_no_matrix_is_set_up(groups: bool) -> None:
    x = torch.rand(2, 1, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    F = ed.L21(0.05, dim=1) if groups else ed.L1(0.05)
    problem = ed.InverseProblem(data=ed.SquaredL2(), F=F, K=ed.Gradient(axes=(-2, -1)))
    found = ed.solve(problem, x, tol=1e-11)
    slow = ed.solve(problem, x, tol=1e-11, method=ed.Restarted(polish=False))
    assert found.converged.all()
    assert slow.converged.all()
    assert found.iterations.sum() < slow.iterations.sum() or groups
    assert (found.iterations <= slow.iterations).all()
    torch.testing.assert_close(found.x, slow.x, atol=1e-4, rtol=0)


def test_an_estimate_of_unrolled_is_a_start() -> None:
    x = torch.rand(4, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    F = ed.L21(0.1, dim=1)
    problem = ed.InverseProblem(data=ed.SquaredL2(), F=F, K=ed.Gradient(axes=(-2, -1)))
    method, steps = ed.Restarted("halpern", polish=False), ed.StepSizes.balanced()
    cold = ed.solve(problem, x, tol=1e-8, method=method)
    x_hat = ed.Unrolled(problem, 200, steps, ed.Last())(x)
    warm = ed.solve(problem, x, tol=1e-8, method=method, start=x_hat)
    torch.testing.assert_close(warm.x, cold.x, atol=1e-4, rtol=0)
    assert warm.iterations.sum() < 0.9 * cold.iterations.sum()
    with pytest.raises(ed.ErgodualError, match=r"estimate to start from has shape \(1, 1, 16, 16"):
        ed.solve(problem, x, start=x_hat[:1])
    with pytest.raises(ed.ErgodualError, match="estimate to start from has an entry that is not"):
        ed.solve(problem, x, start=x_hat * torch.nan)


def test_a_solution_is_shown_in_a_line() -> None:
    problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.1), K=ed.Dense.dct(8))
    solution = ed.solve(problem, torch.randn(3, 8, generator=torch.Generator().manual_seed(0)))
    shown = repr(solution)
    assert shown.startswith("Solution(x of (3, 8): 3 solved; gap ")
    assert "\n" not in shown
