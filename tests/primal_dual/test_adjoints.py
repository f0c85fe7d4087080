"""Every adjoint gives the gradient: against central differences, and against each other."""

from collections.abc import Callable

import pytest
import torch
from cases import BATCH, OUTPUTS, PROBLEMS, N, matrix, observation, parameter, spread
from differences import five_point, relative

import ergodual as ed
from ergodual.primal_dual import Steps

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


def central_differences(model: ed.Unrolled, x_tilde: torch.Tensor) -> dict[str, torch.Tensor]:
    inputs = {"x_tilde": x_tilde.clone(), **dict(model.named_parameters())}
    return five_point(lambda: losses(model, inputs["x_tilde"]), inputs)


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("theta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_exact(problem: str, output: str, theta: float, depth: int) -> None:
    x_tilde = observation()
    taped = gradients(make(problem, output, theta, depth, "tape"), x_tilde)
    model = make(problem, output, theta, depth, "reverse")
    swept = gradients(model, x_tilde)
    assert relative(swept, taped) <= 1e-12
    assert relative(swept, central_differences(model, x_tilde)) <= 1e-7
    assert torch.equal(model(x_tilde), torch.no_grad()(model)(x_tilde))


def test_the_table_moves_something() -> None:
    """No line of the table is a problem whose gradients all vanish, which any sweep would get right."""
    for problem in PROBLEMS:
        found = gradients(make(problem, "1/k", 1.0, 7, "reverse"), observation())
        if problem != "trivial":  # F = 0: nothing pulls, r stays 0
            assert (
                found["problem.K.matrix" if "problem.K.matrix" in found else "problem.K.A"].norm()
                > 1e-3
            ), problem


@pytest.mark.parametrize("rows", [1, 4, 6, 10_000])
@pytest.mark.parametrize("problem", ["the paper's", "cells", "user's function"])
def test_blocks_of_outer_products_change_nothing(
    problem: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taped = gradients(make(problem, "learned", 0.7, 7, "tape"), observation())
    monkeypatch.setattr("ergodual.primal_dual.backward.BLOCK_ROWS", rows)
    assert (
        relative(gradients(make(problem, "learned", 0.7, 7, "reverse"), observation()), taped)
        <= 1e-12
    )


@pytest.mark.parametrize("segments", [1, 2, 3, 5, 100, None])
@pytest.mark.parametrize("depth", [1, 2, 7, 12])
@pytest.mark.parametrize("rows", [2, 6, 10_000])
@pytest.mark.parametrize("problem", ["the paper's", "user's function", "user's operator"])
def test_checkpoints_change_no_bit(
    problem: str, rows: int, depth: int, segments: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ergodual.primal_dual.backward.BLOCK_ROWS", rows)
    whole = make(problem, "learned", 0.7, depth, "reverse")
    model = make(problem, "learned", 0.7, depth, "reverse")
    model.adjoint = ed.Checkpointed(segments)
    assert len(model.adjoint.starts(depth, BATCH)) <= (segments or depth)
    assert torch.equal(model(observation()), whole(observation()))
    ours, theirs = gradients(model, observation()), gradients(whole, observation())
    assert all(torch.equal(ours[name], t) for name, t in theirs.items())


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("depth", [1, 3])
def test_an_empty_batch_has_a_gradient_of_zero(adjoint: str, depth: int) -> None:
    """As a process has that shares a mini-batch of fewer frames than processes."""
    model = make("the paper's", "1/k", 1.0, depth, adjoint)
    model(observation()[:0]).square().sum().backward()
    assert model.problem.K.matrix.grad is not None
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_a_checkpointed_graph_can_be_kept() -> None:
    model = make("user's function", "1/k", 1.0, 7, "checkpointed in 3")
    value = losses(model, observation()).sum()
    K = model.problem.K.tensors()
    once, again = (torch.autograd.grad(value, K, retain_graph=True) for _ in range(2))
    assert torch.equal(once[0], again[0])


@pytest.mark.parametrize("rows", [2, 10_000])
@pytest.mark.parametrize("b", [1, 2, 4, 6])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_truncated_takes_the_earlier_iterates_as_constants(
    problem: str, output: str, b: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ergodual.primal_dual.backward.BLOCK_ROWS", rows)
    depth, x_tilde = 7, observation()
    model = make(problem, output, 0.7, depth, "tape")
    model.adjoint = ed.Truncated(b)

    def by_hand(
        problem: ed.Problem, x_tilde: torch.Tensor, steps: Steps, weights: torch.Tensor
    ) -> torch.Tensor:
        F, G, K = problem.F, problem.G, problem.K
        u = x_hat = x_tilde
        y, r = x_tilde.new_zeros(BATCH, K.m), torch.zeros_like(x_tilde)
        for k in range(depth):
            with torch.set_grad_enabled(k >= depth - b):
                y = F.prox_conjugate(y + steps.sigma[k] * K(u), steps.sigma[k])
                previous, r = r, G.prox(r - steps.tau[k] * K.adjoint(y), steps.tau[k])
            u = x_tilde + r + steps.theta * (r - previous)
            x_hat = x_hat + (weights[k] if k >= depth - b else weights[k].detach()) * r
        return x_hat

    ours = gradients(model, x_tilde)
    model.adjoint = by_hand
    assert relative(ours, gradients(model, x_tilde)) <= 1e-12


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
    with pytest.raises(ed.ErgodualError, match="is 0; it must be at least 1"):
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
        (torch.zeros(2, N + 1, dtype=torch.float64), r"\(batch, 3\)"),
        (torch.zeros(N, dtype=torch.float64), r"\(batch, 3\)"),
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
