"""Step sizes keep their promise at every step of a training."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from cases import matrix, observation, parameter

import ergodual as ed

RULES = {
    "balanced": lambda: ed.StepSizes.balanced(),
    "weighted": lambda: ed.StepSizes.weighted(10.0),
    "differentiated": lambda: ed.StepSizes.weighted(3.0, differentiate_norm=True),
}


@pytest.mark.parametrize("rule", RULES)
def test_relative_rules(rule: str) -> None:
    K, steps = ed.Dense(matrix()), RULES[rule]()
    weight = {"balanced": 1.0, "weighted": 10.0, "differentiated": 3.0}[rule]
    sigma, tau, theta, _ = steps(K, 4)
    assert sigma.shape == tau.shape == (4,)
    assert theta.tolist() == [1] * 4
    norm = K.norm() if rule == "differentiated" else K.norm_bound()
    torch.testing.assert_close(sigma * norm, torch.full_like(sigma, 0.99 * weight))
    torch.testing.assert_close(tau * norm, torch.full_like(tau, 0.99 / weight))


def test_steps_of_each_operator_and_each_part() -> None:
    A, B = ed.Dense(matrix()), ed.Dense(3 * matrix().detach())
    sigma, tau, *_ = ed.StepSizes.weighted(2.0)([A, B, A], 3)
    bounds = torch.tensor([K.norm_bound() for K in (A, B, A)], dtype=torch.float64)
    torch.testing.assert_close(sigma, 2 * 0.99 / bounds)
    torch.testing.assert_close(tau, 0.99 / bounds / 2)
    K = ed.Stack(A, B)
    sigma, tau, *_ = ed.StepSizes.balanced(by_part=True)(K, 3)
    norms = torch.tensor([[A.norm_bound(), B.norm_bound()]], dtype=torch.float64)
    torch.testing.assert_close(sigma, (0.99 / norms).expand(3, 2))
    assert torch.allclose((sigma * tau[:, None] * norms**2).sum(1), torch.tensor(0.99**2).double())


def test_accelerated_steps() -> None:
    A, B = ed.Dense(matrix()), ed.Dense(3 * matrix().detach())
    for K in (A, [A, B, A, A, B]):
        sigma, tau, theta, _ = ed.StepSizes.accelerated(0.7, weight=2.0)(K, 5)
        norms = torch.tensor([one.norm_bound() for one in (K if isinstance(K, list) else [K] * 5)])
        torch.testing.assert_close(sigma * tau * norms**2, torch.full_like(sigma, 0.99**2))
        torch.testing.assert_close(theta, (1 + 1.4 * tau).rsqrt())
        ratio = (sigma * norms).clone()
        torch.testing.assert_close(ratio[1:], ratio[:-1] / theta[:-1])
        assert ratio[0] == pytest.approx(2 * 0.99)


def test_accelerated_steps_are_ahead_where_G_is_strongly_convex() -> None:
    x = observation(0, 3, 40).cumsum(1) * 10
    problem = ed.Problem(ed.L1(30.0), ed.SquaredL2(), ed.Gradient())
    right = ed.solve(problem, x, tol=1e-12).x
    away = {}
    for name in ("balanced", "accelerated"):
        steps = ed.StepSizes.balanced() if name == "balanced" else ed.StepSizes.accelerated(1.0)
        with torch.no_grad():
            away[name] = float((ed.Unrolled(problem, 100, steps, ed.Last())(x) - right).norm())
    assert away["accelerated"] < 0.5 * away["balanced"]


def test_theta_of_each_iteration() -> None:
    theta = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    assert ed.StepSizes.fixed(0.1, 0.1, theta)(ed.Dense(matrix()), 3).theta.equal(theta)


def test_training_keeps_the_product_below_one() -> None:
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Dense.dct(16)), 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    K = model.problem.K
    for step in range(50):
        sigma, tau, *_ = model.steps(K, 4)
        assert (sigma * tau * K.norm() ** 2 < 1).all()
        optimizer.zero_grad()
        (
            model(observation(step, 8, 16).float()) - observation(step + 1, 8, 16).float()
        ).square().sum(1).mean().backward()
        optimizer.step()


def test_gradient_of_the_norm_only_when_asked() -> None:
    x_tilde, direction = observation(n=3), observation(4, 4, 3)
    for asked in (False, True):
        K = ed.Dense(matrix())
        steps = ed.StepSizes.weighted(2.0, differentiate_norm=asked)
        model = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.15), K), 5, steps)
        model(x_tilde).pow(2).sum().backward()
        assert K.matrix.grad is not None
        with torch.no_grad():
            values = []
            for sign in (1e-6, -1e-6):
                moved = ed.Dense(matrix() + sign * direction)
                rule = steps if asked else ed.StepSizes.fixed(*(s[0] for s in steps(K, 5)[:2]))
                values.append(
                    ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=0.15), moved), 5, rule)(x_tilde)
                    .pow(2)
                    .sum()
                )
        torch.testing.assert_close(
            (K.matrix.grad * direction).sum(), (values[0] - values[1]) / 2e-6, rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("per_iteration", [False, True])
def test_learned_steps_start_as_weighted_and_learn(per_iteration: bool, relative: bool) -> None:
    K = ed.Dense(matrix())
    steps = ed.StepSizes.learned(2.0, per_iteration, relative=relative)
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(1.0), K), 4, steps, ed.Ergodic("learned"))
    expected = ed.StepSizes.weighted(2.0)(K, 4)
    for ours, theirs in zip(model.steps(K, 4)[:3], expected[:3], strict=True):
        torch.testing.assert_close(ours, theirs)
    assert {name for name, _ in model.named_parameters()} == {
        "problem.K.matrix",
        "steps.log_sigma",
        "steps.log_tau",
        "output.logits",
    }
    assert model.steps.log_sigma.shape == ((4,) if per_iteration else ())
    model(observation()).pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.norm() > 0 for p in model.parameters())


def test_relative_learned_steps_follow_the_norm() -> None:
    K, steps = ed.Dense(matrix()), ed.StepSizes.learned(2.0, relative=True)
    before = steps(K, 3)
    with torch.no_grad():
        K.matrix *= 5
    for ours, theirs in zip(steps(K, 3)[:2], before[:2], strict=True):
        torch.testing.assert_close(5 * ours, theirs, rtol=0.02, atol=0)  # to a line of the grid
    with torch.no_grad():
        K.matrix.zero_()
    with pytest.raises(ed.ErgodualError, match="K is zero"):
        steps(K, 3)


def test_relaxed_iterations_converge_in_fewer_steps() -> None:
    x = observation(0, 3, 40).cumsum(1) * 10
    problem = ed.Problem(ed.L1(30.0), ed.SquaredL2(), ed.Gradient())
    right = ed.solve(problem, x, tol=1e-12).x
    away = {}
    for rho in (0.5, 1.0, 1.8):
        steps = ed.Relaxed(ed.StepSizes.weighted(10.0), rho)
        with torch.no_grad():
            found = ed.Unrolled(problem, 100, steps, ed.Last())(x)
            away[rho] = float((found - right).norm())
            if rho == 1:
                plain = ed.Unrolled(problem, 100, steps.rule, ed.Last())(x)
                torch.testing.assert_close(found, plain)
    assert away[1.8] < 0.2 * away[1.0] < away[0.5]
    boxed = ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Dense(matrix()))
    found = ed.Unrolled(boxed, 3, steps)(observation())
    assert (found - observation()).abs().max() <= 0.1 + 1e-15  # what G allows


def test_relaxed_steps_at_the_solution_steady_and_by_part() -> None:
    problem, x = (
        ed.Problem(ed.L1(parameter(0.3)), ed.SquaredL2(), ed.Dense(matrix())),
        observation(),
    )
    rule = ed.Steady(ed.Relaxed(ed.StepSizes.balanced(), parameter(1.5)), 3)
    assert rule(problem.K, 5).rho.tolist() == [1.5, 1.5, 1.5, 1, 1]
    assert rule(problem.K, 2).rho.tolist() == [1.5, 1.5]
    weights = list(problem.parameters())
    slopes = []
    for adjoint in (ed.Implicit(), ed.Reverse()):
        model = ed.Unrolled(problem, 400, ed.Relaxed(rule, 1.7), ed.Last(), adjoint)
        slopes.append(torch.autograd.grad(model(x).pow(3).sum(), weights))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs)
    model = ed.Unrolled(problem, 4, ed.Relaxed(ed.StepSizes.balanced(), parameter(1.5)))
    torch.testing.assert_close(model.with_fixed_steps(x)(x), model(x))
    model.steps.rho.data.fill_(2.5)
    model.steps.project_()
    assert 1.99 < model.steps.rho < 2


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
def test_steps_of_each_coordinate_by_rows_and_columns(alpha: float) -> None:
    entries = matrix().detach()
    entries[1, :2] = 0
    entries[2] = 0
    rule = ed.Preconditioned(alpha, weight=3.0)
    sigma, tau, *_ = rule(ed.Dense(entries), 1)
    there = entries != 0
    rows = torch.where(there, entries.abs() ** alpha, 0).sum(1)
    columns = torch.where(there, entries.abs() ** (2 - alpha), 0).sum(0)
    torch.testing.assert_close(1 / sigma[0], torch.where(rows > 0, rows, 1) / (3 * 0.99))
    torch.testing.assert_close(1 / tau[0], columns * 3 / 0.99)
    between = sigma[0].sqrt()[:, None] * entries * tau[0].sqrt()
    assert torch.linalg.matrix_norm(between, 2) <= 0.99 + 1e-12
    for K in (ed.Sparse(entries.to_sparse()), ed.from_torch(lambda x: x @ entries.T)):
        found = rule(K, 1, entries.shape[1:], like=entries)
        for ours, theirs in zip(found[:2], (sigma, tau), strict=True):
            torch.testing.assert_close(ours, theirs)
    both = rule(ed.Stack(ed.Dense(entries), ed.Dense(2 * entries)), 1)
    whole = rule(ed.Dense(torch.cat([entries, 2 * entries])), 1)
    for ours, theirs in zip(both[:2], whole[:2], strict=True):
        torch.testing.assert_close(ours, theirs)
    assert rule([ed.Dense(entries), ed.Dense(2 * entries)], 2).sigma.shape == (2, *rows.shape)


def test_preconditioned_steps_are_ahead_where_rows_differ_in_size() -> None:
    sizes = torch.tensor([1.0, 100.0, 1.0, 0.01]).double()
    K = ed.Dense(sizes[:, None] * matrix().detach())
    problem, x = ed.Problem(ed.L1(1 / sizes), ed.SquaredL2(), K), observation()
    right = ed.solve(problem, x, tol=1e-13).x
    weights, away, slopes = list(problem.parameters()), {}, []
    for steps in (ed.StepSizes.balanced(), ed.Preconditioned(alpha=2)):
        away[type(steps)] = (ed.Unrolled(problem, 60, steps, ed.Last())(x) - right).norm()
    assert away[type(steps)] < 1e-4 * away[type(ed.StepSizes.balanced())]
    for adjoint in (ed.Implicit(), ed.Reverse(), ed.Neumann(400)):
        model = ed.Unrolled(problem, 400, steps, ed.Last(), adjoint)
        slopes.append(torch.autograd.grad(model(x).pow(3).sum(), weights))
    for found in slopes[1:]:
        torch.testing.assert_close(found, slopes[0])


def test_refusals_of_steps_of_each_coordinate() -> None:
    K, x = ed.Dense(matrix()), observation()
    fixed = ed.StepSizes.fixed
    large = ed.from_torch(lambda x: x.flatten(1))
    ones = torch.ones(1, 4, dtype=torch.float64)
    for F, G, steps, said in (
        (ed.L21(size=2), ed.SquaredL2(), ed.Preconditioned(), "L21 is no sum over coordinates"),
        (ed.L1(), ed.L2(), ed.Preconditioned(), "steps tau for each .* L2 is no sum"),
        (ed.L1(), ed.SquaredL2(), fixed(ones[:, :2], 0.1), r"sigma have shape \(2,\)"),
        (ed.L1(), ed.SquaredL2(), fixed(0.1, ones), r"tau have shape \(4,\) .* shape \(3,\)"),
    ):
        with pytest.raises(ed.ErgodualError, match=said):
            ed.Unrolled(ed.Problem(F, G, K), 2, steps)(x)
    rule = fixed(parameter(*[1.0] * 4, shape=(1, 4)), 0.1)
    rule.sigma.data[0, 2] = -1
    with pytest.raises(ed.NotFiniteError, match="step size sigma is -1"):
        ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), K), 2, rule)(x)
    with pytest.raises(ed.ErgodualError, match="depend on the shape of a sample"):
        ed.Preconditioned()(large, 1)
    with pytest.raises(ed.ErgodualError, match="has 4294967296 entries, too many"):
        ed.Preconditioned()(large, 1, torch.Size((256, 256)))
    with pytest.raises(ed.ErgodualError, match="alpha is 3"):
        ed.Preconditioned(alpha=3)
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), K), 2, fixed(4 * ones, 1.0))
    with pytest.warns(ed.StepSizeWarning):
        model(x)


def test_refusals_of_relaxed_steps() -> None:
    problem, x = ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Dense(matrix())), observation()
    for rho in (0.0, 2.0):
        with pytest.raises(ed.ErgodualError, match="rho is .*; it must be between 0 and 2"):
            ed.Relaxed(ed.StepSizes.balanced(), rho)
    with pytest.raises(ed.ErgodualError, match="Relaxed got 1.5; it must be a rule"):
        ed.Relaxed(1.5, 1.5)  # type: ignore[arg-type]
    steps = ed.Relaxed(ed.StepSizes.balanced(), parameter(1.5))
    with pytest.raises(ed.ErgodualError, match="Truncated serves no relaxed iterations"):
        ed.Unrolled(problem, 4, steps, adjoint=ed.Truncated(2))(x)
    steps.rho.data.fill_(2.0)
    with pytest.raises(ed.NotFiniteError, match="step size rho is 2.0; .* above 0 and below 2"):
        ed.Unrolled(problem, 4, steps)(x)
    steps = ed.Relaxed(ed.StepSizes.fixed(1.0, 1.1 / float(problem.K.norm().detach()) ** 2), 1.5)
    with pytest.warns(ed.StepSizeWarning, match="above 1 the"):
        ed.Unrolled(problem, 4, steps)(x)


@pytest.mark.parametrize("log", [-1e3, 1e3, torch.nan])
@pytest.mark.parametrize("name", ["sigma", "tau"])
def test_learned_steps_that_are_no_positive_numbers(name: str, log: float) -> None:
    model = ed.Unrolled(
        ed.Problem(ed.L1(), ed.Box(radius=0.1), ed.Dense(matrix())),
        3,
        ed.StepSizes.learned(per_iteration=True),
    )
    getattr(model.steps, f"log_{name}").data[1] = log
    for gradients in (True, False):
        with (
            torch.set_grad_enabled(gradients),
            pytest.raises(ed.NotFiniteError, match=f"step size {name} is (0.0|inf|nan)"),
        ):
            model(observation())


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (ed.Last(), [0, 0, 0, 1]),
        (ed.Ergodic("1/k"), [12 / 25, 6 / 25, 4 / 25, 3 / 25]),
        (ed.Ergodic("uniform"), [0.25] * 4),
        (ed.Ergodic(torch.tensor([0.0, 2.0, 0.0, 1.0])), [0, 2, 0, 1]),
    ],
)
def test_weights(output: ed.Last | ed.Ergodic, expected: list[float]) -> None:
    torch.testing.assert_close(
        output(4).double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ed.StepSizes.fixed(0.0, 1.0), "sigma is 0"),
        (lambda: ed.StepSizes.fixed(1.0, -1.0), "tau is -1"),
        (
            lambda: ed.StepSizes.fixed(torch.ones(3), 1.0)(ed.Dense(matrix()), 4),
            "one per iteration, here 4",
        ),
        (lambda: ed.StepSizes.fixed(0.1, 0.1, -1.0), "theta is -1"),
        (lambda: ed.StepSizes.balanced(by_part=True)(ed.Dense(matrix()), 2), "that is a Stack"),
        (lambda: ed.StepSizes.weighted(0.0), "weight is 0"),
        (lambda: ed.StepSizes.accelerated(0.0), "strong convexity of G is 0"),
        (lambda: ed.StepSizes.learned().prepare(ed.Gradient(), 2), "take .*relative=True"),
        (lambda: ed.StepSizes.balanced()(ed.Dense(torch.zeros(2, 2)), 1), "is zero"),
        (lambda: ed.StepSizes.balanced()(ed.Dense(torch.full((2, 2), torch.nan)), 1), "not finite"),
        (lambda: ed.Ergodic("harmonic"), "'harmonic'"),
        (lambda: ed.Ergodic("learned")(3), "hand them to Unrolled"),
        (lambda: ed.Unrolled(ed.L1()), "Unrolled got a L1"),
        (lambda: ed.Unrolled(ed.Problem(ed.L1(), ed.Zero(), ed.Dense(matrix())), 0), "depth is 0"),
        (
            lambda: ed.Unrolled(
                ed.Problem(ed.L1(), ed.Zero(), ed.Dense(matrix())),
                2,
                output=ed.Ergodic(torch.ones(3)),
            ),
            "for 2 iterations",
        ),
    ],
)
def test_refusals(make, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()


BY_PART = torch.tensor([[0.1, 9.0]], dtype=torch.float64)
TOO_LARGE: dict[str, tuple[Callable[[], ed.Operator], ed.StepSizes, bool]] = {
    "far above": (lambda: ed.Dense(matrix()), ed.StepSizes.fixed(2.0, 2.0), True),
    "below": (lambda: ed.Dense(matrix()), ed.StepSizes.fixed(0.2, 0.2), False),
    "learned": (
        lambda: ed.Dense(matrix()),
        ed.StepSizes.fixed(parameter(2.0), parameter(2.0)),
        False,
    ),
    "in one iteration": (
        lambda: ed.Dense(matrix()),
        ed.StepSizes.fixed(torch.tensor([0.1, 0.1, 2.0, 0.1], dtype=torch.float64), 2.0),
        True,
    ),
    "4/3 is no matter of the bound": (
        lambda: ed.Stack(ed.Identity(), ed.Identity()),
        ed.StepSizes.fixed(1.3 / 2, 1.0),
        False,
    ),
    "of a part": (
        lambda: ed.Stack(ed.Identity(), ed.Dense(matrix())),
        ed.StepSizes.fixed(BY_PART, 0.5),
        True,
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_given_steps_that_are_too_large_are_warned_of_once(name: str) -> None:
    make, steps, warns = TOO_LARGE[name]
    K = make()
    F = ed.SeparableSum(ed.L1(), ed.L1()) if isinstance(K, ed.Stack) else ed.L1()
    model = ed.Unrolled(ed.Problem(F, ed.Box(radius=0.1), K), 4, steps)
    with pytest.warns(ed.StepSizeWarning) if warns else nullcontext():
        model(observation())
    model(observation())


def steady(first: int, then: ed.StepSizes | None = None) -> ed.Steady:
    rule = ed.StepSizes.learned(
        per_iteration=True, relative=True, theta=parameter(*[1.0] * first, shape=(first,))
    )
    return ed.Steady(rule, first, then)


def test_learned_steps_end_steady() -> None:
    K, rule = ed.Dense(matrix()), steady(3, ed.StepSizes.weighted(2.0))
    rule.prepare(K, 3)
    with torch.no_grad():
        for p in rule.parameters():
            p += 0.3 * torch.arange(3.0)
    sigma, tau, theta, _ = rule(K, 5)
    first = rule.rule(K, 3)
    for ours, theirs in zip((sigma, tau, theta), first[:3], strict=True):
        assert torch.equal(ours[:3], theirs)
        assert torch.equal(rule(K, 2)[0], sigma[:2])
    assert theta[3:].tolist() == [1, 1]
    torch.testing.assert_close(
        (sigma * tau)[3:] * K.norm_bound() ** 2, torch.full_like(tau[3:], 0.99**2)
    )
    parts = ed.Stack(K, ed.Dense(2 * matrix().detach()))
    sigma, *_ = steady(2, ed.StepSizes.balanced(by_part=True))(parts, 4)
    assert sigma.shape == (4, 2)
    assert torch.equal(sigma[2:], ed.StepSizes.balanced(by_part=True)(parts, 2).sigma)


def test_a_network_with_steady_steps_goes_on_to_the_solution() -> None:
    problem, x = (
        ed.Problem(ed.L1(parameter(0.3)), ed.SquaredL2(), ed.Dense(matrix())),
        observation(),
    )
    model = ed.Unrolled(problem, 4, steady(4), ed.Last())
    taped = ed.Unrolled(problem, 4, model.steps, ed.Last(), ed.Tape())
    learned = list(model.parameters())
    assert len(learned) == 5
    slopes = [torch.autograd.grad(each(x).pow(3).sum(), learned) for each in (model, taped)]
    for p, ours, theirs in zip(learned, *slopes, strict=True):
        torch.testing.assert_close(ours, theirs)
        p.data -= 0.1 * ours / ours.norm()
    model.depth = 400
    found = ed.solve(problem, x, tol=1e-12).x
    torch.testing.assert_close(model(x), found, rtol=0, atol=1e-8)


def test_refusals_of_steady_steps() -> None:
    with pytest.raises(ed.ErgodualError, match="Steady got 'learned'; it must be a rule"):
        ed.Steady("learned", 3)  # type: ignore[arg-type]
    with pytest.raises(ed.ErgodualError, match="first iterations is 0; it must be"):
        steady(0)
    with pytest.raises(ed.ErgodualError, match="first 3 iterations .* problems for 2"):
        steady(3)([ed.Dense(matrix())] * 2, 2)


def test_learned_steps_stay_above_a_millionth_of_the_least_given() -> None:
    rule = ed.StepSizes.fixed(torch.nn.Parameter(torch.tensor([1.0, 1e-8])), 1.0)
    rule.project_()
    assert rule.sigma.tolist() == pytest.approx([1.0, 1e-8])
    rule.sigma.data.fill_(-1)
    rule.project_()
    assert rule.sigma.tolist() == pytest.approx([1e-14, 1e-14])
