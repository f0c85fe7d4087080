"""Nothing is computed in another type than that of the tensors, whatever torch.autocast says."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import OPERATORS, observation, parameter
from torch import Tensor

import ergodual as ed

Layer = ed.Unrolled | ed.Solved
LAYERS: dict[str, Callable[[ed.Problem], Layer]] = {
    "reverse": lambda p: ed.Unrolled(p, 5),
    "checkpointed": lambda p: ed.Unrolled(p, 5, adjoint=ed.Checkpointed(2)),
    "truncated": lambda p: ed.Unrolled(p, 5, adjoint=ed.Truncated(2)),
    "neumann": lambda p: ed.Unrolled(p, 5, adjoint=ed.Neumann(3)),
    "direct": lambda p: ed.Solved(p),
    "minres": lambda p: ed.Solved(p, adjoint=ed.Implicit(solver=ed.Minres())),
    "piggyback": lambda p: ed.Solved(p, adjoint=ed.Piggyback(0.1)),
    "one step": lambda p: ed.Solved(p, adjoint=ed.OneStep()),
}


def autocast(enabled: bool = True) -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled)


def posed(operator: str) -> tuple[ed.Problem, Tensor]:
    make, domain = OPERATORS[operator]
    problem = ed.Problem(ed.L1(parameter(0.3)), ed.SquaredL2(parameter(1.5)), make())
    return problem.float(), observation(3, sample=domain).float()


def gradients(model: Layer, x: Tensor, forward: bool, backward: bool) -> list[Tensor]:
    inputs = [x.clone().requires_grad_(), *(p for p in model.parameters() if p.requires_grad)]
    with autocast(forward):
        x_hat = model(inputs[0])
    assert x_hat.dtype == torch.float32
    loss = x_hat.square().sum()
    with autocast(backward):
        found = torch.autograd.grad(loss, inputs, materialize_grads=True, allow_unused=True)
    return [x_hat.detach(), *found]


@pytest.mark.filterwarnings("ignore::ergodual.errors.NotDifferentiableWarning")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("operator", OPERATORS)
def test_neither_pass_is_cast(operator: str, layer: str) -> None:
    problem, x = posed(operator)
    model = LAYERS[layer](problem)
    right = gradients(model, x, forward=False, backward=False)
    for forward, backward in ((True, False), (False, True), (True, True)):
        for ours, theirs in zip(gradients(model, x, forward, backward), right, strict=True):
            assert torch.equal(ours, theirs)


def gap(problem: ed.Problem, x: Tensor) -> Tensor:
    one = problem.instance(x).detached()
    return one.gap(0.1 * x, 0.1 * one.constant()).detach()


MADE: dict[str, Callable[[ed.Problem, Tensor], Tensor]] = {
    "solve": lambda p, x: ed.solve(p, x).x,
    "gap": gap,
    "K": lambda p, x: p.K(x).detach(),
}


@pytest.mark.parametrize("name", MADE)
def test_nor_is_anything_else(name: str) -> None:
    problem, x = posed("conv")
    with autocast():
        ed.check_operator(problem.K, x)
        ed.check_function(problem.F, x)
        cast = MADE[name](problem, x)
    assert torch.equal(cast, MADE[name](problem, x))


REFUSED: dict[str, Callable[[ed.Problem, Tensor], Tensor]] = {
    "the tape": lambda p, x: ed.Unrolled(p, 3, adjoint=ed.Tape())(x),
    "a norm": lambda p, x: ed.Unrolled(p, 3, ed.StepSizes.balanced(differentiate_norm=True))(x),
    "second derivatives": lambda p, x: torch.autograd.grad(
        ed.Unrolled(p, 3)(x).pow(3).sum(), [x], create_graph=True
    )[0],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_would_cast_is_refused_in_a_sentence(name: str) -> None:
    problem, x = posed("tall")
    value = REFUSED[name](problem, x.requires_grad_()).square().sum()
    with autocast(), pytest.raises(ed.ErgodualError, match=r"under torch\.autocast"):
        value.backward(retain_graph=True)
    value.backward()
    transform = torch.func.grad(lambda s: ed.Unrolled(problem, 3)(s).sum())
    with autocast(), pytest.raises(ed.ErgodualError, match=r"Under torch\.autocast"):
        transform(x.detach())
