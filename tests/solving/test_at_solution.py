"""Gradients at a solution: against central differences of the solved problem, and against the sweep
through many iterations.
"""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import DEGENERATE, PROBLEMS, N, lower_level, matrix, observation, parameter
from differences import five_point, relative
from torch.nn.utils import parametrize

import ergodual as ed
from ergodual.solving import AtSolution
from ergodual.solving.active_set import least_norm
from ergodual.tensors import random_like

# the first has many solutions, and that of the second is 0 whatever its parameters
UNIQUE = [name for name in PROBLEMS if name not in ("cells", "unregularised")]
DIRECTION = observation(23)
TIGHT = 1e-13


def losses(x_hat: torch.Tensor) -> torch.Tensor:
    return x_hat * DIRECTION + x_hat.pow(3) / 7


def gradients(model: ed.Solved | ed.Unrolled) -> dict[str, torch.Tensor]:
    inputs = {"x_tilde": observation().requires_grad_(), **dict(model.problem.named_parameters())}
    value = losses(model(inputs["x_tilde"])).sum()
    found = torch.autograd.grad(
        value, list(inputs.values()), materialize_grads=True, allow_unused=True
    )
    return dict(zip(inputs, found, strict=True))


def through_iterations(name: str, adjoint: Any, depth: int = 3000) -> dict[str, torch.Tensor]:
    return gradients(ed.Unrolled(PROBLEMS[name](), depth, output=ed.Last(), adjoint=adjoint))


@pytest.mark.filterwarnings("ignore::ergodual.NotDifferentiableWarning")
@pytest.mark.parametrize("solver", [None, ed.Minres()], ids=["default", "Minres"])
@pytest.mark.parametrize("name", UNIQUE)
def test_implicit_is_the_slope_of_the_solution(name: str, solver: ed.Minres | None) -> None:
    problem, x_tilde = PROBLEMS[name](), observation()
    layer = ed.Solved(problem, tol=TIGHT, adjoint=ed.Implicit(solver=solver))
    ours = gradients(layer)
    assert isinstance(layer.adjoint, ed.Implicit)
    assert layer.adjoint.report is not None
    # where the lasso's solution is 0, its dual is not unique, and the one found may lie on a bound
    # that does not push
    assert layer.adjoint.report.regular.all() or name == "lasso"
    assert (layer.adjoint.report.residual <= 1e-9).all()
    inputs = {"x_tilde": x_tilde, **dict(problem.named_parameters())}
    assert (
        relative(
            ours,
            five_point(lambda: losses(ed.solve(problem, x_tilde, tol=TIGHT).x), inputs, h=1e-4),
        )
        <= 1e-5
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.filterwarnings("ignore::ergodual.NotDifferentiableWarning")]
            * (name == "lasso"),
        )
        for name in UNIQUE
    ],  # see above
)
def test_implicit_is_the_limit_of_the_reverse_sweep(name: str) -> None:
    assert (
        relative(through_iterations(name, ed.Implicit()), through_iterations(name, ed.Reverse()))
        <= 1e-6
    )


@pytest.mark.parametrize("adjoint", [lambda: ed.Neumann(3000), lambda: ed.Piggyback(1e-11)])
@pytest.mark.parametrize("name", UNIQUE)
def test_many_stationary_steps_are_the_limit_too(
    name: str, adjoint: Callable[[], AtSolution]
) -> None:
    assert (
        relative(through_iterations(name, adjoint()), through_iterations(name, ed.Reverse()))
        <= 1e-6
    )


@pytest.mark.parametrize("b", [1, 2, 5, 40])
@pytest.mark.parametrize("name", UNIQUE)
def test_stationary_is_truncated_where_the_iterates_stand_still(name: str, b: int) -> None:
    assert (
        relative(through_iterations(name, ed.Neumann(b)), through_iterations(name, ed.Truncated(b)))
        <= 1e-8
    )


def test_one_step_is_one_stationary_step() -> None:
    ours, theirs = (
        through_iterations("the paper's", adjoint) for adjoint in (ed.OneStep(), ed.Neumann(1))
    )
    assert all(torch.equal(t, theirs[name]) for name, t in ours.items())


