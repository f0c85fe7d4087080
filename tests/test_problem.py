"""Energies: weak duality always, a gap that closes at a solution, and what a problem refuses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cases import BATCH, PROBLEMS, M, N, matrix, observation

import ergodual as ed
from ergodual.primal_dual.tape import unroll

VALUED = [name for name in PROBLEMS if name != "user's function"]  # which has no conjugate


@pytest.mark.parametrize("name", VALUED)
def test_weak_duality(name: str) -> None:
    one = PROBLEMS[name]().instance(observation())
    with torch.no_grad():
        for seed in range(50):
            r = one.G.prox(observation(seed + 50), 1.0)
            y = one.F.prox_conjugate(observation(seed, sample=tuple(one.codomain)), 1.0)
            assert (one.gap(r, y) >= -1e-14).all()


# that of "dantzig" has an F that is ∞ just beside the solution
@pytest.mark.parametrize("name", [name for name in VALUED if name != "dantzig"])
def test_the_iteration_minimises(name: str) -> None:
    one = PROBLEMS[name]().instance(observation())
    with torch.no_grad():
        steps = ed.StepSizes.balanced()(one.K, 4000, like=observation())
        r = unroll([one] * 4000, steps, ed.Last()(4000)) - observation()
        r = one.G.prox(r, 1e-9)  # x̃ + r − x̃ may leave the box by a rounding
        best = one.primal(r)
        for seed in range(50):
            nearby = one.G.prox(r + 0.05 * observation(seed), 1e-9)
            assert (one.primal(nearby) >= best - 1e-6).all()


def test_gap_of_the_papers_problem_is_the_formula() -> None:
    problem, x_tilde, eta = PROBLEMS["the paper's"](), observation(), 0.15
    r, y = observation(1).clamp(-eta, eta), observation(2, n=M).clamp(-1, 1)
    K = problem.K
    formula = (
        K(x_tilde + r).abs().sum(1) - (K(x_tilde) * y).sum(1) + eta * K.adjoint(y).abs().sum(1)
    )
    torch.testing.assert_close(problem.instance(x_tilde).gap(r, y), formula)
    assert (formula >= 0).all()


def test_an_inverse_problem_is_its_formula() -> None:
    A, K, b, x = ed.Dense(matrix(2, N)), ed.Dense(matrix()), observation(3, n=2), observation(4)
    problem = ed.InverseProblem(A=A, data=ed.SquaredL2(3.0), F=ed.L1(0.2), K=K, G=ed.Zero())
    formula = 1.5 * (A(x) - b).square().sum(1) + 0.2 * K(x).abs().sum(1)
    torch.testing.assert_close(problem.instance(b).primal(x), formula)


@pytest.mark.parametrize("data", [ed.SquaredL2(3.0), ed.L1(), ed.Box(radius=0.1)])
def test_without_an_operator_the_data_term_is_a_prox(data: ed.Function) -> None:
    F, K, b = ed.L1(0.2), ed.Dense(matrix()), observation(3)
    ours = ed.InverseProblem(data=data, F=F, K=K)
    x = ed.Unrolled(ours, 5)(b)
    torch.testing.assert_close(x, ed.Unrolled(ed.Problem(F=F, G=data, K=K), 5)(b))
    stacked = ed.InverseProblem(data=data, F=F, K=K, G=ed.Box(radius=1e3))
    torch.testing.assert_close(ed.solve(ours, b, 1e-9).x, ed.solve(stacked, b, 1e-9).x)


def test_data_that_exclude_the_observation_stay_in_the_stack() -> None:
    data = ed.Box(lower=0.5, upper=1.0)
    b = observation(3)
    found = ed.solve(ed.InverseProblem(data=data, F=ed.L1(), K=ed.Dense(matrix())), b, 1e-9)
    assert (found.x - b).min() > 0.5 - 1e-8


def paper(**terms: object) -> ed.Problem:
    return ed.Problem(**{"F": ed.L1(), "G": ed.Box(radius=0.1), "K": ed.Dense(matrix()), **terms})  # type: ignore[arg-type]


def inverse(**terms: object) -> ed.InverseProblem:
    given = {"A": ed.Dense(matrix(2, N)), "data": ed.SquaredL2(), "F": ed.L1(), **terms}
    return ed.InverseProblem(**given)  # type: ignore[arg-type]


def poses(problem: ed.Problem | ed.InverseProblem, *shape: int) -> Callable[[], object]:
    return lambda: problem.instance(torch.zeros(BATCH, *shape, dtype=torch.float64))


def strided() -> ed.Conv:
    return ed.Conv(torch.ones(2, 1, 4, dtype=torch.float64), stride=3, padding="none")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: paper(F=ed.Dense(matrix())), "F is Dense; it must be a function"),
        (lambda: paper(K=ed.L1), "K is L1; it must be an operator"),
        (lambda: paper(G=ed.Box(lower=0.5, upper=1.0)), "lower <= 0 <= upper"),
        (lambda: inverse(F=None, K=ed.Identity()), "K without F"),
        (poses(paper(), N + 1), r"shape \(4,\); this Dense operator takes \(3,\)"),
        (poses(paper()), "add the batch with"),
        (lambda: paper().instance(torch.zeros(2, N)), "convert one of them"),
        (lambda: paper().instance(torch.zeros(2, N, dtype=torch.int64)), "floating-point numbers"),
        (lambda: paper().instance(torch.zeros(2, N, dtype=torch.complex64)), "real and imaginary"),
        (lambda: paper().instance(np.zeros((2, N))), "ndarray; give a torch tensor"),  # type: ignore[arg-type]
        (poses(paper(F=ed.L1(torch.ones(5, 1).double())), N), "L1's weight has shape"),
        (poses(paper(G=ed.Box(radius=torch.ones(3, 1).double())), N), "does not fit 2 samples"),
        (poses(paper(F=ed.SeparableSum(ed.L1(), ed.L1())), N), "meets no stack"),
        (
            poses(
                paper(
                    F=ed.SeparableSum(ed.L1()),
                    K=ed.Stack(ed.Dense(matrix()), ed.Dense(matrix())),
                ),
                N,
            ),
            "1 functions meets a stack of 2",
        ),
        (poses(paper(K=ed.Stack(ed.Identity(), ed.Dense(matrix()))), 4), r"takes \(3,\)"),
        (poses(inverse(A=strided(), F=ed.L1()), 2, 3), "give domain="),
        (poses(inverse(A=strided(), F=ed.L1(), domain=(1, 20)), 2, 3), "another domain="),
        (poses(inverse(), 3), "give observations of that shape"),
    ],
)
def test_refusals(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()


class Missing(ed.Function):
    """A user's function that gives nothing."""


