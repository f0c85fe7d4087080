"""Problems of images, stacks and inverse problems: certificates, other solvers, derivatives."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import BATCH, Mixing, N, Slow, kernel, matrix, observation, parameter
from torch import Tensor

import ergodual as ed
from ergodual.tensors import Number

SHAPE = (6, 7)
IMAGE = observation(5, sample=SHAPE) + 1


def blur() -> ed.Operator:
    taps = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64) / 16
    return ed.Conv(taps[None, None], padding="circular")


def total_variation() -> tuple[ed.Problem, Tensor]:
    return ed.Problem(F=ed.L21(0.1, dim=1), G=ed.SquaredL2(), K=ed.Gradient()), IMAGE


def deblurring() -> tuple[ed.InverseProblem, Tensor]:
    b = blur()(IMAGE[:, None]).detach() + 0.05 * observation(6, sample=(1, *SHAPE))
    problem = ed.InverseProblem(
        A=blur(),
        data=ed.SquaredL2(),
        F=ed.L21(0.02, dim=1),
        K=ed.Gradient(axes=(-2, -1)),
        G=ed.NonNegative(),
    )
    return problem, b


def inpainting() -> tuple[ed.InverseProblem, Tensor]:
    mask = (observation(7, 1, sample=SHAPE)[0] > -0.2).double()
    problem = ed.InverseProblem(
        A=ed.Diagonal(mask), data=ed.SquaredL2(10.0), F=ed.L21(0.1, dim=1), K=ed.Gradient()
    )
    return problem, mask * IMAGE


def filters() -> tuple[ed.Problem, Tensor]:
    K = ed.Conv(kernel(4, 1, 3, 3))
    return ed.Problem(F=ed.L1(0.1), G=ed.SquaredL2(), K=K), IMAGE[:, None]


def two_operators() -> tuple[ed.Problem, Tensor]:
    K = ed.Stack(ed.Gradient(), ed.Identity())
    F = ed.SeparableSum(ed.L21(0.1, dim=1), ed.L1(0.05))
    return ed.Problem(F=F, G=ed.SquaredL2(), K=K), IMAGE


def paper() -> tuple[ed.Problem, Tensor]:
    K = ed.Dense.dct(20, torch.float64)
    return ed.Problem(ed.L1(), ed.Box(radius=0.2), K), observation(8, n=20)


PROBLEMS: dict[str, Callable[[], tuple[ed.Problem | ed.InverseProblem, Tensor]]] = {
    "total variation": total_variation,
    "deblurring": deblurring,
    "inpainting": inpainting,
    "learned filters": filters,
    "a stack of two": two_operators,
    "the paper's": paper,
}


def by_cvxpy(name: str, x: Tensor) -> float:
    """The objective of one sample, from K as a matrix, by CVXPY's interior point method."""
    cvxpy = pytest.importorskip("cvxpy")
    from ergodual.operators.norms import matrix_of

    def dense(K: ed.Operator, domain: torch.Size):  # type: ignore[no-untyped-def]
        return matrix_of(K, domain, torch.zeros((), dtype=torch.float64)).detach().numpy()

    domain = x.shape
    b, u = x.flatten().numpy(), cvxpy.Variable(x.numel())

    def lengths(gradient):  # type: ignore[no-untyped-def]
        both = cvxpy.reshape(gradient, (2, x.numel()), order="C")
        return cvxpy.sum(cvxpy.norm(both, 2, axis=0))

    def half_squares(r):  # type: ignore[no-untyped-def]
        return 0.5 * cvxpy.sum_squares(r)

    constraints = []
    gradient = dense(ed.Gradient(axes=(-2, -1)), domain) if len(domain) > 1 else None
    if name == "total variation":
        cost = 0.1 * lengths(gradient @ u) + half_squares(u - b)
    elif name == "deblurring":
        cost = half_squares(dense(blur(), domain) @ u - b) + 0.02 * lengths(gradient @ u)
        constraints = [u >= 0]
    elif name == "inpainting":
        A = dense(inpainting()[0].A, domain)
        cost = 10 * half_squares(A @ u - b) + 0.1 * lengths(gradient @ u)
    elif name == "learned filters":
        cost = 0.1 * cvxpy.norm1(dense(filters()[0].K, domain) @ u) + half_squares(u - b)
    elif name == "a stack of two":
        cost = 0.1 * lengths(gradient @ u) + 0.05 * cvxpy.norm1(u) + half_squares(u - b)
    else:
        cost = cvxpy.norm1(dense(paper()[0].K, domain) @ u)
        constraints = [cvxpy.norm_inf(u - b) <= 0.2]
    return float(cvxpy.Problem(cvxpy.Minimize(cost), constraints).solve(solver="CLARABEL"))


