"""Gradients in tensors that are shared, made from each other, or computed; of either order."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
from cases import N, matrix, observation, parameter, spread
from torch import Tensor, nn
from torch.nn.utils import parametrize

import ergodual as ed


class Softplus(nn.Module):
    """What keeps a weight positive."""

    def forward(self, t: Tensor) -> Tensor:
        return nn.functional.softplus(t)


class Derived(ed.Operator):
    """A user's operator with a buffer that is made of its parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.k = nn.Parameter(matrix())
        self.register_buffer("m", self.k.square() + self.k)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.m.T  # type: ignore[operator]


class MyL1(ed.L1):
    """A built-in function with a parameter of the user's own beside a weight that is a buffer."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(2 * weight)
        self.extra = parameter(1.0)


M = TypeVar("M", bound=nn.Module)


def parametrised(module: M, name: str) -> M:
    parametrize.register_parametrization(module, name, Softplus())
    return module


W, K = parameter(0.3), nn.Parameter(matrix())
MODELS: dict[str, Callable[[Tensor], ed.Problem]] = {
    "one weight in F and G": lambda x: ed.Problem(ed.L1(W), ed.SquaredL2(W), ed.Dense(K)),
    "one matrix twice": lambda x: ed.Problem(
        ed.L1(W), ed.SquaredL2(), ed.Stack(ed.Dense(K), ed.Dense(K))
    ),
    "a weight made of x": lambda x: ed.Problem(
        ed.L1((0.1 + x.square().mean()) * W), ed.SquaredL2(), ed.Dense(K)
    ),
    "a parametrised weight": lambda x: ed.Problem(
        parametrised(ed.L1(parameter(0.2)), "weight"),
        parametrised(ed.SquaredL2(parameter(0.3)), "weight"),
        ed.Dense(K),
    ),
    "two parametrised in another order": lambda x: ed.Problem(
        parametrised(parametrised(ed.Huber(parameter(0.4), parameter(0.3)), "width"), "weight"),
        ed.SquaredL2(),
        ed.Dense(K),
    ),
    "a parametrised matrix": lambda x: ed.Problem(
        ed.L1(W),
        ed.SquaredL2(),
        parametrised(ed.Dense(matrix(seed=8)), "matrix"),
    ),
    "a parametrised mask under a matrix": lambda x: ed.Problem(
        ed.L1(W),
        ed.SquaredL2(),
        ed.Dense(K) @ parametrised(ed.Diagonal(spread(N, low=0.1, high=1, seed=2)), "diagonal"),
    ),
    "a buffer made of a parameter": lambda x: ed.Problem(ed.L1(W), ed.SquaredL2(), Derived()),
    "a user's parameter beside": lambda x: ed.Problem(MyL1(W), ed.SquaredL2(), ed.Dense(K)),
}
STEPS = {
    "fixed": lambda: ed.StepSizes.fixed(0.15, 0.1),
    "the norm's": lambda: ed.StepSizes.balanced(differentiate_norm=True),
}


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", MODELS)
def test_partial_derivatives_add_up_once(name: str, steps: str) -> None:
    found = []
    for adjoint in (ed.Tape(), ed.Reverse(), ed.Checkpointed(2)):
        for create_graph in (False, True):
            torch.manual_seed(0)
            x = observation().requires_grad_()
            model = ed.Unrolled(MODELS[name](x), 4, STEPS[steps](), adjoint=adjoint)
            inputs = [x, W, *(p for p in model.parameters() if p is not W)]
            value = model(x).pow(3).sum()
            slopes = torch.autograd.grad(
                value, inputs, create_graph=create_graph, materialize_grads=True, allow_unused=True
            )
            if create_graph:
                curvature = sum(s.square().sum() for s in slopes)
                assert isinstance(curvature, Tensor)
                slopes += torch.autograd.grad(
                    curvature, inputs, materialize_grads=True, allow_unused=True
                )
            found.append(slopes)
    for ours in found[2:]:
        for one, other in zip(ours, found[1], strict=False):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert sum(s.norm() > 0 for s in found[1]) >= len(found[1]) - 2  # W and extra may be idle


class Plain(ed.Operator):
    """An operator that holds what it needs as plain attributes."""

    def __init__(self, m: Tensor) -> None:
        super().__init__()
        self.m = m

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.m.T


def test_a_tensor_that_would_get_no_gradient_is_refused() -> None:
    learned = 2 * matrix().requires_grad_()
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), Plain(learned)), 2)
    with pytest.raises(ed.ErgodualError, match="holds a tensor m that needs a gradient"):
        model(observation())
    f = ed.L1(1.0)
    f.weight = 2 * W
    model = ed.Unrolled(ed.Problem(f, ed.SquaredL2(), Plain(matrix())), 2)
    with pytest.raises(ed.ErgodualError, match="L1 holds a tensor weight"):
        model(observation())


def test_the_checks_take_what_is_parametrised() -> None:
    made = parametrised(parametrised(ed.Huber(parameter(0.4), parameter(0.3)), "width"), "weight")
    ed.check_function(made, observation())
    ed.check_operator(parametrised(ed.Dense(matrix(seed=8)), "matrix"), observation())


class ByHand(ed.Operator):
    """x ↦ a b x with the gradients in both numbers given, in the order that they are held in."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = parameter(1.5), parameter(0.4)

    def forward(self, x: Tensor) -> Tensor:
        return self.a * self.b * x

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor, ...]:
        return self.b * (dual * primal).sum(), self.a * (dual * primal).sum()