@pytest.mark.parametrize(
    "adjoint", [ed.Implicit, ed.Piggyback, lambda: ed.Neumann(500), ed.OneStep]
)
def test_they_serve_unrolled_and_solved_alike(adjoint: Callable[[], AtSolution]) -> None:
    problem, x_tilde = PROBLEMS["weights and radii"](), observation()
    unrolled = ed.Unrolled(problem, 2000, adjoint=adjoint(), output=ed.Last())
    solved = ed.Solved(problem, tol=TIGHT, adjoint=adjoint())
    torch.testing.assert_close(unrolled(x_tilde), solved(x_tilde), rtol=0, atol=1e-8)
    assert torch.equal(solved(x_tilde), torch.no_grad()(solved)(x_tilde))
    if adjoint is not ed.OneStep:  # whose gradient depends on the steps
        assert relative(gradients(solved), gradients(unrolled)) <= 1e-6


def test_learned_weights_of_an_average_have_no_gradient_there() -> None:
    model = ed.Unrolled(
        PROBLEMS["the paper's"](), 200, output=ed.Ergodic("learned"), adjoint=ed.Neumann(50)
    )
    losses(model(observation())).sum().backward()
    assert model.output.logits.grad is None
    assert model.problem.K.matrix.grad.any()


@pytest.mark.parametrize("tol", [None, 1e-10])
@pytest.mark.parametrize("name", ["repeated rows", "rank one", "a column of zeros"])
def test_a_solution_that_is_not_unique_is_told(name: str, tol: float | None) -> None:
    problem = DEGENERATE[name]()
    layer = ed.Solved(problem, tol=tol)
    with pytest.warns(
        ed.NotDifferentiableWarning,
        match=r"no derivative that is known: [12] a singular system .*not unique.*; theirs are",
    ):
        gradients(layer)
    layer.adjoint = ed.Implicit("refuse")
    with pytest.raises(
        ed.ErgodualError, match=r"of 2 samples have no derivative.*leave these samples out"
    ):
        gradients(layer)


KINKS = {
    "soft thresholding": (torch.eye(2, dtype=torch.float64), [[1.0, 3.0]], True),
    "at zero, in K": (torch.ones(1, 1, dtype=torch.float64), [[1.0]], False),
}


@pytest.mark.parametrize("method", [None, ed.ChambollePock(), ed.Restarted(polish=False)])
@pytest.mark.parametrize("name", KINKS)
def test_a_kink_is_told(name: str, method: Any) -> None:
    """x̂ = max(|k| (x̃ − |k|), 0)/|k| for the lasso of one number."""
    K, observed, in_x = KINKS[name]
    layer = ed.Solved(ed.Problem(ed.L1(), ed.SquaredL2(), ed.Dense(K)), method=method)
    x_tilde = torch.tensor(observed, dtype=torch.float64, requires_grad=in_x)
    with pytest.warns(ed.NotDifferentiableWarning):
        layer(x_tilde).sum().backward()
    assert not layer.adjoint.report.regular.any()


@pytest.mark.parametrize("part", ["F", "G"])
def test_a_kink_where_all_is_zero_is_told(part: str) -> None:
    """x̂ = max(b, 0) at b = 0, where there is no size that a rounding could be relative to."""
    terms: dict[str, Any] = {part: ed.NonNegative()}
    layer = ed.Solved(ed.InverseProblem(data=ed.SquaredL2(), **terms))
    b = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    with pytest.warns(ed.NotDifferentiableWarning, match="at a kink"):
        layer(b).sum().backward()
    assert not layer.adjoint.report.regular.any()


