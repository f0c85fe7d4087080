"""torch.func's transforms, batched gradients and forward mode, against torch.autograd."""

from collections.abc import Callable

import pytest
import torch
from cases import BATCH, FUNCTIONS, OPERATORS, observation
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

import ergodual as ed

# torch's forward mode makes use of what torch deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

ADJOINTS: dict[str, Callable[[], ed.Adjoint]] = {
    "reverse": ed.Reverse,
    "checkpointed": lambda: ed.Checkpointed(2),
    "tape": ed.Tape,
}
WITH_ROWS = ("per sample", "l21 along the last", "box bounds", "box half open", "ball", "maximum")
"""Functions with a parameter for each of so many samples, which vmap takes one by one."""
PAIRS = [
    *((operator, "l1 weighted") for operator in OPERATORS if operator != "stack"),
    *(("tall", name) for name in FUNCTIONS if not name.endswith(WITH_ROWS)),
]


def model_of(operator: str, function: str, adjoint: ed.Adjoint | None) -> ed.Unrolled:
    make, domain = OPERATORS[operator]
    K = make()
    F = FUNCTIONS[function](tuple(K.codomain(torch.Size(domain))))
    problem = ed.Problem(F, ed.SquaredL2(1.5), K)
    return ed.Unrolled(problem, 3, ed.StepSizes.weighted(0.7), ed.Ergodic(), adjoint)


def loss(model: ed.Unrolled, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    found: Tensor = functional_call(model, parameters, (x,))  # type: ignore[no-untyped-call]
    return (found - 0.1).square().sum() + found.pow(3).sum() / 7


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize(("operator", "function"), PAIRS)
def test_every_transform_gives_what_autograd_gives(
    operator: str, function: str, adjoint: str
) -> None:
    model, x = model_of(operator, function, ADJOINTS[adjoint]()), observed(operator)
    held = {name: p.detach() for name, p in model.named_parameters()}
    for one in range(BATCH):
        # autograd of a plain call is held against differences elsewhere
        model.zero_grad()
        loss(model, dict(model.named_parameters()), x[one : one + 1]).backward()
        mine = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in named(model)}
        theirs = grad(lambda p, s: loss(model, p, s))(held, x[one : one + 1])
        assert all(torch.allclose(theirs[n], mine[n], atol=1e-12) for n in mine)
        per_sample = vmap(grad(lambda p, s: loss(model, p, s[None])), (None, 0))(held, x)
        assert all(torch.allclose(per_sample[n][one], mine[n], atol=1e-12) for n in mine)
    jacobian = torch.autograd.functional.jacobian(model, x)
    assert torch.allclose(jacrev(model)(x), jacobian, atol=1e-12)
    assert torch.allclose(jacfwd(model)(x), jacobian, atol=1e-12)
    v = torch.ones_like(x)
    along = torch.tensordot(jacobian, v, x.ndim)
    assert torch.allclose(jvp(model, (x,), (v,))[1], along, atol=1e-12)
    with forward_ad.dual_level(), torch.no_grad():
        assert torch.allclose(
            forward_ad.unpack_dual(model(forward_ad.make_dual(x, v))).tangent, along, atol=1e-12
        )


def named(model: ed.Unrolled) -> list[tuple[str, Tensor]]:
    return list(model.named_parameters())


def observed(operator: str) -> Tensor:
    return observation(3, sample=OPERATORS[operator][1]).detach()


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_batched_gradients_and_second_derivatives(adjoint: str) -> None:
    model, x = model_of("tall", "l1 weighted", ADJOINTS[adjoint]()), observed("tall")
    at_once = torch.autograd.functional.jacobian(model, x, vectorize=True)
    assert torch.allclose(at_once, torch.autograd.functional.jacobian(model, x), atol=1e-12)
    smooth = model_of("tall", "squared", ADJOINTS[adjoint]())
    of = torch.autograd.functional.hessian(lambda s: loss(smooth, {}, s), x)
    assert torch.allclose(hessian(lambda s: loss(smooth, {}, s))(x), of, atol=1e-12)


def test_what_a_transform_saw_is_forgotten() -> None:
    model, x = model_of("tall", "l1 weighted", ed.Reverse()), observed("tall")
    held = {name: 1.3 * p.detach() for name, p in model.named_parameters()}
    before = model(x)
    grad(lambda p: loss(model, p, x))(held)
    assert torch.equal(model(x), before)


