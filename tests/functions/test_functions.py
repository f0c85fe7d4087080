"""Functions against their definition, by the checks that users call; and what these cannot see."""

import math
from collections.abc import Callable

import pytest
import torch
from cases import FLAT, FUNCTIONS, Sample, UsersHuber, matrix, observation, parameter
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed

every = pytest.mark.parametrize("name", FUNCTIONS)


@every
@pytest.mark.parametrize("sample", [FLAT, (2, 3), (4, 2, 1)], ids=str)
def test_function(name: str, sample: Sample) -> None:
    ed.check_function(FUNCTIONS[name](sample), observation(sample=sample))


def test_sum_of_functions() -> None:
    shapes = [torch.Size((2, 3)), torch.Size((4,))]
    for one in FUNCTIONS:
        f = ed.SeparableSum(FUNCTIONS[one]((2, 3)), FUNCTIONS["l1"]((4,)), shapes=shapes)
        ed.check_function(f, observation(n=10))


@every
def test_a_float32_batch(name: str) -> None:
    ed.check_function(FUNCTIONS[name]().float(), observation().float())


class Wrong(UsersHuber):
    """A UsersHuber function with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__(parameter(0.4))
        self.fault = fault

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return super().value(x).sum() if self.fault == "value" else super().value(x)

    def prox(self, z: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        if self.fault == "shape":
            return z[:, 1:]
        return super().prox(z, 2 * step if self.fault == "prox" else step)

    def prox_conjugate(self, z: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        return (1.01 if self.fault == "moreau" else 1.0) * super().prox_conjugate(z, step)

    def prox_(self, z: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        return self.prox(z, step) if self.fault == "in place" else super().prox_(z, step)

    def strong_convexity(self) -> float:
        return 5.0 if self.fault == "convexity" else 0.0

    def smoothness(self) -> float:
        return 0.1 if self.fault == "smoothness" else math.inf

    def prox_vjp(self, kept, step, grad, parameters=False):  # type: ignore[no-untyped-def]
        in_z, found = super().prox_vjp(kept, step, grad, parameters)
        if self.fault == "width":
            found = tuple(2 * t for t in found)
        if self.fault == "few":
            found = found[1:]
        return (2 * in_z if self.fault == "vjp" else in_z), found

    def conjugate(self, y: torch.Tensor) -> torch.Tensor:
        if self.fault != "conjugate":
            raise NotImplementedError
        return y.square().sum(1)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("value", "a finite number for each sample"),
        ("prox", "prox does not minimise"),
        ("shape", "prox maps .* keep the shape"),
        ("moreau", "break Moreau's identity"),
        ("in place", "prox_ is not its prox written over z"),
        ("vjp", "prox_vjp is not the tape's gradient in z"),
        ("width", "prox_vjp is not the tape's gradient in tensor 0"),
        ("few", "prox_vjp gives 0 gradients for 1 tensors"),
        ("conjugate", "value and conjugate"),
        ("convexity", "says that its strong convexity is 5"),
        ("smoothness", "says that its smoothness is 0.1"),
    ],
)
def test_faults_are_found(fault: str, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        ed.check_function(Wrong(fault), observation(n=8))


class NotSeparable(ed.L2Ball):
    """A ball that says that it is a sum over coordinates."""

    separable = True


def test_a_false_claim_to_be_separable_is_found() -> None:
    with pytest.raises(ed.ErgodualError, match="one coordinate moves the others"):
        ed.check_function(NotSeparable(0.3), observation(n=8))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: ed.L1([0.1, 0.2]), "L1's weight is a list; give a number or a tensor"),  # type: ignore[arg-type]
        (lambda: ed.L2Ball(None), "L2Ball's radius is a NoneType"),  # type: ignore[arg-type]
        (lambda: ed.SquaredL2(torch.ones(3).bool()), "is a tensor of type torch.bool"),
        (lambda: ed.Box(radius=-1.0), "Box's radius is -1; it must not be negative"),
        (lambda: ed.L1(math.inf), "L1's weight is infinite; give a finite number"),
        (lambda: ed.SquaredL2(torch.tensor([1.0, math.inf])), "SquaredL2's weight is infinite"),
        (lambda: ed.L21(math.inf, dim=1), "L21's weight is infinite"),
        (lambda: ed.Box(lower=torch.zeros(3), upper=torch.ones(4)), "bounds do not fit"),
        (lambda: ed.check_function(torch.nn.ReLU(), observation()), "give an ed.Function"),  # type: ignore[arg-type]
        (ed.SeparableSum, "SeparableSum got no function"),
        (lambda: ed.SeparableSum(1.0), "SeparableSum got a float"),  # type: ignore[arg-type]
        (
            lambda: ed.SeparableSum(ed.L1(), ed.L1()).value(observation()),
            "does not know the shapes",
        ),
        (
            lambda: twice([torch.Size((2,))] * 2).check(1, torch.Size((5,))),
            r"meets samples of shape \(5,\)",
        ),
        (
            lambda: ed.Problem(ed.L1(), ed.Translated(ed.Box(radius=0.1), 5.0), ed.Identity()),
            "G excludes r = x - x~ = 0",
        ),
    ],
)
def test_sentences(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        wrong()


def twice(shapes: list[torch.Size] | None = None) -> ed.SeparableSum:
    return ed.SeparableSum(ed.L1(), ed.L1(), shapes=shapes)


@every
def test_it_is_shown_by_its_name(name: str) -> None:
    f = FUNCTIONS[name]()
    assert type(f).__name__ in repr(f)


def test_a_clamp_at_its_bound_is_found() -> None:
    """Torch's own derivative there is 1: the tape and differences disagree, and neither is ours."""
    f = FUNCTIONS["box"]()
    assert f.prox_vjp(torch.tensor([[0.3]]), 1.0, torch.ones(1, 1))[0] == 0