class Silent(ed.Operator):
    """A user's operator whose products are wrong in a way of this name."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.k = how, matrix()

    def forward(self, x: torch.Tensor) -> Any:
        return x.detach().numpy() if self.how == "numpy" else x @ self.k.T

    def adjoint(self, y: torch.Tensor, *domain: Any) -> Any:
        if self.how == "no domain":
            raise TypeError("it takes 2 positional arguments but 3 were given")
        return None if self.how == "no adjoint" else y @ self.k

    def gradients(self, dual: torch.Tensor, primal: torch.Tensor) -> Any:
        found = dual.T @ primal
        of = {"a tensor": found, "none": None, "too few": (), "transposed": (found.T,)}
        return of.get(self.how, [found])


SAID = {
    "numpy": "Silent gives a ndarray; let its forward and adjoint return tensors",
    "no adjoint": "Silent gives a NoneType",
    "no domain": r"it takes a dual variable and the shape .* adjoint\(y, domain\)",
    "a tensor": "Silent.gradients gives a tensor of shape",
    "none": "Silent.gradients gives a NoneType",
    "too few": "Silent.gradients gives a tuple of 0",
    "transposed": "gives a gradient of shape .* in the order of tensors",
}


@pytest.mark.parametrize("how", SAID)
def test_a_users_operator_that_is_wrong_is_named(how: str) -> None:
    model = ed.Unrolled(ed.Problem(ed.L1(0.1), ed.Box(radius=0.1), Silent(how)), 3)
    with pytest.raises(ed.ErgodualError, match=SAID[how]):
        model(observation()).square().sum().backward()


def test_a_list_of_gradients_is_as_good_as_a_tuple() -> None:
    grads, steps = [], ed.StepSizes.fixed(0.1, 0.1)
    for K in (Silent("a list"), ed.Dense(matrix())):
        model = ed.Unrolled(ed.Problem(ed.L1(0.1), ed.Box(radius=0.1), K), 3, steps)
        model(observation()).square().sum().backward()
        grads.append(next(K.parameters()).grad)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("place", ["F", "G"])
def test_a_users_function_without_a_prox_is_named(place: str) -> None:
    f, other = Missing(), ed.L1()
    F, G = (f, other) if place == "F" else (other, f)
    problem = ed.Problem(F, G, ed.Dense(matrix()))
    for call in (lambda: ed.Unrolled(problem, 3)(observation()), lambda: solve(problem)):
        with pytest.raises(ed.ErgodualError, match=r"Missing gives no prox\(z, step\)"):
            call()


def solve(problem: ed.Problem) -> None:
    ed.solve(problem, observation())


def depth_of(steps: ed.StepSizes | None, output: ed.Ergodic | None, depth: Any) -> torch.Tensor:
    model = ed.Unrolled(
        ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Dense(matrix())), 4, steps, output
    )
    model.depth = depth
    x_hat: torch.Tensor = model(observation())
    return x_hat


@pytest.mark.parametrize("depth", [2, 6])
def test_the_depth_may_be_changed_where_nothing_is_of_each_iteration(depth: int) -> None:
    problem = ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Dense(matrix()))
    expected = ed.Unrolled(problem, depth)(observation())
    torch.testing.assert_close(depth_of(None, None, depth), expected)
    for steps, output in (
        (None, ed.Ergodic("learned")),
        (ed.StepSizes.learned(per_iteration=True), None),
        (ed.StepSizes.fixed(torch.full((4,), 0.1), 0.1), None),
    ):
        with pytest.raises(ed.ErgodualError, match="iteration"):
            depth_of(steps, output, depth)
    for wrong in (0, -1, 2.5):
        with pytest.raises(ed.ErgodualError, match="a whole number, at least 1"):
            depth_of(None, None, wrong)
    listed = ed.Unrolled([problem] * 4)
    with pytest.raises(ed.ErgodualError, match="a problem for each of 4 iterations"):
        listed.depth = depth
    assert listed.depth == 4


def test_a_model_shows_its_depth_and_weights() -> None:
    problem = ed.Problem(ed.L1(0.3), ed.Box(radius=0.1), ed.Dense(matrix()))
    shown = repr(ed.Unrolled(problem, 4, output=ed.Ergodic("uniform"), adjoint=ed.Truncated(2)))
    for text in ("depth=4", "Truncated", "weight=0.3", "radius=0.1", "matrix=(", "'uniform'"):
        assert text in shown
