"""Entropy steps: on simplices of samples, of pixels, and under the ℓ1 norm."""

import math
from collections.abc import Callable

import pytest
import torch
from cases import BATCH, matrix, observation, parameter, spread
from differences import five_point, relative
from torch import Tensor

import ergodual as ed
from ergodual.primal_dual.entropy import Entropic

DEPTH = 5
PIXELS = torch.arange(4).view(1, 2, 2).expand(3, 2, 2)


def game(K: ed.Operator) -> ed.InverseProblem:
    rows = ed.Conjugate(ed.Simplex(parameter(0.9)))
    return ed.InverseProblem(A=K, data=rows, G=ed.Simplex(parameter(1.3)))


def tilted_game() -> ed.InverseProblem:
    costs = spread(BATCH, 3, low=-1.0, high=1.0, seed=2)
    rows = ed.Conjugate(ed.Tilted(ed.Simplex(), spread(4, low=-1.0, high=1.0, seed=1)))
    return ed.InverseProblem(A=ed.Dense(matrix()), data=rows, G=ed.Tilted(ed.Simplex(), costs))


def labels(F: ed.Function, K: ed.Operator) -> ed.InverseProblem:
    costs = spread(BATCH, 3, 2, 2, low=-1.0, high=1.0, seed=3)
    G = ed.Tilted(ed.GroupSum(ed.Simplex(parameter(0.8)), PIXELS, weight=0.7), costs)
    return ed.InverseProblem(A=K, data=F, G=G, domain=(3, 2, 2))


def two_parts() -> ed.InverseProblem:
    F = ed.L1(spread(3, low=0.2, high=0.9, seed=4))
    return ed.InverseProblem(
        A=ed.Dense(matrix()), data=ed.Conjugate(ed.Simplex()), F=F, G=ed.Simplex()
    )


PROBLEMS: dict[str, Callable[[], ed.InverseProblem | list[ed.InverseProblem]]] = {
    "game": lambda: game(ed.Dense(matrix())),
    "game with costs": tilted_game,
    "labels": lambda: labels(
        ed.L1(spread(2, 3, 2, 2, low=0.2, high=0.9, seed=5)), ed.Gradient(axes=(-2, -1))
    ),
    "labels of groups": lambda: labels(
        ed.L1(spread(BATCH, 2, 2, 2, low=0.2, high=0.9, seed=5)),
        ed.Conv(spread(2, 3, 1, 2, low=-1.0, high=1.0, seed=6), padding="circular"),
    ),
    "two parts": two_parts,
    "an operator for each iteration": lambda: [
        game(ed.Dense(matrix(seed=seed))) for seed in range(DEPTH)
    ],
}


def model_of(name: str, adjoint: object) -> ed.Unrolled:
    problem = PROBLEMS[name]()
    sigma, tau = (spread(DEPTH, low=0.4, high=1.5, seed=seed) for seed in (31, 32))
    steps = ed.Entropy(ed.StepSizes.fixed(sigma, tau, spread(DEPTH, low=0.0, high=1.0, seed=33)))
    output = ed.Ergodic(spread(DEPTH, low=-0.2, high=1.0, seed=34))
    depth = None if isinstance(problem, list) else DEPTH
    return ed.Unrolled(problem, depth, steps, output, adjoint)  # type: ignore[arg-type]


def observed(model: ed.Unrolled, seed: int = 21) -> Tensor:
    one = model.problems[0]
    domain = torch.Size((3, 2, 2)) if one.given_domain else torch.Size((3,))
    return observation(seed, sample=tuple(one.A.codomain(domain))).requires_grad_()