@pytest.mark.parametrize(
    ("f", "which", "z", "slope"),
    [
        (ed.Box(radius=0.5), "prox", [-0.5, 0.5, 0.49, 0.51], [0, 0, 1, 0]),
        (ed.Box(radius=torch.tensor([[0.5]])), "prox", [-0.5, 0.5, 0.49, 0.51], [0, 0, 1, 0]),
        (ed.L1(2.0), "prox_conjugate", [-2.0, 2.0, 1.9, 2.1], [0, 0, 1, 0]),
        (ed.L1(2.0), "prox", [-2.0, 2.0, 1.9, 2.1], [0, 0, 0, 1]),
    ],
)
def test_at_a_kink_the_derivative_is_zero_on_the_bound(
    f: ed.Function, which: str, z: list[float], slope: list[float]
) -> None:
    point = torch.tensor([z], requires_grad=True)
    p = getattr(f, which)(point, 1.0)
    p.sum().backward()
    assert point.grad is not None
    assert point.grad.tolist() == [slope]
    ours, _ = getattr(f, which + "_vjp")(p.detach(), 1.0, torch.ones_like(point))
    assert ours.tolist() == [slope]


@pytest.mark.parametrize(
    ("f", "which", "z", "expected"),
    [
        # beside numbers of which the radius is less than a rounding
        (ed.Simplex(), "prox", [1e8, 1e8 - 64, 3.0], [1.0, 0.0, 0.0]),
        (ed.Simplex(), "prox", [1e8, -2e8, 1e8], [0.5, 0.0, 0.5]),
        (ed.L1Ball(1.0), "prox", [1e8, 3.0, -1e8], [0.5, 0.0, -0.5]),
        (ed.L1Ball(1.0), "prox", [0.2, 0.0, -0.8], [0.2, 0.0, -0.8]),
        (ed.L1Ball(0.0), "prox", [0.2, 0.0, -0.8], [0.0, 0.0, 0.0]),
        # what is not a number is not hidden
        (ed.L1(), "prox", [math.nan, 1.5, 0.5], [math.nan, 0.5, 0.0]),
        (ed.Simplex(), "prox", [math.nan, 1.0, 0.5], [math.nan] * 3),
        (ed.L1Ball(1.0), "prox", [math.nan, 1.0, 0.5], [math.nan, 1.0, 0.5]),
        (ed.Nuclear(1.0, shape=(1, 3)), "prox", [math.inf, 1.0, 0.5], [math.nan] * 3),
        (ed.Nuclear(1.0, shape=(1, 3)), "value", [math.nan, 1.0, 0.5], math.nan),
        # weights of 0 and balls without bounds
        (ed.Huber(0.0, 1.0, dim=1), "conjugate", [0.0, 0.0, 0.0], 0.0),
        (ed.Huber(0.0, 1.0, dim=1), "conjugate", [0.0, 1.0, 0.0], math.inf),
        (ed.Nuclear(0.0, shape=(1, 3)), "prox_conjugate", [0.1, 0.7, -0.3], [0.0, 0.0, 0.0]),
        (ed.L2Ball(math.inf), "conjugate", [0.0, 0.0, 0.0], 0.0),
        (ed.L1Ball(math.inf), "conjugate", [0.0, 0.0, 0.0], 0.0),
        (ed.L1Ball(math.inf), "conjugate", [0.0, 1.0, 0.0], math.inf),
    ],
)
def test_at_the_ends(f: ed.Function, which: str, z: list[float], expected: object) -> None:
    steps = (1.0,) if which.startswith("prox") else ()
    found = getattr(f, which)(torch.tensor([z]), *steps)
    torch.testing.assert_close(found, torch.tensor([expected]), equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("groups", [{"dim": 1}, {"size": 2}, {"dim": -1}], ids=str)
def test_groups_of_zeros(groups: dict[str, int], dtype: torch.dtype) -> None:
    x = torch.zeros(2, 12, 3, dtype=dtype, requires_grad=True)
    value = ed.L21(0.3, **groups).value(x)
    value.sum().backward()
    assert value.tolist() == [0.0, 0.0]
    assert x.grad is not None
    assert not x.grad.any()


def test_equal_groups_are_those_of_l21() -> None:
    x, weight = observation(n=6), torch.tensor([0.4, 0.7], dtype=torch.float64)
    f, g = ed.L21(weight, size=3), ed.GroupSum(ed.L2(), torch.tensor([0, 1] * 3), weight)
    for ours, theirs in (
        (f.value(x), g.value(x)),
        (f.prox(x, 0.8), g.prox(x, 0.8)),
        (f.prox_conjugate(x, 0.8), g.prox_conjugate(x, 0.8)),
        (f.share_in_domain(x), g.share_in_domain(x)),
    ):
        torch.testing.assert_close(ours, theirs)
    pixels = torch.arange(4).view(1, 2, 2).expand(3, 2, 2)
    labels = ed.GroupSum(ed.Simplex(), pixels)
    p = labels.prox(observation(sample=(3, 2, 2)), 1.0)
    torch.testing.assert_close(p.sum(1), torch.ones_like(p[:, 0]))
    assert not labels.value(p).any()
    assert isinstance(labels.domain_indicator(), ed.GroupSum)


def test_a_group_lasso_learns_a_weight_for_each_group() -> None:
    weight = parameter(0.3, 0.2, 0.4, shape=(3,))
    G = ed.GroupSum(ed.L2(), torch.tensor([2, 0, 0, 1, 1, 2, 1, -1]), weight)
    problem = ed.InverseProblem(A=ed.Dense(matrix(6, 8)), data=ed.SquaredL2(), G=G)
    b = 4 * observation(n=6)
    layer = ed.Solved(problem, tol=1e-12)
    (slope,) = torch.autograd.grad(layer(b).pow(3).sum(), weight)
    for i in range(3):
        ends = []
        for sign in (1, -1):
            weight.data[i] += sign * 1e-5
            ends.append(float(layer(b).detach().pow(3).sum()))
            weight.data[i] -= sign * 1e-5
        assert float(slope[i]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-6)
    weight.data[0] = -1
    G.project_()
    assert weight.data[0] == 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [2, 9, 1000, 300_000])
