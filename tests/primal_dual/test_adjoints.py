"""What the adjoints promise beside the table of tests/primal_dual/test_exact.py."""

from collections.abc import Callable

import pytest
import torch
from cases import (
    BATCH,
    FUNCTIONS,
    OPERATORS,
    OUTPUTS,
    PROBLEMS,
    N,
    Slow,
    matrix,
    observation,
    parameter,
    spread,
)
from torch import nn

import ergodual as ed

ADJOINTS: dict[str, Callable[[], ed.Tape | ed.Reverse]] = {
    "tape": ed.Tape,
    "reverse": ed.Reverse,
    "checkpointed": ed.Checkpointed,
    "checkpointed in 3": lambda: ed.Checkpointed(3),
    "truncated nowhere": lambda: ed.Truncated(9),
}
TRUTH = observation(22)


def make(problem: str, output: str, theta: float, depth: int, adjoint: str) -> ed.Unrolled:
    steps = ed.StepSizes.fixed(
        spread(depth, low=0.1, high=0.5, seed=31),
        spread(depth, low=0.1, high=0.5, seed=32),
        parameter(theta),
    )
    return ed.Unrolled(
        PROBLEMS[problem](), depth, steps, OUTPUTS[output](depth), ADJOINTS[adjoint]()
    )


def losses(model: ed.Unrolled, x_tilde: torch.Tensor) -> torch.Tensor:
    error = model(x_tilde) - TRUTH
    return error.square() / 2 + error.pow(3) / 7  # any loss, not only the quadratic one


def gradients(model: ed.Unrolled, x_tilde: torch.Tensor) -> dict[str, torch.Tensor]:
    inputs = {"x_tilde": x_tilde.clone().requires_grad_(), **dict(model.named_parameters())}
    value = losses(model, inputs["x_tilde"]).sum()
    found = torch.autograd.grad(
        value, list(inputs.values()), materialize_grads=True, allow_unused=True
    )
    return dict(zip(inputs, found, strict=True))


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("depth", [1, 3])
def test_an_empty_batch_has_a_gradient_of_zero(adjoint: str, depth: int) -> None:
    """As a process has that shares a mini-batch of fewer frames than processes."""
    model = make("the paper's", "1/k", 1.0, depth, adjoint)
    model(observation()[:0]).square().sum().backward()
    assert model.problem.K.matrix.grad is not None
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("adjoint", [ed.Reverse, lambda: ed.Checkpointed(2), ed.Tape, ed.Implicit])
@pytest.mark.parametrize("operator", OPERATORS)
def test_so_has_one_of_any_operator_and_functions(
    operator: str, adjoint: Callable[[], ed.Adjoint]
) -> None:
    make, domain = OPERATORS[operator]
    nobody = observation(sample=tuple(make().codomain(torch.Size(domain))))[:0].requires_grad_()
    for f in FUNCTIONS.values():
        data, G = ed.L1(parameter(0.3)), f(domain)
        for name, held in list(G.named_parameters()):  # a row for each sample of none
            owner, _, own = name.rpartition(".")
            part = G.get_submodule(owner)
            if held.ndim > len(domain) and own in (getattr(part, "per_sample", None) or ()):
                setattr(part, own, nn.Parameter(held.detach()[:0]))
        problem = ed.InverseProblem(A=make(), data=data, G=G, domain=domain)
        model = ed.Unrolled(problem, 3, adjoint=adjoint())
        model(nobody).square().sum().backward()
        assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)
        assert ed.solve(problem, nobody.detach()).x.shape == (0, *domain)


def test_a_checkpointed_graph_can_be_kept() -> None:
    model = make("user's function", "1/k", 1.0, 7, "checkpointed in 3")
    value = losses(model, observation()).sum()
    K = model.problem.K.tensors()
    once, again = (torch.autograd.grad(value, K, retain_graph=True) for _ in range(2))
    assert torch.equal(once[0], again[0])


@pytest.mark.filterwarnings("default")  # torch's tracer warns of what it does itself
def test_a_compiled_model_gives_the_same() -> None:
    model = make("the paper's", "1/k", 1.0, 4, "reverse")
    compiled = torch.compile(model, backend="eager")
    ours, theirs = gradients(compiled, observation()), gradients(model, observation())
    assert all(
        torch.equal(ours[f"_orig_mod.{name}" if name != "x_tilde" else name], t)
        for name, t in theirs.items()
    )