class OfAChild(ed.Operator):
    """The same, one of the numbers being a child's."""

    def __init__(self) -> None:
        super().__init__()
        self.b, self.child = parameter(0.4), ed.L1(parameter(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.child.weight * self.b * x

    def gradients(self, dual: Tensor, primal: Tensor) -> tuple[Tensor, ...]:
        return self.child.weight * (dual * primal).sum(), self.b * (dual * primal).sum()


@pytest.mark.parametrize("child", [False, True])
def test_derivatives_by_hand_whose_order_is_lost_are_refused(child: bool) -> None:
    operator = OfAChild() if child else ByHand()
    ed.check_operator(operator, observation())
    if isinstance(operator, OfAChild):
        parametrised(operator.child, "weight")
    else:
        parametrised(operator, "a")
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), operator), 2)
    with pytest.raises(ed.ErgodualError, match=r"gives derivatives by hand \(gradients\) in 2"):
        model(observation()).sum().backward()


@pytest.mark.parametrize("theta", [-0.5, -0.8, -0.97])
def test_any_extrapolation_has_its_gradient(theta: float) -> None:
    found = []
    for adjoint in (ed.Tape(), ed.Reverse()):
        steps = ed.StepSizes.fixed(0.15, 0.1, parameter(theta))
        problem = ed.Problem(ed.L1(), ed.SquaredL2(), Derived())
        model, x = ed.Unrolled(problem, 30, steps, adjoint=adjoint), observation().requires_grad_()
        wanted = [x, *model.parameters()]
        found.append(torch.autograd.grad(model(x).pow(3).sum(), wanted))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_a_translated_box_keeps_its_bounds(seed: int) -> None:
    """b + (p − b) is not p: whether p lies on a bound is lost by that rounding."""
    shift, found = 0.05 * observation(seed)[0].clamp(-1, 1), []
    for adjoint in (ed.Tape(), ed.Reverse()):
        G = ed.Translated(ed.Box(lower=-1.0, upper=parameter(0.1)), nn.Parameter(shift.clone()))
        model = ed.Unrolled(ed.Problem(ed.L1(), G, ed.Dense(K)), 4, adjoint=adjoint)
        x = observation().requires_grad_()
        found.append(torch.autograd.grad(model(x).pow(3).sum(), [x, *model.parameters()]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("F", "G"),
    [
        (ed.SquaredL2(), ed.L1(0.0)),
        (ed.SquaredL2(), ed.L1(torch.zeros(N, dtype=torch.float64))),
        (ed.Box(radius=0.0), ed.SquaredL2()),
    ],
)
@pytest.mark.parametrize("adjoint", [ed.Tape(), ed.Reverse()])
def test_a_weight_of_zero_is_no_kink(F: ed.Function, G: ed.Function, adjoint: ed.Reverse) -> None:
    """Where the observation is silent too."""
    x = torch.zeros(2, N, dtype=torch.float64, requires_grad=True)
    found = []
    for f, g in ((F, G), (ed.SquaredL2(), ed.Zero())):
        other = ed.Zero() if isinstance(f, ed.Box) else f
        for each in (f, other):
            model = ed.Unrolled(ed.Problem(each, g, ed.Dense(K)), 3, adjoint=adjoint)
            found.append(torch.autograd.grad(model(x).sum(), x)[0])
    if isinstance(G, ed.L1):
        torch.testing.assert_close(found[0], found[2])
    else:  # the indicator of 0 leaves what moves x to 0
        h = 1e-6 * torch.ones_like(x)
        model = ed.Unrolled(ed.Problem(F, G, ed.Dense(K)), 3, adjoint=adjoint)
        slope = (model(x + h) - model(x - h)).sum(0) / 2e-6
        torch.testing.assert_close(found[0].sum(), slope.sum(), rtol=1e-6, atol=1e-9)


def test_what_is_learned_stays_in_its_range_or_is_refused() -> None:
    weight, sigma = parameter(0.1), parameter(0.2)
    problem = ed.Problem(ed.L1(weight), ed.SquaredL2(), ed.Dense(K))
    model = ed.Unrolled(problem, 2, ed.StepSizes.fixed(sigma, 0.1), adjoint=ed.Tape())
    model(observation())
    weight.data -= 0.2
    with pytest.raises(ed.ErgodualError, match="L1's weight is -0.1; it must not be negative"):
        model(observation())
    weight.data += 0.2
    sigma.data -= 0.3
    with pytest.raises(ed.NotFiniteError, match="step size sigma is -0"):
        model(observation())


def test_parts_of_a_stack_have_steps_of_their_own_where_F_is_their_sum() -> None:
    A, B = ed.Dense(matrix(4, N)), ed.Dense(matrix(6, N, 4))
    steps = ed.StepSizes.balanced(by_part=True)
    for F, said in (
        (ed.L21(0.3, size=2), "L21 is no sum over them"),
        (ed.L2Ball(0.3), "L2Ball is no sum over them"),
    ):
        model = ed.Unrolled(ed.Problem(F, ed.SquaredL2(), ed.Stack(A, B)), 2, steps)
        with pytest.raises(ed.ErgodualError, match=said):
            model(observation())
    with pytest.raises(ed.ErgodualError, match="all would be one group"):
        ed.Unrolled(ed.Problem(ed.L21(dim=1), ed.SquaredL2(), ed.Stack(A, B)), 2)(observation())
    problems = [ed.Problem(ed.L1(), ed.SquaredL2(), K) for K in (ed.Stack(A, B), ed.Stack(B, A))]
    with pytest.raises(ed.ErgodualError, match="need the same in all of them"):
        ed.Unrolled(problems, steps=steps)(observation())


def test_models_share_no_averaging_weights() -> None:
    first, second = (ed.Unrolled(MODELS["one matrix twice"](observation()), 5) for _ in range(2))
    with torch.inference_mode():
        first(observation())
    first.output(5).mul_(0.5)
    second(observation()).sum().backward()
    assert float(second.output(5).sum()) == pytest.approx(1.0)


class Listed(ed.Operator):
    """An operator that reaches its child by a list."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(N, 4, bias=False, dtype=torch.float64)
        self.children_in_order = [self.child]

    def forward(self, x: Tensor) -> Tensor:
        return self.children_in_order[0](x)  # type: ignore[no-any-return]


class Stored(ed.Operator):
    """An operator that reaches its weight by a method that it stored."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.apply_it = matrix(), self._apply_it

    def _apply_it(self, x: Tensor) -> Tensor:
        return x @ self.w.T

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_it(x)


@pytest.mark.parametrize("operator", [Listed, Stored])
def test_whatever_refers_to_a_tensor_still_does(operator: Callable[[], ed.Operator]) -> None:
    found = []
    for adjoint in (ed.Tape(), ed.Reverse()):
        torch.manual_seed(0)
        problem = ed.Problem(ed.L1(), ed.SquaredL2(), operator())
        model = ed.Unrolled(problem, 4, ed.StepSizes.fixed(0.15, 0.1), adjoint=adjoint)
        for _ in range(2):
            value = model(observation()).pow(3).sum()
        found.append(torch.autograd.grad(value, list(model.parameters()), retain_graph=True))
    torch.testing.assert_close(*found)
    with pytest.raises(ed.ErgodualError, match="past the attribute that holds it"):
        torch.autograd.grad(value, list(model.parameters()), create_graph=True)


def test_a_tensor_in_a_list_is_refused() -> None:
    K = Plain(matrix().detach())
    K.ws = [2 * matrix()]  # type: ignore[assignment]
    with pytest.raises(ed.ErgodualError, match="holds a tensor ws that needs a gradient"):
        ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), K), 2)(observation())