@pytest.mark.parametrize("radius", [0.3, 7e-3])
def test_projections_are_inside(radius: float, size: int, dtype: torch.dtype) -> None:
    z = torch.randn(20, size, dtype=dtype, generator=torch.Generator().manual_seed(1))
    groups, ball = ed.L21(radius, dim=1), ed.L2Ball(radius)
    assert not groups.conjugate(groups.prox_conjugate(z, 1.0)).any()
    assert not ball.value(ball.prox(z, 1.0)).any()
    # and what is outside by more is told
    outside = 1.001 * groups.prox_conjugate(z, 1.0)
    assert groups.conjugate(outside).isinf().equal(z.norm(dim=1) > radius)
    assert ball.value(outside).isinf().equal(z.norm(dim=1) > radius)


MOVED: dict[str, Callable[[], ed.Function]] = {
    "box": lambda: ed.Translated(ed.Box(radius=0.3), 0.1),
    "ball": lambda: ed.Translated(ed.L2Ball(0.3), 100.0),
    "simplex": lambda: ed.Translated(ed.Simplex(), torch.linspace(-30, 30, 4)),
    "l1": lambda: ed.Conjugate(ed.Tilted(ed.L1(0.3), 0.1)),
    "l21": lambda: ed.Conjugate(ed.Tilted(ed.L21(0.3, size=2), 100.0)),
    "linear": lambda: ed.Conjugate(ed.Linear(0.1)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", MOVED)
def test_moved_projections_are_inside(name: str, dtype: torch.dtype) -> None:
    f, z = MOVED[name]().to(dtype), observation(batch=200, n=4).to(dtype)
    p = f.prox(10 * z, 1.0)
    for value in (f.value, torch.vmap(lambda x: f.value(x[None])[0])):
        assert not value(p).any()
        assert value(p + 1e-2 * z).isinf().any()


def test_a_moved_box_has_a_gap() -> None:
    problem = ed.Problem(ed.L1(), ed.Translated(ed.Box(radius=0.3), 0.1), ed.Dense(matrix()))
    found = ed.solve(problem, observation(), tol=1e-8)
    assert found.converged.all()
    assert found.gap.isfinite().all()


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=6), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)
)
def test_moreau_everywhere(values: list[float], step: float, weight: float) -> None:
    z = torch.tensor([values], dtype=torch.float64)
    for f in (
        ed.L1(weight),
        ed.L21(weight, size=len(values)),
        ed.Box(radius=weight),
        ed.SquaredL2(weight),
        ed.Zero(),
    ):
        total = f.prox(z, step) + step * f.prox_conjugate(z / step, 1 / step)
        torch.testing.assert_close(total, z, rtol=1e-12, atol=1e-12)


