"""Modules in the place of proxes: exact derivatives, and nothing to solve."""

from collections.abc import Callable

import pytest
import torch
from cases import OPERATORS, observation, parameter
from differences import five_point, relative
from torch import Tensor, nn

import ergodual as ed

MEMORY = 2


class Memory(nn.Module):
    """Of samples (channels, *rest), M + 1 or more channels to M."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(channels, 3).double(), nn.Linear(3, MEMORY).double()

    def forward(self, z: Tensor) -> Tensor:
        h = self.first(z.movedim(1, -1)).tanh()
        found: Tensor = self.second(h).movedim(-1, 1)
        return z[:, :MEMORY] + found


class Shrinking(nn.Module):
    """Of any sample, with a parameter."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = parameter(scale)

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * z.tanh()


def with_memory(operator: str, adjoint: ed.Tape | ed.Reverse) -> tuple[nn.Module, Tensor]:
    """Three iterations of learned primal-dual, and observations."""
    make, domain = OPERATORS[operator]
    A = make()
    duals = [Memory(MEMORY + 2, k) for k in range(3)]
    primals = [Memory(MEMORY + 1, 10 + k) for k in range(3)]
    steps = ed.StepSizes.fixed(0.3, 0.2, theta=0.0)
    model = ed.LearnedPrimalDual(A, duals, primals, MEMORY, steps, adjoint, domain=domain)
    return model, observation(sample=tuple(A.codomain(torch.Size(domain))))


def plug_and_play(operator: str, adjoint: ed.Tape | ed.Reverse) -> tuple[nn.Module, Tensor]:
    """One module for each prox in all iterations, beside a squared data term, averaged."""
    make, domain = OPERATORS[operator]
    A = make()
    problem = ed.InverseProblem(
        A=A,
        data=ed.SquaredL2(parameter(0.8)),
        F=ed.LearnedProx(Shrinking(0.7)),
        G=ed.LearnedProx(Shrinking(0.9)),
        domain=domain,
    )
    steps = ed.StepSizes.fixed(0.4, 0.3, parameter(0.8))
    model = ed.Unrolled(problem, 3, steps, ed.Ergodic("learned"), adjoint)
    return model, observation(sample=tuple(A.codomain(torch.Size(domain))))


MODELS: dict[str, Callable[[str, ed.Tape | ed.Reverse], tuple[nn.Module, Tensor]]] = {
    "with memory": with_memory,
    "plug and play": plug_and_play,
}
ADJOINTS: dict[str, Callable[[], ed.Reverse]] = {
    "reverse": ed.Reverse,
    "checkpointed": lambda: ed.Checkpointed(2),
}