@pytest.mark.parametrize("adjoint", [ed.Implicit, ed.Piggyback, lambda: ed.Neumann(3)])
def test_no_samples_have_no_gradient(adjoint: Callable[[], AtSolution]) -> None:
    problem = ed.Problem(ed.L1(parameter(0.3)), ed.Box(radius=parameter(0.2)), ed.Dense(matrix()))
    ed.Solved(problem, adjoint=adjoint())(observation(batch=0)).sum().backward()
    assert not any(p.grad.any() for p in problem.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_active_set_that_has_not_settled_is_told(dtype: torch.dtype) -> None:
    K, x_tilde = matrix(40, 24).detach().to(dtype), observation(batch=12, n=24).to(dtype)
    directions = observation(9, batch=12, n=24).to(dtype)

    def slopes(layer: ed.Solved, i: int) -> torch.Tensor:
        of = layer.problem.K.matrix
        return torch.autograd.grad(
            (layer(x_tilde[i : i + 1].to(of)) * directions[i].to(of)).sum(), of
        )[0]

    exact = ed.Solved(lower_level(K.double()), tol=TIGHT)
    rough = ed.Solved(lower_level(K), tol=3e-3, method=ed.Restarted(polish=False))
    wrong = 0
    for i in range(12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ed.NotDifferentiableWarning)
            off = float((slopes(rough, i) - slopes(exact, i)).norm() / slopes(exact, i).norm())
        wrong += off > 1e-3
        assert off <= 1e-3 or not rough.adjoint.report.settled.any()
    assert wrong  # or the test would say nothing


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_near_silence_has_a_derivative_in_the_operator_alone(dtype: torch.dtype, n: int) -> None:
    """x = 0 is feasible, r = −x̃ on the bound, and it stays so for every K of full rank."""
    eta, x_tilde = 0.25, (0.25 * observation(n=n).sign()).to(dtype)
    layer = ed.Solved(lower_level(matrix(n + 2, n).detach().to(dtype), eta))
    K = layer.problem.K.matrix
    (found,) = torch.autograd.grad(layer(x_tilde).sum(), K)  # and says nothing
    assert layer.adjoint.report.regular.all()
    assert found.abs().max() <= (1e-8 if dtype == torch.float64 else 1e-4)
    with pytest.warns(ed.NotDifferentiableWarning, match="no derivative that is known"):
        torch.autograd.grad(layer(x_tilde.requires_grad_()).sum(), [K, x_tilde])


REDUNDANT = torch.tensor([[-1, 1, 0, 0], [0, 0, -1, 1], [-1, 0, 1, 0], [0, -1, 0, 1]]).double()
"""Differences around a square: whichever three are 0, so is the fourth."""


@pytest.mark.parametrize("solver", [ed.Direct(), ed.Minres()], ids=["Direct", "Minres"])
def test_redundant_rows_leave_a_derivative_in_all_but_the_operator(solver: Any) -> None:
    x = torch.tensor([[0.1, 0.2, 0.3, 0.5]], dtype=torch.float64)
    problem = ed.Problem(ed.L1(parameter(0.3)), ed.SquaredL2(), ed.Dense(REDUNDANT))
    layer = ed.Solved(problem, tol=TIGHT, adjoint=ed.Implicit(solver=solver))
    problem.K.requires_grad_(False)
    inputs = {"x": x.clone().requires_grad_(), "weight": problem.F.weight}
    found = torch.autograd.grad(layer(inputs["x"]).pow(3).sum(), list(inputs.values()))
    assert layer.adjoint.report.regular.all()
    assert not ed.solve(problem, x).r.add(x).diff(dim=1).any()  # all four differences are 0
    slopes = five_point(lambda: ed.solve(problem, x, tol=TIGHT).x.pow(3), {**inputs, "x": x})
    assert relative(dict(zip(inputs, found, strict=True)), slopes) <= 1e-6
    problem.K.requires_grad_()
    with pytest.warns(ed.NotDifferentiableWarning, match="singular system"):
        torch.autograd.grad(layer(x).pow(3).sum(), problem.K.matrix)
    assert not layer.adjoint.report.regular.any()


def test_total_variation_of_images_is_regular() -> None:
    """Groups on an image, a batch at a time, by products alone."""
    x = torch.rand(3, 1, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = parameter(0.1)
    problem = ed.InverseProblem(data=ed.SquaredL2(), F=ed.L21(weight, dim=1), K=ed.Gradient())
    # which of the many y is found, and whether at a bound, is left to the iterations
    layer = ed.Solved(problem, tol=1e-11, method=ed.Restarted(polish=False))
    observed = x.clone().requires_grad_()
    found = torch.autograd.grad(layer(observed).pow(3).sum(), [weight, observed])
    report = layer.adjoint.report
    assert report.regular.all()
    assert (report.residual <= 1e-8).all()
    at = random_like(x, 5)
    h = 1e-5

    def moved(by: float, dx: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            weight.add_(by)
            value = ed.solve(problem, x + dx, tol=1e-11).x.pow(3).sum()
            weight.sub_(by)
        return value

    in_weight = (moved(h, 0 * at) - moved(-h, 0 * at)) / (2 * h)
    in_x = (moved(0.0, h * at) - moved(0.0, -h * at)) / (2 * h)
    assert found[0] == pytest.approx(float(in_weight), rel=1e-4)
    assert (found[1] * at).sum() == pytest.approx(float(in_x), rel=1e-4)


@pytest.mark.parametrize("adjoint", [ed.OneStep, lambda: ed.Neumann(30), ed.Piggyback, ed.Implicit])
def test_each_sample_has_a_gradient_of_its_own(adjoint: Callable[[], AtSolution]) -> None:
    """Which does not depend on what else is in the batch, though steps do on the sample."""
    x = torch.cat([observation(batch=2), 50 * observation(3, batch=2), 0.02 * observation(4)])
    problem = ed.Problem(ed.SquaredL2(0.6), ed.L1(0.7), ed.Dense(matrix()))
    layer = ed.Solved(problem, tol=TIGHT, adjoint=adjoint())

    def gradient(of: torch.Tensor) -> torch.Tensor:
        of = of.clone().requires_grad_()
        return torch.autograd.grad(layer(of).pow(3).sum(), of)[0]

    alone = torch.cat([gradient(x[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(gradient(x), alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("adjoint", [ed.Implicit, ed.Piggyback, lambda: ed.Neumann(400)])
def test_parametrised_weights_are_solved_and_learned(adjoint: Callable[[], AtSolution]) -> None:
    """Whatever samples are left of a batch."""
    x = torch.cat([observation(batch=2), 30 * observation(3, batch=2)])

    def problem(weight: torch.nn.Parameter) -> ed.InverseProblem:
        K = ed.Dense(matrix().detach())
        K.requires_grad_(False)
        return ed.InverseProblem(data=ed.SquaredL2(), F=ed.L1(weight), K=K)

    plain, made = (problem(parameter(0.4)) for _ in range(2))
    parametrize.register_parametrization(made.F, "weight", torch.nn.Softplus(), unsafe=True)
    inner = made.F.parametrizations.weight.original
    with torch.no_grad():
        inner.copy_(plain.F.weight.expm1().log())
    found = []
    for one, leaf in ((plain, plain.F.weight), (made, inner)):
        layer = ed.Solved(one, tol=TIGHT, adjoint=adjoint())
        found.append(torch.autograd.grad(layer(x).pow(3).sum(), leaf)[0])
    torch.testing.assert_close(found[1], found[0] * inner.sigmoid())


def test_a_series_cut_too_early_shows() -> None:
    adjoint = ed.Neumann(2)
    layer = ed.Solved(PROBLEMS["ridge"](), tol=TIGHT, adjoint=adjoint)
    sizes = []
    for adjoint.b in (2, 20, 400):
        gradients(layer)
        sizes.append(float(adjoint.last_term.max()))
    assert sizes[0] > 0.05
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 1e-8


@pytest.mark.parametrize("F", [ed.SquaredL2(0.8), ed.Huber(0.7, 0.4)], ids=["squares", "huber"])
@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-6])
def test_the_bound_of_an_adjoint_iteration_holds_and_says_something(
    tol: float, F: ed.Function
) -> None:
    layer = ed.Solved(ed.Problem(F, ed.SquaredL2(1.7), ed.Dense(matrix())), tol=TIGHT)
    for i, x in enumerate(observation(batch=6).unbind()):
        found = {}
        for adjoint in (ed.Piggyback(tol), ed.Implicit()):
            layer.adjoint = adjoint
            value = losses(layer(x[None]))[0, i % N]
            found[adjoint] = torch.autograd.grad(value, layer.problem.K.matrix)[0]
        rough, exact = found
        assert rough.report.converged.all()
        off, size = (found[rough] - found[exact]).norm(), found[exact].norm()
        assert off <= rough.report.bound + 1e-12
        assert rough.report.bound <= 300 * tol * size


def test_an_adjoint_iteration_guesses_its_error_where_there_is_no_bound() -> None:
    layer = ed.Solved(lower_level(matrix(12, 8)), tol=TIGHT, adjoint=ed.Implicit())
    x = observation(batch=4, n=8)
    exact = torch.autograd.grad(layer(x).pow(3).sum(), layer.problem.K.matrix)[0]
    layer.adjoint = rough = ed.Piggyback(1e-4)
    found = torch.autograd.grad(layer(x).pow(3).sum(), layer.problem.K.matrix)[0]
    assert rough.report.bound.isinf().all()
    off = (found - exact).norm() / exact.norm()
    assert 1e-8 < off <= rough.report.estimate.max() < 0.1


def test_an_adjoint_iteration_without_a_limit_is_told() -> None:
    adjoint = ed.Piggyback(max_iterations=100)
    layer = ed.Solved(DEGENERATE["rank one"](), adjoint=adjoint)
    with pytest.warns(
        ed.NotDifferentiableWarning, match="of 2 samples did not reach 1e-08 within 100 iterations"
    ):
        gradients(layer)
    assert not adjoint.report.converged.all()


def test_a_system_of_any_rank() -> None:
    generator = torch.Generator().manual_seed(0)
    for m, n, rank in ((5, 8, 3), (8, 5, 3), (6, 6, 2), (6, 6, 0), (3, 0, 0), (0, 3, 0)):
        A, b, c = (
            torch.randn(*shape, generator=generator, dtype=torch.float64)
            for shape in ((m, rank), (n,), (m,))
        )
        A = A @ torch.randn(rank, n, generator=generator, dtype=torch.float64)
        M = torch.cat(
            [torch.cat([A.new_zeros(n, n), A.T], 1), torch.cat([-A, A.new_zeros(m, m)], 1)]
        )
        found = torch.cat(least_norm(A, A.new_zeros(n), A.new_zeros(m), b, c))
        torch.testing.assert_close(found, torch.linalg.pinv(M) @ torch.cat([b, c]))


def test_refusals() -> None:
    problem = PROBLEMS["pairs"]()
    with pytest.raises(ed.ErgodualError, match=r"sums over coordinates; take Implicit\(Minres"):
        gradients(ed.Solved(problem, adjoint=ed.Implicit(solver=ed.Direct())))
    large = ed.Solved(
        ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Gradient()),
        adjoint=ed.Implicit(solver=ed.Direct()),
    )
    with pytest.raises(ed.ErgodualError, match="which is 12288 x 4096 here, and takes up to 2048"):
        large(torch.zeros(1, 1, 64, 64, requires_grad=True))
    with pytest.raises(ed.ErgodualError, match="solver is 'cg'; give ed.Direct"):
        ed.Implicit(solver="cg")  # type: ignore[arg-type]
    with pytest.raises(ed.ErgodualError, match="tolerance is 0"):
        ed.Minres(tol=0.0)
    with pytest.raises(ed.ErgodualError, match="number of iterations is 0"):
        ed.Minres(max_iterations=0)
    with pytest.raises(ed.ErgodualError, match="adjoint is Reverse; Solved takes"):
        ed.Solved(problem, adjoint=ed.Reverse())  # type: ignore[arg-type]
    with pytest.raises(ed.ErgodualError, match="adjoint is <class .*Implicit'>; Solved takes"):
        ed.Solved(problem, adjoint=ed.Implicit)
    with pytest.raises(ed.ErgodualError, match="steps is 0"):
        ed.Neumann(0)
    with pytest.raises(ed.ErgodualError, match="Piggyback's tolerance is 0; it must be between"):
        ed.Piggyback(tol=0)
    with pytest.raises(ed.ErgodualError, match="Piggyback's number of iterations is 0.5"):
        ed.Piggyback(max_iterations=0.5)  # type: ignore[arg-type]
    with pytest.raises(ed.ErgodualError, match="otherwise is 'guess'"):
        ed.Implicit("guess")  # type: ignore[arg-type]


def test_a_warm_start_and_another_data_term() -> None:
    layer, x_tilde = ed.Solved(lower_level(matrix()), adjoint=ed.Neumann(10)), observation()
    layer(x_tilde)
    first = layer.solution
    assert first is not None
    layer(x_tilde, start=first)
    assert not layer.solution.iterations.any()
    wide = layer(x_tilde, G=ed.Box(radius=torch.full((len(x_tilde), N), 10.0, dtype=torch.float64)))
    assert wide.abs().max() < 1e-3  # x = 0 is feasible


@pytest.mark.filterwarnings("ignore:.*__array__:DeprecationWarning")  # of its own
def test_agrees_with_cvxpylayers() -> None:
    cvxpy = pytest.importorskip("cvxpy", reason="needs pip install -e '.[oracles]'")
    layers = pytest.importorskip("cvxpylayers.torch", reason="needs pip install -e '.[oracles]'")
    m, n, eta = 8, 5, 0.2
    K, x_tilde = matrix(m, n), observation(batch=3, n=n)
    r, A, b = cvxpy.Variable(n), cvxpy.Parameter((m, n)), cvxpy.Parameter(m)
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.norm1(A @ r + b)), [cvxpy.norm_inf(r) <= eta])
    layer = layers.CvxpyLayer(problem, [A, b], [r])
    (found,) = layer(K, x_tilde @ K.T)
    theirs = torch.autograd.grad((found + x_tilde).pow(3).sum(), K)[0]
    ours = torch.autograd.grad(ed.Solved(lower_level(K, eta), tol=TIGHT)(x_tilde).pow(3).sum(), K)[
        0
    ]
    assert float((ours - theirs).norm() / ours.norm()) <= 1e-4