def poisson() -> Callable[[torch.Tensor], object]:
    problem = ed.InverseProblem(data=ed.KullbackLeibler(), G=ed.SquaredL2())
    return lambda counts: ed.solve(problem, counts)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ed.L1(-0.1), "weight is -0.1"),
        (lambda: ed.L2(-0.1), "L2's weight is -0.1"),
        (lambda: ed.LInf(math.inf), "LInf's weight is infinite"),
        (lambda: ed.L1Ball(-1.0), "L1Ball's radius is -1"),
        (lambda: ed.Simplex(-1.0), "Simplex's total is -1"),
        (lambda: ed.Huber(-1.0), "Huber's weight is -1"),
        (lambda: ed.Huber(1.0, 0.0), "Huber's width is 0"),
        (lambda: ed.Huber(dim=0), "dim is 0"),
        (lambda: ed.Huber(dim=3).value(torch.ones(1, 3)), "dim is 3"),
        (lambda: ed.ElasticNet(1.0, -1.0), "ElasticNet's l2 is -1"),
        (lambda: ed.KullbackLeibler(torch.tensor([1.0, -2.0])), "is -2; counts are"),
        (lambda: ed.KullbackLeibler().value(torch.ones(1, 3)), "has no counts"),
        (lambda: poisson()(torch.tensor([[1.0, -2.0]])), "is -2; counts are"),
        (lambda: ed.Nuclear(-1.0), "Nuclear's weight is -1"),
        (lambda: ed.Nuclear().value(torch.ones(1, 3)), "takes matrices"),
        (lambda: ed.Nuclear(shape=(2, 2)).value(torch.ones(1, 3)), r"matrices of \(2, 2\)"),
        (lambda: ed.Spline(torch.tensor([0.0, 1.0, 1.0]), torch.ones(2)), "do not increase"),
        (lambda: ed.Spline(torch.tensor([0.0, 1.0]), torch.ones(2)), "for each piece"),
        (lambda: ed.Spline(torch.tensor([0.0, 1.0]), -torch.ones(1)), "curvature is -1"),
        (
            lambda: ed.Spline(torch.tensor([0.0, 1.0]), torch.ones(4, 1)).check(1, (3,)),
            "4 channels",
        ),
        (
            lambda: ed.Spline(torch.tensor([0.0, 1.0]), torch.ones(1), math.nan),
            "slope is nan; give",
        ),
        (lambda: ed.Tilted(ed.L1(), math.nan), "Tilted's slope is nan; give finite"),
        (lambda: ed.Linear(torch.tensor([1.0, math.inf])), "Linear's slope is inf; give finite"),
        (lambda: ed.Translated(ed.L1(), -math.inf), "Translated's shift is -inf; give finite"),
        (
            lambda: torch.vmap(lambda b: ed.Translated(ed.L1(), b).value(b))(
                torch.tensor([[[1.0]], [[math.nan]]])
            ),
            "Translated's shift is nan; give finite",
        ),
        (lambda: ed.Tilted(1.0, 1.0), "Tilted got a float"),  # type: ignore[arg-type]
        (lambda: ed.Conjugate(1.0), "Conjugate got a float"),  # type: ignore[arg-type]
        (lambda: ed.L1(torch.tensor([1.0, math.nan])), "must not be negative"),
        (lambda: ed.L21(size=0), "groups have 0"),
        (lambda: ed.L21(), "needs its groups"),
        (lambda: ed.L21(dim=0), "dim is 0"),
        (lambda: ed.L21(dim=3).value(torch.ones(1, 3)), "dim is 3"),
        (lambda: ed.L2Ball(-1.0), "radius is -1"),
        (lambda: ed.L21(-1.0, size=2), "weight is -1"),
        (lambda: ed.L21(size=2).value(torch.ones(1, 3)), "groups of 2 need a multiple"),
        (lambda: ed.GroupSum(ed.L2(), torch.ones(3)), "groups are .* give integers"),
        (lambda: ed.GroupSum(ed.L2(), torch.tensor([-1, -1])), "got no group"),
        (lambda: ed.GroupSum(1.0, torch.zeros(2).long()), "GroupSum got a float"),  # type: ignore[arg-type]
        (lambda: ed.GroupSum(ed.L2(), torch.zeros(2).long(), 0.0), "weight is 0; it must be pos"),
        (lambda: ed.GroupSum(ed.L2(), torch.tensor([0, 4]), torch.ones(3)), "2 groups and weights"),
        (
            lambda: ed.GroupSum(ed.L2(), torch.zeros(2).long()).check(1, torch.Size((3,))),
            r"shape \(2,\), and meets \(3,\)",
        ),
        (lambda: ed.SquaredL2(-1.0), "weight is -1"),
        (lambda: ed.Box(radius=-0.1), "radius is -0.1"),
        (lambda: ed.Box(radius=torch.tensor([[0.1], [-0.1]])), "must not be negative"),
        (lambda: ed.Box(), "either radius"),
        (lambda: ed.Box(radius=1.0, lower=-1.0), "either radius"),
        (lambda: ed.Box(lower=-1.0), "both lower"),
        (lambda: ed.Box(lower=1.1, upper=1.0), "above its upper"),
        (lambda: ed.Box(lower=-1.0, upper=torch.tensor([1.0, -2.0])), "above its upper"),
        (lambda: ed.Box(radius=math.nan), "radius is nan"),
        (lambda: ed.Box(lower=math.inf, upper=math.inf), "bounds are the same infinity"),
        (lambda: ed.Box(lower=-math.inf, upper=torch.tensor([0.0, -math.inf])), "same infinity"),
    ],
)
def test_refusals(make, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()


ENCLOSING: dict[str, tuple[Callable[[], ed.Function], bool]] = {
    "rows": (lambda: ed.Translated(ed.L2Ball(torch.ones(5, 1)), torch.full((5, 3), 0.5)), True),
    "rows of one ball": (lambda: ed.Translated(ed.L2Ball(1.0), torch.full((5, 3), 0.5)), True),
    "rows of boxes": (
        lambda: ed.Translated(ed.Box(radius=torch.ones(5, 3)), torch.full((5, 3), 0.5)),
        True,
    ),
    "a row too far": (
        lambda: ed.Translated(ed.L2Ball(1.0), torch.tensor([[0.5, 0.5], [2.0, 0.0]])),
        False,
    ),
    "one for all": (lambda: ed.Translated(ed.L2Ball(1.0), torch.full((3,), 0.5)), True),
    "one too far": (lambda: ed.Translated(ed.L2Ball(1.0), torch.full((3,), 0.7)), False),
    "a number": (lambda: ed.Translated(ed.Box(radius=1.0), 0.5), True),
    "a number too far": (lambda: ed.Translated(ed.Box(radius=1.0), 1.5), False),
}


@pytest.mark.parametrize("name", ENCLOSING)
def test_a_translated_function_encloses_zero(name: str) -> None:
    make, encloses = ENCLOSING[name]
    assert make().encloses_zero() == encloses


LEARNED = [ed.L1(parameter(1.0)), ed.Huber(parameter(1.0), parameter(0.5))]


@pytest.mark.parametrize("f", LEARNED, ids=lambda f: type(f).__name__)
def test_products_are_the_same_recorded_and_mapped(f: ed.Function) -> None:
    p = torch.tensor([[0.5, 1.0, -0.2], [-1.0, 0.1, 1.0]], dtype=torch.float64)

    def in_z(row: torch.Tensor) -> torch.Tensor:
        return f.prox_conjugate_vjp(row, 1.0, torch.ones_like(row))[0]

    with torch.no_grad():
        found = in_z(p)
    torch.testing.assert_close(in_z(p), found)
    torch.testing.assert_close(torch.vmap(in_z)(p), found)


def test_an_infinite_gradient_stays_where_it_is() -> None:
    p, infinite = torch.tensor([[0.5, 1.0, 0.2]]), torch.tensor([[math.inf, math.inf, 1.0]])
    with torch.no_grad():
        in_z, _ = ed.L1(parameter(1.0).float()).prox_conjugate_vjp(p, 1.0, infinite, True)
    assert in_z.tolist() == [[math.inf, 0.0, 1.0]]
