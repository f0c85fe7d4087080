"""Energies: weak duality always, and a gap that closes at a solution."""

import pytest
import torch
from cases import PROBLEMS, M, Slow, observation

import ergodual as ed
from ergodual.primal_dual.tape import unroll

VALUED = [
    name for name in PROBLEMS if name != "user's function"
]  # that one gives no conjugate's value


@pytest.mark.parametrize("name", VALUED)
def test_weak_duality(name: str) -> None:
    problem, x_tilde = PROBLEMS[name](), observation()
    with torch.no_grad():
        for seed in range(50):
            r = problem.G.prox(observation(seed + 50), 1.0)
            y = problem.F.prox_conjugate(observation(seed, n=problem.K.m), 1.0)
            assert (problem.gap(r, y, x_tilde) >= -1e-14).all()


@pytest.mark.parametrize(
    "name", [name for name in VALUED if name != "dantzig"]
)  # its F is ∞ just beside the solution
def test_the_iteration_minimises(name: str) -> None:
    problem, x_tilde = PROBLEMS[name](), observation()
    with torch.no_grad():
        r = (
            unroll(problem, x_tilde, ed.StepSizes.balanced()(problem.K, 4000), ed.Last()(4000))
            - x_tilde
        )
        r = problem.G.prox(r, 1e-9)  # x̃ + r − x̃ may leave the box by a rounding
        best = problem.primal(r, x_tilde)
        for seed in range(50):
            nearby = problem.G.prox(r + 0.05 * observation(seed), 1e-9)
            assert (problem.primal(nearby, x_tilde) >= best - 1e-6).all()


def test_an_operator_without_tensors_is_refused() -> None:
    class Bare(Slow):
        def tensors(self) -> tuple[torch.Tensor, ...]:
            return ()

    with pytest.raises(ed.ErgodualError, match=r"Bare.tensors\(\) is empty"):
        ed.Problem(ed.L1(), ed.Box(radius=0.1), Bare())


def test_gap_of_the_papers_problem_is_the_formula() -> None:
    problem, x_tilde, eta = PROBLEMS["the paper's"](), observation(), 0.15
    r, y = observation(1).clamp(-eta, eta), observation(2, n=M).clamp(-1, 1)
    K = problem.K
    formula = (
        K(x_tilde + r).abs().sum(1) - (K(x_tilde) * y).sum(1) + eta * K.adjoint(y).abs().sum(1)
    )
    torch.testing.assert_close(problem.gap(r, y, x_tilde), formula)
    assert (formula >= 0).all()