class Counted(nn.Module):
    """A parametrisation that counts how often it is asked, and never says the same twice."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, t: Tensor) -> Tensor:
        self.count += 1
        return t * (1 + 0.1 * self.count)


def counted_model(name: str) -> tuple[nn.Module, Counted]:
    K, count = ed.Dense(nn.Parameter(matrix(N, N).detach() + 2 * torch.eye(N))), Counted()
    parametrize.register_parametrization(K, "matrix", count)
    problem = ed.Problem(ed.L1(0.1), ed.SquaredL2(), K)
    makes: dict[str, Callable[[], nn.Module]] = {
        "unrolled": lambda: ed.Unrolled(problem, 4),
        "tape": lambda: ed.Unrolled(problem, 4, adjoint=ed.Tape()),
        "norm differentiated": lambda: ed.Unrolled(
            problem, 4, ed.StepSizes.balanced(differentiate_norm=True)
        ),
        "one operator in two problems": lambda: ed.Unrolled(
            [problem, ed.Problem(ed.L1(0.2), ed.SquaredL2(), K), problem]
        ),
        "an operator twice": lambda: ed.Unrolled(
            ed.InverseProblem(A=K, data=ed.SquaredL2(), F=ed.L1(0.1), K=K), 4
        ),
        "solved": lambda: ed.Solved(problem),
    }
    model = makes[name]()
    count.count = 0
    return model, count


COUNTED = (
    "unrolled",
    "tape",
    "norm differentiated",
    "one operator in two problems",
    "an operator twice",
    "solved",
)


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_parametrised_is_evaluated_once_a_forward_pass(name: str) -> None:
    """As spectral_norm's power iteration moves on with every evaluation while it trains."""
    model, count = counted_model(name)
    x_hat = model(observation())
    assert count.count == 1
    x_hat.square().sum().backward()
    assert count.count == 1
    (original,) = model.parameters()
    slope = original.grad.clone()
    direction = spread(N, N, low=-1, high=1, seed=5).detach()

    def loss(t: float) -> Tensor:
        count.count = 0
        with torch.no_grad():
            original.add_(direction, alpha=t)
            found = model(observation()).square().sum()
            original.sub_(direction, alpha=t)
        return found

    if name in ("unrolled", "tape", "one operator in two problems", "an operator twice"):
        return  # the steps follow the norm, which counts as a constant
    difference = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert float((slope * direction).sum()) == pytest.approx(float(difference), rel=1e-6)


def test_spectral_norm_in_training_mode_has_the_gradient_of_what_the_forward_pass_saw() -> None:
    K = nn.utils.parametrizations.spectral_norm(ed.Dense(matrix()), "matrix")
    model = ed.Unrolled(ed.Problem(ed.L1(0.1), ed.SquaredL2(), K), 8, ed.StepSizes.fixed(0.5, 0.5))
    state = {name: t.clone() for name, t in model.state_dict().items()}
    grads = []
    for adjoint in (ed.Reverse(), ed.Tape()):
        model.load_state_dict(state)
        model.train()
        model.adjoint = adjoint
        (of,) = torch.autograd.grad(model(observation()).square().sum(), list(model.parameters()))
        grads.append(of)
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-14)