REFUSED: dict[str, Callable[[ed.Problem], torch.nn.Module]] = {
    "Truncated": lambda p: ed.Unrolled(p, 3, adjoint=ed.Truncated(2)),
    "Implicit": lambda p: ed.Unrolled(p, 3, adjoint=ed.Implicit()),
    "Neumann": lambda p: ed.Solved(p, adjoint=ed.Neumann(3)),
    "Piggyback": lambda p: ed.Solved(p, adjoint=ed.Piggyback()),
    "OneStep": lambda p: ed.Solved(p, adjoint=ed.OneStep()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rules_without_a_second_derivative_refuse_in_a_sentence(name: str) -> None:
    problem = model_of("tall", "l1 weighted", None).problem
    assert isinstance(problem, ed.Problem)
    model, x = REFUSED[name](problem), observed("tall")
    for transform in (lambda: grad(lambda s: model(s).sum())(x), lambda: vmap(model)(x[:, None])):
        with pytest.raises(ed.ErgodualError, match=f"{name} .*torch.func"):
            transform()
    x_hat = model(x.requires_grad_())
    with pytest.raises(ed.ErgodualError, match=name):
        torch.autograd.grad(x_hat, x, torch.ones(3, *x.shape).to(x), is_grads_batched=True)


def test_a_norm_that_is_mapped_over_is_refused_in_a_sentence() -> None:
    model, x = model_of("tall", "l1 weighted", ed.Reverse()), observed("tall")
    Ks = torch.stack([model.problem.K.matrix.detach(), 2 * model.problem.K.matrix.detach()])
    with pytest.raises(ed.ErgodualError, match="StepSizes.fixed"):
        vmap(lambda Q: functional_call(model, {"problem.K.matrix": Q}, (x,)))(Ks)
    model.steps = ed.StepSizes.fixed(0.1, 0.1)
    found = vmap(lambda Q: functional_call(model, {"problem.K.matrix": Q}, (x,)))(Ks)
    for Q, of in zip(Ks, found, strict=True):
        assert torch.allclose(functional_call(model, {"problem.K.matrix": Q}, (x,)), of)


MAPPED: dict[str, Callable[[Tensor], tuple[ed.Function, ed.Function, ed.StepSizes]]] = {
    "l1": lambda w: (ed.L1(w), ed.SquaredL2(), FIXED),
    "l1 of each": lambda w: (ed.L1(w.expand(4)), ed.SquaredL2(), FIXED),
    "l21": lambda w: (ed.L21(w, size=2), ed.SquaredL2(w), FIXED),
    "box": lambda w: (ed.L1(), ed.Box(radius=w), FIXED),
    "bounds": lambda w: (ed.L1(), ed.Box(lower=-w, upper=2 * w), FIXED),
    "ball": lambda w: (ed.L2Ball(w), ed.SquaredL2(), FIXED),
    "translated": lambda w: (ed.L1(), ed.Translated(ed.Box(radius=2 * w), w), FIXED),
    "steps": lambda w: (ed.L1(), ed.SquaredL2(), ed.StepSizes.fixed(w / 9, w / 8, w)),
}
FIXED = ed.StepSizes.fixed(0.1, 0.1)


@pytest.mark.parametrize("name", MAPPED)
def test_what_is_made_of_a_mapped_number_is_mapped_and_checked(name: str) -> None:
    K, x = OPERATORS["tall"].make(), observed("tall")

    def estimate(w: Tensor) -> Tensor:
        F, G, steps = MAPPED[name](w)
        model = ed.Unrolled(ed.Problem(F, G, K), 3, steps)
        assert repr(model)
        found: Tensor = model(x)
        return found

    numbers = torch.tensor([0.3, 0.7, 1.0], dtype=x.dtype)
    found = vmap(estimate)(numbers)
    for w, of in zip(numbers, found, strict=True):
        assert torch.allclose(estimate(w), of, atol=1e-12)
    with pytest.raises(ed.ErgodualError, match=r"is (tensor\(.*)?-|above its upper"):
        vmap(estimate)(numbers - 2.3)


def test_solve_does_not_get_through() -> None:
    problem = ed.Problem(ed.L1(), ed.SquaredL2(), ed.Identity())
    for transform in (
        vmap(lambda s: ed.solve(problem, s[None]).x.sum()),
        grad(lambda s: ed.solve(problem, s).x.sum()),
    ):
        with pytest.raises(ed.ErgodualError, match="outside, or take Unrolled"):
            transform(observed("tall"))