@pytest.mark.parametrize("name", PROBLEMS)
def test_solved_to_a_certificate_and_as_another_solver(name: str) -> None:
    problem, x = PROBLEMS[name]()
    found = ed.solve(problem, x, tol=1e-6)
    assert found.converged.all()
    one = problem.instance(x)
    with torch.no_grad():
        objective = one.primal(found.r)
    for i in range(BATCH):
        assert float(objective[i]) == pytest.approx(by_cvxpy(name, x[i]), rel=1e-5)


def test_a_sample_may_have_any_shape() -> None:
    """The flat problem, seen as images by an operator that flattens them first."""

    class Flattened(ed.Operator):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ed.Dense(matrix(5, 6))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x.flatten(1))

    x = observation(9, n=6)
    flat = ed.solve(ed.Problem(ed.L1(), ed.Box(radius=0.2), ed.Dense(matrix(5, 6))), x)
    shaped = ed.solve(ed.Problem(ed.L1(), ed.Box(radius=0.2), Flattened()), x.view(-1, 2, 3))
    torch.testing.assert_close(shaped.x.flatten(1), flat.x, rtol=0, atol=1e-5)


def test_denoising_is_one_problem_in_two_words() -> None:
    problem, x = total_variation()
    same = ed.InverseProblem(data=ed.SquaredL2(), F=ed.L21(0.1, dim=1), K=ed.Gradient())
    ours, theirs = (ed.solve(each, x, tol=1e-8).x for each in (problem, same))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def counted(
    dtype: torch.dtype = torch.float64, weight: Number = 0.3, side: int = 16
) -> tuple[Tensor, dict[str, Any]]:
    """Counts of light, some of them 0, and the terms of their total variation."""
    edge = torch.ones(2, 1, side, side, dtype=dtype)
    edge[..., side // 2 :] = 30.0
    counts = torch.poisson(edge, torch.Generator().manual_seed(0))
    F, K = ed.L21(weight, dim=1), ed.Gradient(axes=(-2, -1))
    return counts, {"data": ed.KullbackLeibler(), "F": F, "K": K}


def test_directions_that_a_blur_hardly_sees_are_no_scale() -> None:
    """The minimum of the data term alone is thousands of times as far away as the solution."""
    taps = torch.exp(-torch.arange(-4.0, 5.0).square() / 5)
    A, K = ed.Blur(torch.outer(taps, taps) / taps.sum() ** 2), ed.Gradient(axes=(-2, -1))
    draw = torch.Generator().manual_seed(0)
    blocks = torch.rand(1, 1, 4, 4, generator=draw).repeat_interleave(8, 2).repeat_interleave(8, 3)
    b = A(blocks) + 0.01 * torch.randn(blocks.shape, generator=draw)
    for weight in (0.1, 0.3):
        F = ed.L21(weight, dim=1)

        def objective(x: Tensor, F: ed.Function = F) -> float:
            return float((A(x) - b).square().sum() / 2 + F.value(K(x)))

        by_prox = ed.solve(ed.Problem(F, ed.Quadratic(A, b), K), torch.zeros_like(b), tol=1e-4)
        stacked = ed.solve(ed.InverseProblem(A=A, data=ed.SquaredL2(), F=F, K=K), b, tol=1e-4)
        assert by_prox.converged.all()
        assert objective(by_prox.x) <= 1.001 * objective(stacked.x)


def test_counts_of_images_with_a_tilt_are_told_to_be_unbounded() -> None:
    counts, terms = counted()
    data = ed.Tilted(ed.KullbackLeibler(), -1.5)  # falls by half of x, where all is light
    problem = ed.InverseProblem(
        A=ed.Diagonal(torch.ones(16, 16).double()), **terms | {"data": data}
    )
    with pytest.warns(ed.NotConvergedWarning, match="unbounded"):
        assert ed.solve(problem, counts).status == ["unbounded"] * 2


class Background(ed.KullbackLeibler):
    """Light of mean 5 beside that of x, which may then be negative, in an own way."""

    def observed(self, observation: Tensor) -> tuple[ed.Function, Tensor]:
        return ed.Translated(ed.KullbackLeibler(observation), -5.0), torch.zeros_like(observation)


class AtLeastThree(ed.NonNegative):
    """x ≥ 3."""

    def __init__(self) -> None:
        ed.Box.__init__(self, lower=3.0, upper=torch.inf)


def test_counts_are_denoised_as_by_a_stack() -> None:
    counts, terms = counted(side=8)
    assert (counts == 0).any()
    stacked = ed.Diagonal(torch.ones_like(counts[0]))  # an identity by another name
    expected = ed.solve(ed.InverseProblem(A=stacked, **terms), counts, tol=1e-9).x
    for G in (None, ed.NonNegative()):
        found = ed.solve(ed.InverseProblem(**terms, G=G), counts, tol=1e-9)
        assert found.converged.all()
        assert found.gap.isfinite().all()
        torch.testing.assert_close(found.x, expected, rtol=0, atol=5e-3)
    # a background, a tilt, and what only looks like the plain one
    for data, G in (
        (ed.Translated(ed.KullbackLeibler(), -2.0), None),
        (ed.Tilted(ed.KullbackLeibler(), 0.1), None),
        (Background(), ed.NonNegative()),
        (ed.KullbackLeibler(), AtLeastThree()),
    ):
        each = terms | {"data": data}
        expected = ed.solve(ed.InverseProblem(A=stacked, **each, G=G), counts, tol=1e-9).x
        found = ed.solve(ed.InverseProblem(**each, G=G), counts, tol=1e-9)
        torch.testing.assert_close(found.x, expected, rtol=0, atol=2e-2)
    # r = 0 has a cost, to which the gap is relative: single precision is enough
    counts, terms = counted(torch.float32)
    rough = ed.solve(ed.InverseProblem(**terms), counts, tol=1e-4)
    assert rough.converged.all()
    assert rough.iterations.max() <= 512


@pytest.mark.parametrize(("mean", "weight"), [(30.0, 1e-6), (30.0, 1e-8), (1e6, 0.03), (1e7, 0.03)])
def test_certificates_of_counts_hold_in_single_precision(mean: float, weight: float) -> None:
    draw = torch.Generator().manual_seed(1)
    counts = torch.poisson(torch.full((1, 1, 12, 12), mean).double(), draw)
    terms = {"F": ed.L21(weight, dim=1), "K": ed.Gradient(axes=(-2, -1))}
    problem = ed.InverseProblem(data=ed.KullbackLeibler(), **terms)
    found = ed.solve(problem, counts.float(), tol=1e-4)
    assert found.converged.all()
    one, exact = problem.instance(counts).detached(), ed.solve(problem, counts, tol=1e-9)

    def objective(r: Tensor) -> float:
        return float(one.primal(r))

    idle = objective(torch.zeros_like(counts))
    off = (objective(found.r.double()) - objective(exact.r)) / idle
    assert off <= 1.5 * float(found.error) + 1e-6


def test_derivatives_of_denoised_counts() -> None:
    weight = parameter(0.3)
    counts, terms = counted(weight=weight, side=8)
    b = counts.clone().requires_grad_()
    solved = ed.Solved(ed.InverseProblem(**terms), tol=1e-13, adjoint=ed.Piggyback(1e-7))
    unrolled = ed.Unrolled(ed.InverseProblem(**terms), 4, output=ed.Last())
    draw = torch.Generator().manual_seed(1)
    v, h = torch.rand(counts.shape, generator=draw, dtype=counts.dtype) * (counts > 0), 1e-5
    for layer, near in ((unrolled, 1e-6), (solved, 1e-5)):
        found = torch.autograd.grad(layer(b).square().mean(), [weight, b])

        def value(in_weight: float, in_counts: float, layer: torch.nn.Module = layer) -> float:
            with torch.no_grad():
                weight.add_(in_weight)
                moved = float(layer(counts + in_counts * v).square().mean())
                weight.sub_(in_weight)
            return moved

        slope = (value(h, 0) - value(-h, 0)) / (2 * h)
        assert float(found[0]) == pytest.approx(slope, rel=near)
        slope = (value(0, h) - value(0, -h)) / (2 * h)
        assert float((found[1] * v).sum()) == pytest.approx(slope, rel=near)


@pytest.mark.parametrize("adjoint", [ed.Implicit, ed.Piggyback, lambda: ed.Neumann(3000)])
def test_derivatives_of_an_inverse_problem(adjoint: Callable[[], ed.Implicit]) -> None:
    b = observation(3, n=N)

    def value(A: Tensor, K: Tensor, b: Tensor, weight: Tensor, tol: float = 1e-12) -> Tensor:
        problem = ed.InverseProblem(
            A=ed.Dense(A),
            data=ed.SquaredL2(weight),
            F=ed.L1(0.3),
            K=ed.Dense(K),
            G=ed.Box(radius=2),
        )
        return ed.Solved(problem, tol=tol, adjoint=adjoint())(b).pow(3).sum()

    inputs = [matrix(N, N, 1), matrix(2, N, 2), b.clone().requires_grad_(), parameter(0.8)]
    found = torch.autograd.grad(value(*inputs), inputs)
    for i, t in enumerate(inputs):
        v = torch.randn(t.shape, generator=torch.Generator().manual_seed(i), dtype=t.dtype)
        sides = []
        for h in (1e-5, -1e-5):
            moved = [s.detach() + h * v if j == i else s.detach() for j, s in enumerate(inputs)]
            with torch.no_grad():
                sides.append(float(value(*moved)))
        slope = (sides[0] - sides[1]) / 2e-5
        assert float((found[i] * v).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("adjoint", [ed.Implicit, ed.Piggyback, lambda: ed.Neumann(50)])
def test_the_backward_pass_uses_what_the_forward_pass_saw(
    adjoint: Callable[[], ed.Implicit],
) -> None:
    def layer() -> ed.Solved:
        problem = ed.Problem(ed.SquaredL2(0.3), ed.SquaredL2(), ed.Dense(matrix()))
        return ed.Solved(problem, tol=1e-11, adjoint=adjoint())

    x, Q = observation(), matrix(seed=8)
    called = torch.func.functional_call(layer(), {"problem.K.matrix": Q}, (x,))
    direct = layer()
    direct.problem.K = ed.Dense(Q)
    value = direct(x)
    direct.problem.K, direct.problem.F = ed.Dense(matrix()), ed.SquaredL2(7.0)
    found, expected = (torch.autograd.grad(v.pow(3).sum(), Q)[0] for v in (called, value))
    torch.testing.assert_close(found, expected)
    assert found.norm() > 1e-3


def test_there_is_no_second_derivative_at_a_solution() -> None:
    x = observation().requires_grad_()
    layer = ed.Solved(ed.Problem(ed.L1(0.3), ed.SquaredL2(), ed.Dense(matrix())))
    with pytest.raises(ed.ErgodualError, match="first derivatives only"):
        torch.autograd.grad(layer(x).sum(), x, create_graph=True)


class Halved(Slow):
    """An operator whose adjoint lacks a factor."""

    def adjoint(self, y: Tensor, domain: torch.Size | None = None) -> Tensor:
        return 0.5 * super().adjoint(y)


class Understated(Slow):
    """An operator whose norm bound is none."""

    def norm_bound(self, domain: torch.Size | None = None) -> float:
        return 0.5 * super().norm_bound()


@pytest.mark.parametrize(
    ("K", "said"), [(Halved, "adjoint is wrong"), (Understated, "give an upper bound")]
)
def test_a_wrong_operator_is_noticed(K: Callable[[], ed.Operator], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        ed.solve(ed.Problem(ed.L1(), ed.SquaredL2(), K()), observation())


def test_a_wrong_adjoint_is_noticed_where_nothing_moves() -> None:
    problem = ed.Problem(ed.L1(), ed.Box(radius=10.0), Halved())
    with pytest.raises(ed.ErgodualError, match=r"adjoint is wrong.*ed\.check_operator"):
        ed.solve(problem, torch.zeros(BATCH, N, dtype=torch.float64))


def test_an_operator_with_a_kernel_is_no_wrong_one() -> None:
    """Kr and Kᵀy are both next to nothing: r is nearly constant, and nothing holds y."""
    x = 1e4 + 1e-3 * observation(n=60).float()
    problem = ed.Problem(ed.SquaredL2(), ed.Zero(), ed.Gradient())
    assert ed.solve(problem, x, tol=1e-3).converged.all()


@pytest.mark.filterwarnings("ignore::ergodual.NotConvergedWarning")
@pytest.mark.parametrize("c", [1e-2, 1e2])
def test_the_units_of_a_part_hardly_matter(c: float) -> None:
    """A and b in other units pose the same problem."""
    problem, b = deblurring()
    problem.A, problem.data = c * problem.A, ed.SquaredL2(c**-2)
    found = ed.solve(problem, c * b, tol=1e-5)
    assert found.converged.all()
    alike, limit = ed.Restarted(precondition=False), 3 * int(found.iterations.max())
    assert not ed.solve(problem, c * b, 1e-5, alike, limit).converged.all()


@pytest.mark.parametrize("adjoint", [ed.Implicit, ed.Piggyback, lambda: ed.Neumann(2000)])
def test_steps_by_part_lead_to_the_same_derivative(adjoint: Callable[[], ed.Implicit]) -> None:
    K = ed.Stack(ed.Dense(matrix()), 5 * ed.Dense(matrix(2, N, 9)))
    F = ed.SeparableSum(ed.L1(parameter(0.2)), ed.SquaredL2(parameter(0.1)))
    problem, found = ed.Problem(F, ed.SquaredL2(), K), []
    for by_part in (False, True):
        steps = ed.StepSizes.balanced(by_part=by_part)
        model = ed.Unrolled(problem, 4000, steps, ed.Last(), adjoint())
        x = observation().requires_grad_()
        wanted = [x, *problem.parameters()]
        found.append(torch.autograd.grad(model(x).pow(3).sum(), wanted))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("adjoint", [ed.Implicit, ed.Piggyback, lambda: ed.Neumann(3), ed.OneStep])
def test_networks_have_no_solution(adjoint: Callable[[], ed.Implicit]) -> None:
    problems = [ed.Problem(ed.L1(), ed.SquaredL2(), ed.Dense(matrix())) for _ in range(2)]
    with pytest.raises(ed.ErgodualError, match="problems of their own"):
        ed.Unrolled(problems, adjoint=adjoint())(observation())
    for refuses in (ed.solve, lambda problem, x: ed.Solved(problem)):
        with pytest.raises(ed.ErgodualError, match="one Problem or InverseProblem"):
            refuses(problems, observation())  # type: ignore[arg-type]


def test_a_users_operator_is_solved_by_forward_alone() -> None:
    problem = ed.Problem(ed.L1(0.2), ed.SquaredL2(), Mixing())
    assert ed.solve(problem, observation(sample=(2, 3))).converged.all()


@pytest.mark.parametrize("background", [0.0, 1000.0])
@pytest.mark.parametrize("G", [ed.Zero, ed.NonNegative, lambda: ed.Box(lower=-1.0, upper=3000.0)])
def test_what_lies_beneath_an_image_makes_no_certificate(
    G: Callable[[], ed.Function], background: float
) -> None:
    """Neither b, which is large, nor bounds far away are what the error is relative to."""
    x = background + 2 + observation(sample=(8, 8))
    A = blur()
    with torch.no_grad():
        b = A(x[:, None]) + 0.01 * observation(5, sample=(1, 8, 8))
    data, F, K = ed.SquaredL2(), ed.L21(0.002, dim=1), ed.Gradient((-2, -1))
    problem = ed.InverseProblem(A=A, data=data, F=F, K=K, G=G())
    rough, exact = ed.solve(problem, b), ed.solve(problem, b, tol=1e-10)

    def objective(x: Tensor) -> Tensor:
        return (data.value(A(x) - b) + F.value(K(x))).detach()

    torch.testing.assert_close(objective(rough.x), objective(exact.x), rtol=1e-5, atol=0)


class Contradicting(ed.L1):
    """A function whose conjugate is another one's."""

    def conjugate(self, y: Tensor) -> Tensor:
        return super().conjugate(y) - 5


def test_a_wrong_conjugate_makes_no_certificate() -> None:
    problem = ed.Problem(Contradicting(), ed.Box(radius=0.1), ed.Dense(matrix()))
    with pytest.raises(ed.ErgodualError, match="value and conjugate contradict each other"):
        ed.solve(problem, observation())


def test_an_operator_put_in_later_is_probed_too() -> None:
    problem = ed.Problem(ed.L1(), ed.SquaredL2(), ed.Dense(matrix()))
    model = ed.Unrolled(problem, 2, ed.StepSizes.fixed(0.1, 0.1))
    model(observation())
    problem.K = Halved()
    with pytest.raises(ed.ErgodualError, match="adjoint is wrong"):
        model(observation())


def test_convolutions_are_looked_at_once_whatever_the_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, forward = [], ed.Conv.forward

    def watched(K: ed.Conv, x: Tensor) -> Tensor:
        seen.append(x.shape[-1])
        return forward(K, x)

    monkeypatch.setattr(ed.Conv, "forward", watched)
    kernel = torch.ones(2, 1, 3, dtype=torch.float64)
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), ed.Conv(kernel)), 1)
    for n in (1000, 1001):
        model(torch.zeros(1, 1, n, dtype=torch.float64))
    assert sum(n < 1000 for n in seen) > 5
    assert sum(n >= 1000 for n in seen) <= 6


