"""Operators whose way back is not their adjoint: exact derivatives, and nothing to solve."""

import warnings
from collections.abc import Callable

import pytest
import torch
from cases import BATCH, FUNCTIONS, OPERATORS, M, N, matrix, observation, parameter
from differences import five_point, relative
from torch import nn

import ergodual as ed

PAIRS = ["tall", "user's", "conv", "conv, strided", "stack"]
ADJOINTS: dict[str, Callable[[], ed.Tape | ed.Reverse]] = {
    "reverse": ed.Reverse,
    "checkpointed": lambda: ed.Checkpointed(2),
}


OTHER_STEPS: dict[str, Callable[[ed.StepSizes], ed.StepSizes]] = {
    "relaxed": lambda steps: ed.Relaxed(steps, parameter(1.3)),
    "by coordinate": lambda _: ed.StepSizes.fixed(
        nn.Parameter(0.3 + 0.1 * torch.rand(1, M).double()),
        nn.Parameter(0.3 + 0.1 * torch.rand(1, N).double()),
    ),
}


def network(
    operator: str, tied: bool, adjoint: ed.Tape | ed.Reverse
) -> tuple[ed.Unrolled, torch.Tensor]:
    """Three layers, with one pair or a pair of each one's own, and an observation."""
    make, domain = OPERATORS[operator]
    problems = [
        ed.Problem(
            FUNCTIONS["l1 weighted"](), ed.Box(radius=0.4), ed.Unmatched(make(k), make(k + 1))
        )
        for k in ((3, 3, 3) if tied else (3, 5, 7))
    ]
    steps = ed.StepSizes.fixed(parameter(0.4), parameter(0.3), parameter(0.8))
    given = (problems[0], 3) if tied else (problems, None)
    model = ed.Unrolled(*given, steps, ed.Ergodic("learned"), adjoint)
    return model, observation(sample=domain)


def gradients(model: ed.Unrolled, x: torch.Tensor) -> dict[str, torch.Tensor]:
    inputs = {"x": x.clone().requires_grad_(), **dict(model.named_parameters())}
    value = model(inputs["x"]).pow(3).sum()
    found = torch.autograd.grad(value, list(inputs.values()), materialize_grads=True)
    return dict(zip(inputs, found, strict=True))


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("operator", PAIRS)
def test_the_reverse_sweep_is_the_tape(operator: str, tied: bool, adjoint: str) -> None:
    torch.manual_seed(0)
    model, x = network(operator, tied, ed.Tape())
    expected = gradients(model, x)
    model.adjoint = ADJOINTS[adjoint]()
    assert relative(gradients(model, x), expected) < 1e-12


def test_the_tape_is_the_differences() -> None:
    model, x = network("tall", False, ed.Tape())
    inputs = {"x": x, **dict(model.named_parameters())}
    expected = five_point(lambda: model(x).pow(3).sum(), inputs)
    assert relative(gradients(model, x), expected) < 1e-7


@pytest.mark.parametrize("steps", OTHER_STEPS)
def test_the_reverse_sweep_is_the_tape_with_other_steps(steps: str) -> None:
    torch.manual_seed(0)
    model, x = network("tall", False, ed.Tape())
    model.steps = OTHER_STEPS[steps](model.steps)
    expected = gradients(model, x)
    model.adjoint = ed.Reverse()
    assert relative(gradients(model, x), expected) < 1e-12


def test_no_steps_are_safe_and_none_are_warned_of() -> None:
    problem = ed.Problem(ed.L1(), ed.Box(radius=0.2), pair())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ed.Unrolled(problem, 3, ed.StepSizes.fixed(1e3, 1e3))(observation())


def test_with_one_operator_it_is_that_one() -> None:
    K = ed.Dense(matrix())
    x = observation()
    outputs = [
        ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.2), one), 4)(x)
        for one in (K, ed.Unmatched(K, K))
    ]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-15)


def pair() -> ed.Unmatched:
    return ed.Unmatched(ed.Dense(matrix(seed=3)), ed.Dense(matrix(seed=4)))


REFUSED = {
    "solve": lambda problem, x: ed.solve(problem, x),
    "solved": lambda problem, x: ed.Solved(problem)(x),
    "a gap": lambda problem, x: problem.instance(x).gap(x, torch.zeros(BATCH, 4).double()),
    "implicit": lambda problem, x: ed.Unrolled(problem, 3, adjoint=ed.Implicit())(x),
    "piggyback": lambda problem, x: ed.Unrolled(problem, 3, adjoint=ed.Piggyback())(x),
    "neumann": lambda problem, x: ed.Unrolled(problem, 3, adjoint=ed.Neumann(2))(x),
    "one step": lambda problem, x: ed.Unrolled(problem, 3, adjoint=ed.OneStep())(x),
    "preconditioned": lambda problem, x: ed.Unrolled(problem, 3, ed.Preconditioned())(x),
}


@pytest.mark.parametrize("what", REFUSED)
def test_nothing_is_solved(what: str) -> None:
    problem = ed.Problem(ed.L1(), ed.Box(radius=0.2), pair())
    with pytest.raises(ed.ErgodualError, match="Unmatched: its way back is not its adjoint"):
        REFUSED[what](problem, observation())


def test_in_a_stack_it_takes_the_tape() -> None:
    problem = ed.InverseProblem(data=ed.SquaredL2(), F=ed.L1(0.1), K=pair(), G=ed.NonNegative())
    with pytest.raises(ed.ErgodualError, match="adjoint=ed.Tape"):
        ed.Unrolled(problem, 2)(observation())
    model = ed.Unrolled(problem, 2, adjoint=ed.Tape())
    model(observation()).sum().backward()
    assert all(p.grad is not None for p in problem.K.parameters())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ed.ErgodualError, match="Unmatched got a Tensor"):
        ed.Unmatched(torch.eye(3), ed.Identity())
    K = ed.Unmatched(ed.Dense(matrix()), ed.Dense(matrix(2)))
    with pytest.raises(ed.ErgodualError, match="must agree"):
        ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.2), K), 2)(observation())