@pytest.mark.parametrize("wrong", [lambda: ed.Checkpointed(0), lambda: ed.Truncated(0)])
def test_counts_below_one_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ed.ErgodualError, match="is 0; it must be a whole number, at least 1"):
        wrong()


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_operator_that_is_not_a_leaf_is_shared_and_is_frozen(adjoint: str) -> None:
    generator = torch.randn(4, N, dtype=torch.float64, requires_grad=True)
    K = ed.Dense(torch.tanh(generator))
    steps = ed.StepSizes.fixed(0.3, 0.3)
    one = ed.Unrolled(
        ed.Problem(ed.L1(), ed.Box(radius=0.2), K), 3, steps, adjoint=ADJOINTS[adjoint]()
    )
    two = ed.Unrolled(
        ed.Problem(ed.L1(), ed.SquaredL2(2.0), K), 5, steps, ed.Last(), ADJOINTS[adjoint]()
    )
    (one(observation()).pow(3).sum() + two(observation(3)).pow(3).sum()).backward()

    def value(g: torch.Tensor) -> torch.Tensor:
        K = ed.Dense(torch.tanh(g))
        a = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.2), K), 3, steps)
        b = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(2.0), K), 5, steps, ed.Last())
        return a(observation()).pow(3).sum() + b(observation(3)).pow(3).sum()

    direction = observation(9, 4, N)
    with torch.no_grad():
        slope = (value(generator + 1e-6 * direction) - value(generator - 1e-6 * direction)) / 2e-6
    assert generator.grad is not None
    torch.testing.assert_close((generator.grad * direction).sum(), slope, rtol=1e-7, atol=1e-9)

    frozen = ed.Dense(matrix())
    frozen.requires_grad_(False)
    radius = torch.full((BATCH, 1), 0.2, dtype=torch.float64, requires_grad=True)
    model = ed.Unrolled(
        ed.Problem(ed.L1(), ed.Box(radius=0.1), frozen), 3, steps, adjoint=ADJOINTS[adjoint]()
    )
    model(observation(), G=ed.Box(radius=radius)).pow(3).sum().backward()
    assert frozen.matrix.grad is None
    assert radius.grad is not None
    assert radius.grad.norm() > 0


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_a_data_term_for_one_call(adjoint: str) -> None:
    model = make("the paper's", "1/k", 1.0, 4, adjoint)
    x_tilde, radius = observation(), torch.tensor([[0.05], [0.3]], dtype=torch.float64)
    together = model(x_tilde, G=ed.Box(radius=radius))
    for i in range(BATCH):
        alone = model(x_tilde[i : i + 1], G=ed.Box(radius=float(radius[i])))
        torch.testing.assert_close(together[i : i + 1], alone)
    assert not torch.equal(together, model(x_tilde))


def test_parameters_changed_before_the_backward_are_refused() -> None:
    model = make("the paper's", "1/k", 1.0, 4, "reverse")
    value = losses(model, observation()).sum()
    with torch.no_grad():
        model.problem.K.tensors()[0].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_float32_agrees_with_float64(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    K, x_tilde = (
        torch.randn(24, 16, dtype=torch.float64) / 6,
        torch.randn(50, 16, dtype=torch.float64),
    )
    found = {}
    for kind in (dtype, torch.float64):
        model = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.2), ed.Dense(K.to(kind))), 8)
        model(x_tilde.to(kind)).square().sum().backward()
        found[kind] = model.problem.K.tensors()[0].grad
        assert found[kind].dtype == kind
    assert (found[dtype] - found[torch.float64]).norm() <= 2e-3 * found[torch.float64].norm()


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.zeros(2, N + 1, dtype=torch.float64), r"takes \(3,\)"),
        (torch.zeros(N, dtype=torch.float64), "add the batch"),
        (torch.zeros(2, N), "float32"),
    ],
)
def test_refusals(x: torch.Tensor, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make("the paper's", "1/k", 1.0, 2, "reverse")(x)


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize(
    "steps",
    [
        lambda: ed.StepSizes.fixed(0.9, 0.9),
        lambda: ed.StepSizes.balanced(),
        lambda: ed.StepSizes.weighted(5.0, differentiate_norm=True),
        lambda: ed.StepSizes.learned(),
        lambda: ed.StepSizes.learned(relative=True),
        lambda: ed.StepSizes.accelerated(1.0),
        lambda: ed.Steady(ed.StepSizes.learned(per_iteration=True, relative=True), 3),
        lambda: ed.Relaxed(ed.StepSizes.balanced(), 1.5),
        lambda: ed.Preconditioned(),
    ],
)
def test_inference_exports(steps: Callable[[], ed.StepSizes], called: bool) -> None:
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.2), ed.Dense.dct(16)), 4, steps())
    x = torch.randn(3, 16)
    with torch.no_grad():
        if called:
            model(x)
        exported = torch.export.export(model, (x,)).module()
        torch.testing.assert_close(exported(x), model(x))


