"""Least squares behind a mask, which solve takes by their prox, against the stack of A and K."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import observation, parameter
from torch import Tensor

import ergodual as ed
from ergodual.solving.solve import solve_instance

double = torch.float64
SHAPE = (6, 7)


def mask(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(3)) < 0.6).to(double)


def blur(side: float, boundary: Any = "circular") -> ed.Blur:
    return ed.Blur(torch.tensor([side, 1 - 2 * side, side], dtype=double), boundary)


BY_PROX: dict[str, tuple[Callable[[], ed.Operator], tuple[int, ...]]] = {
    "a mask": (lambda: ed.Diagonal(mask(*SHAPE)), SHAPE),
    "weights": (lambda: ed.Diagonal(0.5 + mask(*SHAPE)), SHAPE),
    "fourier": (lambda: ed.Fourier(mask(*SHAPE)), (2, *SHAPE)),
    "fourier of reals": (lambda: ed.Fourier(mask(*SHAPE), real=True), SHAPE),
    "a mild blur": (lambda: blur(0.1), SHAPE),
}


def posed(name: str, weight: Any = 10.0, strength: Any = 0.1) -> tuple[ed.InverseProblem, Tensor]:
    make, domain = BY_PROX[name]
    A, x = make(), 1 + observation(5, sample=domain)
    F, K = ed.L21(strength, dim=1), ed.Gradient(axes=(-2, -1))
    problem = ed.InverseProblem(A=A, data=ed.SquaredL2(weight), F=F, K=K, domain=domain)
    return problem, A(x) + 0.1 * observation(6, sample=tuple(A.codomain(torch.Size(domain))))


@pytest.mark.parametrize("name", BY_PROX)
def test_it_is_the_same_problem(name: str) -> None:
    problem, b = posed(name)
    one, stack = problem.to_solve(b), problem.instance(b)
    assert isinstance(one.G, ed.Quadratic)
    found = ed.solve(problem, b, tol=1e-8)
    stacked = solve_instance(stack, 1e-8, None, 100_000, None, None)
    assert found.converged.all()
    torch.testing.assert_close(stack.primal(found.r), stack.primal(stacked.r), rtol=1e-7, atol=0)
    torch.testing.assert_close(one.primal(found.r), stack.primal(found.r))
    # a certificate of what is solved
    gap = found.gap / one.primal(found.r)
    assert (gap < 1e-5).all()
    assert (one.gap(found.r, found.certificate) >= -1e-12).all()
    again = ed.solve(problem, b, tol=1e-8, start=found)
    assert again.iterations.max() <= 32


@pytest.mark.parametrize("name", BY_PROX)
@pytest.mark.parametrize("adjoint", [ed.Implicit, lambda: ed.Piggyback(1e-8)])
def test_derivatives_are_those_of_the_stack(
    name: str, adjoint: Callable[[], ed.Implicit | ed.Piggyback]
) -> None:
    slopes = []
    # a weight that is learned stays in the stack
    for weight in (10.0, parameter(10.0)):
        strength = parameter(0.1)
        problem, b = posed(name, weight, strength)
        b.requires_grad_()
        assert isinstance(problem.to_solve(b).G, ed.Quadratic) == isinstance(weight, float)
        x = ed.Solved(problem, tol=1e-12, adjoint=adjoint())(b)
        slopes.append(torch.autograd.grad(x.pow(3).sum(), [strength, b]))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


F: dict[str, Any] = {"F": ed.L1(0.1), "data": ed.SquaredL2()}
IN_THE_STACK: dict[str, Callable[[], ed.InverseProblem]] = {
    "a strong blur": lambda: ed.InverseProblem(A=blur(0.25), **F),
    "a blur with zeros outside": lambda: ed.InverseProblem(A=blur(0.1, "zero"), **F),
    "a learned mask": lambda: ed.InverseProblem(A=ed.Diagonal(parameter(1.0)), **F),
    "x >= 0": lambda: ed.InverseProblem(A=ed.Diagonal(mask(7)), **F, G=ed.NonNegative()),
    "weights of coordinates": lambda: ed.InverseProblem(
        A=ed.Diagonal(mask(7)), **{**F, "data": ed.SquaredL2(1 + mask(7))}
    ),
    "another data term": lambda: ed.InverseProblem(
        A=ed.Diagonal(mask(7)), **{**F, "data": ed.L1()}
    ),
    "no regulariser": lambda: ed.InverseProblem(A=ed.Diagonal(mask(7)), data=ed.SquaredL2()),
    "a matrix": lambda: ed.InverseProblem(A=ed.Dense(mask(7, 7)), **F),
}


@pytest.mark.parametrize("name", IN_THE_STACK)
def test_what_stays_in_the_stack(name: str) -> None:
    one = IN_THE_STACK[name]().to_solve(observation(3, n=7))
    assert isinstance(one.F, ed.SeparableSum)
    assert not isinstance(one.G, ed.Quadratic)


def test_networks_keep_the_stack() -> None:
    problem, b = posed("a mask")
    stacked, _ = posed("a mask", parameter(10.0))
    assert torch.equal(ed.Unrolled(problem, 3)(b), ed.Unrolled(stacked, 3)(b))


@pytest.mark.parametrize("name", ["a mask", "fourier of reals"])
def test_much_weight_on_the_data_in_single_precision(name: str) -> None:
    """Where the residual of the stack is small far from the solution."""
    problem, b = posed(name, 1e5)
    found, exact = ed.solve(problem.float(), b.float()), ed.solve(problem.double(), b)
    assert found.converged.all()
    objective = problem.double().instance(b).primal
    torch.testing.assert_close(objective(found.r.double()), objective(exact.r), rtol=1e-3, atol=0)


def test_observations_that_are_no_numbers_or_none() -> None:
    problem, b = posed("a mask")
    assert ed.solve(problem, b[:0]).x.shape == (0, *SHAPE)
    with pytest.raises(ed.ErgodualError, match="convert one of them"):
        ed.solve(problem, b.float())
    with pytest.raises(ed.ErgodualError, match="give a torch tensor"):
        ed.solve(problem, b.tolist())  # type: ignore[arg-type]
    b[1, 0, 0] = torch.nan
    with pytest.raises(ed.ErgodualError, match="Sample 1 of the observations"):
        ed.solve(problem, b)