def loss(model: ed.Unrolled, b: Tensor) -> Tensor:
    return (model(b) - 0.1).pow(3).sum()


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_are_those_of_the_tape_and_of_differences(name: str) -> None:
    found = []
    for adjoint in (ed.Reverse(), ed.Tape()):
        model = model_of(name, adjoint)
        b = observed(model)
        inputs = {"b": b, **dict(model.named_parameters())}
        slopes = torch.autograd.grad(loss(model, b), list(inputs.values()), materialize_grads=True)
        found.append(dict(zip(inputs, slopes, strict=True)))
    ours, taped = found
    assert relative(ours, taped) <= 1e-12
    assert relative(ours, five_point(lambda: loss(model, b), inputs)) <= 1e-7
    assert all(t.norm() > 1e-6 for t in ours.values())


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_iteration_is_that_of_a_plain_loop(name: str) -> None:
    """With products of exponentials, as it is written."""
    model = model_of(name, ed.Reverse())
    b = observed(model)
    instances = [problem.instance(b) for problem in model.problems]
    sigma, tau, theta, _ = model.steps([one.K for one in instances], DEPTH, instances[0].domain, b)
    zeros = instances[0].zeros_primal()
    r = simplex_step(instances[0].G, torch.ones_like(zeros), zeros, 0.0)
    r_bar, y, x_hat = r, None, torch.zeros_like(r)
    for k, one in enumerate(instances):
        y = dual_step(one.F, y, sigma[k] * (one.K(r_bar) + one.offset), sigma[k])
        previous, r = r, simplex_step(one.G, r, -tau[k] * one.K.adjoint(y, one.domain), tau[k])
        r_bar = r + theta[k] * (r - previous)
        x_hat = x_hat + model.output(DEPTH)[k] * r
    torch.testing.assert_close(model(b), x_hat, rtol=0, atol=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(model(b), x_hat, rtol=0, atol=1e-13)
    torch.testing.assert_close(model.with_fixed_steps(b)(b), x_hat, rtol=0, atol=1e-13)


def simplex_step(G: ed.Function, r: Tensor, move: Tensor, step: Tensor | float) -> Tensor:
    if isinstance(G, ed.Tilted):
        return simplex_step(G.function, r, move - step * G.slope, step)
    r, total, dims = r * move.exp(), None, tuple(range(1, r.ndim))
    if isinstance(G, ed.GroupSum):
        total, dims = G.function.total, (1,)
    return r / r.sum(dims, keepdim=True) * (G.total if total is None else total)


def dual_step(F: ed.Function, y: Tensor | None, move: Tensor, sigma: Tensor) -> Tensor:
    if isinstance(F, ed.SeparableSum):
        moves = [part for _, part in F._split(move)]
        parts = [None] * len(moves) if y is None else [part for _, part in F._split(y)]
        rows = zip(F.functions, parts, moves, strict=True)
        made = [dual_step(f, part, along, sigma) for f, part, along in rows]
        return torch.cat([part.flatten(1) for part in made], 1)
    if isinstance(F, ed.L1):
        return F.weight * ((0 if y is None else (y / F.weight).atanh()) + move).tanh()
    return simplex_step(F.function, torch.ones_like(move) if y is None else y, move, sigma)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iterates_stay_in_the_simplex(dtype: torch.dtype) -> None:
    K = 1e3 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    problem = ed.InverseProblem(
        A=ed.Dense(K), data=ed.Conjugate(ed.Simplex()), G=ed.Simplex(2.0)
    ).to(dtype)
    for step in (1e-30, 1.0, 1e30):
        steps = ed.Entropy(ed.StepSizes.fixed(step, step))
        x = ed.Unrolled(problem, 50, steps, ed.Last())(torch.zeros(1, 4, dtype=dtype))
        assert (x >= 0).all()
        torch.testing.assert_close(x.sum(1), torch.full((1,), 2.0, dtype=dtype))


@pytest.mark.parametrize(
    ("f", "conjugate"),
    [
        (ed.Simplex(0.7), False),
        (ed.Tilted(ed.Simplex(), torch.tensor([1.0, -2.0, 0.5]).double()), False),
        (ed.GroupSum(ed.Simplex(), torch.tensor([0, 1, 0])), False),
        (ed.Conjugate(ed.Simplex()), True),
        (ed.L1(torch.tensor([0.3, 2.0, 1.0]).double()), True),
    ],
)
def test_a_step_minimises_with_the_distance_of_its_entropy(f: ed.Function, conjugate: bool) -> None:
    entropic, step = Entropic(f, conjugate), 0.6
    v, logs = observation(1), observation(2)
    base, before = entropic.step(logs, 0.0)
    after = entropic.step(base - step * v, step)[1]

    def energy(p: Tensor) -> Tensor:
        linear = f.slope * p if isinstance(f, ed.Tilted) else torch.zeros_like(p)
        if isinstance(f, ed.L1):
            ups, downs = f.weight + before, f.weight - before
            distance = torch.xlogy(f.weight + p, (f.weight + p) / ups) / 2
            distance = distance + torch.xlogy(f.weight - p, (f.weight - p) / downs) / 2
        else:
            distance = torch.xlogy(p, p / before)
        return (v * p + linear + distance / step).sum(1)

    least = energy(after)
    for seed in range(20):
        for size in (1e-3, 1.0):
            near = entropic.step(base - step * v + size * observation(seed), step)[1]
            assert (energy(near) >= least - 1e-14).all()


def test_averages_of_a_game_fall_as_proved() -> None:
    K = 2 * torch.rand(30, 20, generator=torch.Generator().manual_seed(1)).double() - 1
    problem = ed.InverseProblem(A=ed.Dense(K), data=ed.Conjugate(ed.Simplex()), G=ed.Simplex())
    b = torch.zeros(1, 30).double()
    value = ed.solve(problem, b, tol=1e-10).x @ K.T
    step = 1 / float(K.abs().max())
    for depth in (10, 100, 1000):
        model = ed.Unrolled(
            problem, depth, ed.Entropy(ed.StepSizes.fixed(step, step)), ed.Ergodic("uniform")
        )
        with torch.no_grad():
            excess = float((model(b) @ K.T).max() - value.max())
        assert -1e-9 <= excess <= (math.log(30) + math.log(20)) / (step * depth)


def test_derivatives_of_second_order_and_transforms() -> None:
    model = model_of("game", ed.Reverse())
    b = observed(model)
    (slope,) = torch.autograd.grad(loss(model, b), b, create_graph=True)
    (again,) = torch.autograd.grad(slope.pow(2).sum(), b)
    assert again.norm() > 0
    jacobian = torch.func.jacrev(lambda b: model(b).sum(1))(b.detach())
    rows = torch.autograd.functional.jacobian(lambda b: model(b).sum(1), b)
    torch.testing.assert_close(jacobian, rows)
    with torch.no_grad():
        exported = torch.export.export(model, (b,)).module()
        torch.testing.assert_close(exported(b), model(b))


def test_refusals() -> None:
    K, b = ed.Dense(matrix()), observation(n=4)
    fixed, rows = ed.StepSizes.fixed(0.5, 0.5), ed.Conjugate(ed.Simplex())
    some = ed.GroupSum(ed.Simplex(), torch.tensor([0, 0, -1]))
    for data, G, said in (
        (ed.SquaredL2(), ed.Simplex(), "steps of SquaredL2 as F are not known"),
        (ed.Simplex(), ed.Simplex(), "steps of Simplex as F are not known"),
        (rows, ed.NonNegative(), "steps of NonNegative are not known; .* G that is Simplex"),
        (rows, ed.L1(), "steps of L1 are not known"),
        (rows, some, "steps of GroupSum are not known"),
    ):
        problem = ed.InverseProblem(A=K, data=data, G=G)
        for adjoint in (ed.Reverse(), ed.Tape()):
            with pytest.raises(ed.ErgodualError, match=said):
                ed.Unrolled(problem, 2, ed.Entropy(fixed), adjoint=adjoint)(b)
    problem = game(K)
    for adjoint, said in (
        (ed.Truncated(2), "Truncated serves no relaxed iterations, no entropy steps"),
        (ed.Implicit(), "Implicit reads off the last iterates which bounds are met"),
        (ed.Neumann(2), "Neumann reads off"),
    ):
        with pytest.raises(ed.ErgodualError, match=said):
            ed.Unrolled(problem, 4, ed.Entropy(fixed), adjoint=adjoint)(b)
    of_each = ed.StepSizes.fixed(0.5, torch.ones(1, 3).double())
    with pytest.raises(ed.ErgodualError, match="each coordinate, and Entropic is no sum"):
        ed.Unrolled(problem, 4, ed.Entropy(of_each))(b)
    for make, said in (
        (lambda: ed.Entropy(0.5), "Entropy got 0.5; it must be a rule"),
        (lambda: ed.Entropy(ed.Entropy(fixed)), "Entropy got Entropy"),
        (lambda: ed.Relaxed(ed.Entropy(fixed), 1.5), "Relaxed got Entropy"),
        (lambda: ed.Steady(ed.Entropy(fixed), 3), "Steady got Entropy"),
        (lambda: ed.Entropy(ed.Relaxed(fixed, 1.5))(K, 3), "Entropy got relaxed steps"),
    ):
        with pytest.raises(ed.ErgodualError, match=said):
            make()