SWEEPS = [name for name in ADJOINTS if name != "tape"]


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_the_backward_pass_uses_what_the_forward_pass_saw(adjoint: str) -> None:
    model, x = make("lasso", "1/k", 1.0, 4, adjoint), observation()
    taped = make("lasso", "1/k", 1.0, 4, "tape")
    Q = matrix(seed=8)
    found, expected = (
        torch.autograd.grad(
            torch.func.functional_call(each, {"problem.K.matrix": Q}, (x,)).pow(3).sum(), Q
        )
        for each in (model, taped)
    )
    torch.testing.assert_close(found, expected)
    values = []
    for each in (model, taped):
        value, learned = torch.zeros((), dtype=torch.float64), list(each.steps.parameters())
        for weight in (0.1, 0.5):
            each.problem.F = ed.L1(weight)
            value = value + each(x).square().sum()
        each.problem.K = ed.Dense(matrix(seed=9))
        each.load_state_dict({**each.state_dict(), "problem.K.matrix": matrix(seed=3)}, assign=True)
        values.append(torch.autograd.grad(value, learned))
    for ours, theirs in zip(*values, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("adjoint", ["reverse", "checkpointed", "truncated nowhere"])
def test_second_derivatives_are_those_of_the_tape(adjoint: str) -> None:
    found = []
    for name in (adjoint, "tape"):
        model, x = make("ridge", "1/k", 1.0, 3, name), observation().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).pow(3).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), [x, model.problem.K.matrix]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_truncated_refuses_second_derivatives() -> None:
    model, x = make("ridge", "1/k", 1.0, 3, "reverse"), observation().requires_grad_()
    model.adjoint = ed.Truncated(2)
    with pytest.raises(ed.ErgodualError, match="has no derivative itself"):
        torch.autograd.grad(model(x).sum(), x, create_graph=True)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_weights_that_a_network_predicts(adjoint: str) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(N, 4), torch.nn.Softplus()).double()
    model, x = make("the paper's", "1/k", 1.0, 4, adjoint), observation()
    taped = make("the paper's", "1/k", 1.0, 4, "tape")
    for each_iteration in (False, True):
        slopes = []
        for each in (model, taped):
            made = [ed.L1(net(x)) for _ in range(4)]
            F = made if each_iteration else made[0]
            value = each(x, F=F).pow(3).sum()
            slopes.append(torch.autograd.grad(value, list(net.parameters())))
        for ours, theirs in zip(*slopes, strict=True):
            torch.testing.assert_close(ours, theirs)
            assert ours.norm() > 0


def network(*operators: ed.Operator) -> ed.Unrolled:
    return ed.Unrolled([ed.Problem(ed.L1(), ed.Box(radius=0.1), K) for K in operators])


@pytest.mark.parametrize(
    ("make_it", "said"),
    [
        (lambda: network(), "holds nothing"),
        (lambda: ed.Unrolled([ed.L1()]), "holds L1; give Problem"),
        (
            lambda: ed.Unrolled([PROBLEMS["lasso"](), ed.InverseProblem(data=ed.SquaredL2())]),
            "InverseProblem, Problem; give problems of one kind",
        ),
        (lambda: ed.Unrolled([PROBLEMS["lasso"]()], depth=2), "there are 1 problems"),
        (lambda: ed.Unrolled(PROBLEMS["lasso"]()), "depth is missing"),
        (lambda: ed.Unrolled(PROBLEMS["lasso"](), 1, output="last"), "output is 'last'"),
        (lambda: ed.Unrolled(PROBLEMS["lasso"](), 1, output=ed.Last), "output is <class"),
        (lambda: ed.Unrolled(PROBLEMS["lasso"](), 1, steps=1.0), "steps is 1.0"),
        (lambda: ed.Unrolled(PROBLEMS["lasso"](), 1, adjoint="reverse"), "adjoint is 'reverse'"),
        (lambda: ed.Unrolled(PROBLEMS["lasso"](), 1, adjoint=ed.Reverse), "adjoint is <class"),
        (
            lambda: ed.Unrolled(PROBLEMS["lasso"](), 1)(torch.empty(1, 3, device="meta")),
            "on the meta device",
        ),
        (
            lambda: network(ed.Dense(matrix()), ed.Dense(matrix(2, N)))(observation()),
            r"iteration 2 has an operator from \(3,\) to \(2,\)",
        ),
        (
            lambda: make("lasso", "plain", 1.0, 2, "reverse")(observation(), F=[ed.L1()]),
            "1 functions F for 2 iterations",
        ),
        (
            lambda: make("lasso", "plain", 1.0, 2, "reverse")(
                observation(), F=ed.L1(torch.ones(3, 4).double())
            ),
            "does not fit 2 samples",
        ),
    ],
)
def test_lists_that_do_not_fit(make_it: Callable[[], object], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make_it()


def test_equal_states_give_equal_outputs_whatever_came_before() -> None:
    """Bit for bit: the bound of the norm is a function of K alone."""
    torch.manual_seed(0)
    x = torch.randn(8, 24)
    trained = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Dense.dct(24)), 4)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        (trained(x) - 0.1).square().sum().backward()
        optimizer.step()
        fresh = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Dense.dct(24)), 4)
        fresh.load_state_dict(trained.state_dict())
        with torch.no_grad():
            assert torch.equal(fresh(x), trained(x))


class Halved(Slow):
    """An operator whose adjoint lacks a factor."""

    def adjoint(self, y: torch.Tensor, domain: torch.Size | None = None) -> torch.Tensor:
        return 0.5 * super().adjoint(y)


def test_a_wrong_adjoint_is_noticed() -> None:
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), Halved()), 3)
    with pytest.raises(ed.ErgodualError, match="adjoint is wrong"):
        model(observation())