def test_the_sweeps_notice_a_norm_that_is_too_low() -> None:
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), Understated()), 2)
    with pytest.raises(ed.ErgodualError, match="give an upper bound"):
        model(observation())


@pytest.mark.parametrize("weight", [0.0, 1e-4, 1e-3, 1e-2])
def test_measurements_without_noise(weight: float) -> None:
    """Where the objective is nearly 0, Newton steps of nearly singular sets lead far away."""
    A = matrix(20, 40)
    x = observation(n=40) * (observation(3, n=40) > 1)
    b = (x @ A.T).detach()
    F = ed.L1(weight) if weight else None
    found = ed.solve(ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2(), F=F), b)
    assert found.converged.all()
    cost = weight * x.abs().sum(1)
    objective = 0.5 * (found.x @ A.T - b).square().sum(1) + weight * found.x.abs().sum(1)
    assert (objective <= cost * 1.001 + 1e-12 * b.square().sum(1)).all()


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_nothing_to_do(level: float) -> None:
    """Of a constant image total variation is 0, and a silent frame has no coefficients."""
    K = ed.Dense(matrix())
    image = torch.full((2, 8, 8), level, dtype=torch.float64)
    for problem, x in (
        (ed.Problem(ed.L21(0.1, dim=1), ed.SquaredL2(), ed.Gradient()), image),
        (ed.Problem(ed.L21(0.1, size=2), ed.SquaredL2(), K), torch.zeros(BATCH, N).double()),
    ):
        solution = ed.solve(problem, x, max_iterations=100)
        assert solution.converged.all()
        torch.testing.assert_close(solution.x, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_data_of_a_large_weight_are_solved_to_the_objective(dtype: torch.dtype) -> None:
    """A little of x, to which the residual is relative, costs much there."""
    taps = torch.exp(-torch.arange(-4.0, 5.0).square() / 5)
    A, K = ed.Blur(torch.outer(taps, taps) / taps.sum() ** 2), ed.Gradient(axes=(-2, -1))
    draw = torch.Generator().manual_seed(0)
    blocks = torch.rand(1, 1, 4, 4, generator=draw).repeat_interleave(6, 2).repeat_interleave(6, 3)
    F, weight = ed.L21(6.0, dim=1), 1e6
    b = (A(blocks) + 1e-3 * torch.randn(blocks.shape, generator=draw)).to(dtype)
    problem = ed.InverseProblem(A=A.to(dtype), data=ed.SquaredL2(weight), F=F, K=K)
    found = ed.solve(problem, b, tol=1e-4)
    assert found.converged.all()
    A, b = A.double(), b.double()

    def objective(x: Tensor) -> float:
        return float(weight * (A(x) - b).square().sum() / 2 + F.value(K(x)))

    by_prox = ed.Problem(F, ed.Quadratic(A, b, weight=weight), K)
    best = objective(ed.solve(by_prox, torch.zeros_like(b), tol=1e-6).x)
    assert objective(found.x.double()) <= 1.001 * best