def gradients(model: nn.Module, b: Tensor) -> dict[str, Tensor]:
    inputs = {"b": b.clone().requires_grad_(), **dict(model.named_parameters())}
    value = model(inputs["b"]).pow(3).sum()
    found = torch.autograd.grad(value, list(inputs.values()), materialize_grads=True)
    return dict(zip(inputs, found, strict=True))


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("operator", ["tall", "user's", "conv, strided", "tomography"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_reverse_sweep_is_the_tape(kind: str, operator: str, adjoint: str) -> None:
    expected = gradients(*MODELS[kind](operator, ed.Tape()))
    assert relative(gradients(*MODELS[kind](operator, ADJOINTS[adjoint]())), expected) < 1e-12


@pytest.mark.parametrize("kind", MODELS)
def test_the_sweep_is_the_differences(kind: str) -> None:
    model, b = MODELS[kind]("tall", ed.Reverse())
    found = gradients(model, b)
    inputs = {"b": b, **dict(model.named_parameters())}
    assert relative(found, five_point(lambda: model(b).pow(3).sum(), inputs)) < 1e-7


def test_it_is_the_algorithm_of_the_paper() -> None:
    model, b = with_memory("tall", ed.Reverse())
    A = OPERATORS["tall"].make()
    y, x = b.new_zeros(len(b), MEMORY, *b.shape[1:]), b.new_zeros(len(b), MEMORY, 3)
    for k in range(3):
        dual, primal = Memory(MEMORY + 2, k), Memory(MEMORY + 1, 10 + k)
        y = dual(torch.cat([y, 0.3 * A(x[:, 1])[:, None], 0.3 * b[:, None]], 1))
        x = primal(torch.cat([x, -0.2 * A.adjoint(y[:, 0])[:, None]], 1))
    torch.testing.assert_close(model(b), x[:, 0], rtol=0, atol=1e-14)


def problem(module: nn.Module | None = None) -> ed.InverseProblem:
    G = ed.LearnedProx(nn.Tanh() if module is None else module)
    return ed.InverseProblem(data=ed.SquaredL2(), G=G)


def learned_steps(adjoint: ed.Tape | ed.Reverse) -> ed.Unrolled:
    steps = ed.StepSizes.fixed(parameter(0.4), parameter(0.3))
    return ed.Unrolled(problem(), 2, steps, adjoint=adjoint)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "solve": (lambda: ed.solve(problem(), observation()), "no function"),
    "solved": (lambda: ed.Solved(problem())(observation()), "no function"),
    "a part": (
        lambda: ed.solve(
            ed.InverseProblem(data=ed.SquaredL2(), F=ed.LearnedProx(nn.Tanh())), observation()
        ),
        "no function",
    ),
    "a rule at the solution": (
        lambda: ed.Unrolled(problem(), 2, adjoint=ed.Neumann(3))(observation()),
        "no function",
    ),
    "value": (lambda: ed.LearnedProx(nn.Tanh()).value(observation()), "no value and no conjugate"),
    "check_function": (
        lambda: ed.check_function(ed.LearnedProx(nn.Tanh()), like=observation()),
        "no value and no conjugate",
    ),
    "no module": (lambda: ed.LearnedProx(torch.tanh), "give a module"),  # type: ignore[arg-type]
    "a function": (lambda: ed.LearnedProx(ed.L1()), "F or G itself"),
    "another shape": (
        lambda: ed.Unrolled(problem(nn.Linear(3, 2).double()), 2)(observation()),
        "must keep the shape",
    ),
    "dropout": (lambda: ed.Unrolled(problem(nn.Dropout()), 2)(observation()), "a Dropout, which"),
    "learned steps": (lambda: learned_steps(ed.Reverse())(observation()), "sigma and tau are"),
    "other counts": (lambda: ed.LearnedPrimalDual(ed.Identity(), [nn.Tanh()], []), "1 modules for"),
    "none": (lambda: ed.LearnedPrimalDual(ed.Identity(), [], []), "holds nothing"),
    "no memory": (
        lambda: ed.LearnedPrimalDual(ed.Identity(), [nn.Tanh()], [nn.Tanh()], memory=0),
        "of 0 channels",
    ),
    "other channels": (
        lambda: ed.LearnedPrimalDual(ed.Identity(), [nn.Tanh()], [nn.Tanh()])(observation()),
        "must make 5 channels",
    ),
    "no operator": (
        lambda: ed.LearnedPrimalDual(torch.eye(3), [nn.Tanh()], [nn.Tanh()]),  # type: ignore[arg-type]
        "must be an operator",
    ),
    "observations": (
        lambda: with_memory("tall", ed.Reverse())[0](torch.zeros(2, 3).double()),
        "of that shape",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused(what: str) -> None:
    call, said = REFUSED[what]
    with pytest.raises(ed.ErgodualError, match=said):
        call()


def test_the_tape_learns_steps_and_takes_dropout() -> None:
    model, x = learned_steps(ed.Tape()), observation()
    inputs = {"b": x, **dict(model.named_parameters())}
    expected = five_point(lambda: model(x).pow(3).sum(), inputs)
    assert relative(gradients(model, x), expected) < 1e-7
    ed.Unrolled(problem(nn.Dropout()), 2, adjoint=ed.Tape())(x)
    ed.Unrolled(problem(nn.Dropout().eval()), 2)(x)
