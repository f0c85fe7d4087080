"""Operators by the checks that users call; what these cannot see; and what is refused."""

import math
from collections.abc import Callable

import pytest
import torch
from cases import OPERATORS, Mixing, N, Slow, matrix, observation
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed
from ergodual.operators.channel import Channel
from ergodual.operators.norms import matrix_of

every = pytest.mark.parametrize("name", OPERATORS)


@every
def test_operator(name: str) -> None:
    make, domain = OPERATORS[name]
    ed.check_operator(make(), observation(sample=domain))
    ed.check_operator(make().float(), observation(sample=domain).float())


def takes(K: ed.Operator, domain: torch.Size) -> bool:
    try:
        K.codomain(domain)
    except ed.ErgodualError:
        return False
    return True


@every
def test_what_is_alike_is_taken(name: str) -> None:
    make, domain = OPERATORS[name]
    large = torch.Size(n if i == 0 and len(domain) > 1 else 40 * n for i, n in enumerate(domain))
    if takes(make(), large):
        small = make().alike(large)
        ed.check_operator(make(), observation(sample=small))
        assert small == make().alike(small)


@every
def test_norm_is_the_largest_singular_value(name: str) -> None:
    K, domain = OPERATORS[name].make(), torch.Size(OPERATORS[name].domain)
    columns = matrix_of(K, domain)
    torch.testing.assert_close(K.norm(domain).double(), torch.linalg.svdvals(columns.double())[0])


@every
def test_gradient_of_the_norm(name: str) -> None:
    K, domain = OPERATORS[name].make(), torch.Size(OPERATORS[name].domain)
    learned = [t for t in K.tensors() if t.requires_grad]
    if not learned or name in ("dct", "dft"):  # whose largest singular value is no single one
        return
    found = torch.autograd.grad(K.norm(domain), learned)
    generator = torch.Generator().manual_seed(5)
    directions = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in learned]
    values = []
    with torch.no_grad():
        for step in (1e-6, -2e-6):
            for t, v in zip(learned, directions, strict=True):
                t.add_(v, alpha=step)
            values.append(float(K.norm(domain)))
    slope = sum(float((a * b).sum()) for a, b in zip(found, directions, strict=True))
    assert math.isclose(slope, (values[0] - values[1]) / 2e-6, rel_tol=1e-6, abs_tol=1e-8)


def test_a_large_operator_has_its_norm_by_power_iteration() -> None:
    K = ed.Gradient()
    norm = K.norm(torch.Size((60, 60)))
    assert math.isclose(float(norm), 2 * math.sqrt(2) * math.cos(math.pi / 120), rel_tol=1e-3)


class Wrong(Slow):
    """The operator by hand with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        faults = {"affine": y + 1, "batch": y + y.mean(0), "complex": y + 0j, "cut": y.detach()}
        return faults.get(self.fault, y)

    def adjoint(self, y: torch.Tensor, domain: torch.Size | None = None) -> torch.Tensor:
        found = (0.5 if self.fault == "adjoint" else 1.0) * super().adjoint(y, domain)
        return found[:, 1:] if self.fault == "way back" else found

    def codomain(self, domain: torch.Size) -> torch.Size:
        return torch.Size((1,)) if self.fault == "codomain" else super().codomain(domain)

    def norm(self, domain: torch.Size | None = None) -> torch.Tensor:
        return (2.0 if self.fault == "exact norm" else 1.0) * super().norm(domain)

    def gradients(self, dual: torch.Tensor, primal: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scale, A = super().gradients(dual, primal)
        if self.fault == "few":
            return (A,)
        return (2 * scale if self.fault == "gradient" else scale), A

    def norm_bound(self, domain: torch.Size | None = None) -> float:
        return (0.9 if self.fault == "norm" else 1.0) * float(super().norm(domain).detach())


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("affine", "is not linear"),
        ("batch", "mixes the samples"),
        ("adjoint", "<Kx, y> and <x, K"),
        ("gradient", "gradients of a tensor of shape"),
        ("norm", "not below the norm"),
        ("exact norm", "its norm_bound"),
        ("way back", "adjoint maps .* it must give"),
        ("codomain", "its codomain says"),
        ("few", "gradients gives 1 tensors and tensors.. 2"),
        ("complex", "makes torch.complex128 of torch.float64"),
        ("cut", "its forward lets none through"),
    ],
)
def test_faults_are_found(fault: str, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        ed.check_operator(Wrong(fault), observation())


@every
def test_it_is_shown_by_its_name(name: str) -> None:
    K = OPERATORS[name].make()
    assert type(K).__name__ in repr(K)


@given(st.integers(1, 40))
def test_dct_is_orthonormal(n: int) -> None:
    K = ed.Dense.dct(n, dtype=torch.float64).matrix.detach()
    torch.testing.assert_close(K @ K.T, torch.eye(n, dtype=torch.float64), rtol=0, atol=1e-13)


@given(st.integers(1, 20), st.integers(0, 20))
def test_tall_frames_are_tight(n: int, more: int) -> None:
    for K in (
        ed.Dense.dct(n, torch.float64, n + more),
        ed.Dense.dft(n, n + more + (n + more) % 2, torch.float64),
    ):
        torch.testing.assert_close(
            K.matrix.T @ K.matrix, torch.eye(n, dtype=torch.float64), rtol=0, atol=1e-13
        )


@pytest.mark.parametrize(("n", "m"), [(0, 2), (4, 2), (2, 3)])
def test_dft_refuses(n: int, m: int) -> None:
    with pytest.raises(ed.ErgodualError, match=f"length is {n} and it has {m} rows"):
        ed.Dense.dft(n, m)


def test_dct_is_the_second_kind() -> None:
    x = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    expected = [7 / 3**0.5, (1 - 4) / 2**0.5, (1 - 4 + 4) / 6**0.5]
    torch.testing.assert_close(
        ed.Dense.dct(3, dtype=torch.float64)(x)[0], torch.tensor(expected, dtype=torch.float64)
    )


def test_what_dense_holds() -> None:
    leaf, shared = torch.randn(3, 2, requires_grad=True), torch.nn.Parameter(torch.randn(3, 2))
    assert ed.Dense(shared).matrix is shared
    assert ed.Dense(leaf).matrix is leaf
    assert isinstance(ed.Dense(torch.randn(3, 2)).matrix, torch.nn.Parameter)
    made = 2 * leaf
    assert ed.Dense(made).matrix is made


def test_algebra_by_symbols() -> None:
    A, B, x = ed.Dense(matrix(2, 4)), ed.Dense(matrix()), observation()
    y = observation(2, n=2)
    torch.testing.assert_close((A @ B)(x), A(B(x)))
    torch.testing.assert_close((2.5 * A @ B).T(y), 2.5 * B.adjoint(A.adjoint(y)))
    assert A.T.T is A


def test_gradient_is_forward_differences() -> None:
    x = torch.tensor([[[1.0, 3.0, 2.0], [0.0, 0.0, 5.0]]])
    found = ed.Gradient()(x)[0]
    assert found[0].tolist() == [[-1, -3, 3], [0, 0, 0]]
    assert found[1].tolist() == [[2, -1, 0], [0, 5, 0]]


def shape(*sizes: int) -> torch.Tensor:
    return torch.zeros(2, *sizes, dtype=torch.float64)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ed.Dense(torch.zeros(3)), "floating-point"),
        (lambda: ed.Dense(torch.zeros(2, 2, dtype=torch.int64)), "floating-point"),
        (lambda: ed.Dense(matrix())(shape(2)), r"shape \(2,\); this Dense operator takes \(3,\)"),
        (lambda: ed.Dense(matrix())(shape(1, 3)), r"shape \(1, 3\)"),
        (lambda: ed.Diagonal(torch.ones(3, dtype=torch.bool)), "convert a mask"),
        (lambda: ed.Diagonal(torch.ones(3).double())(shape(2)), "broadcast against the sample"),
        (lambda: ed.Gradient(axes=(0,)), "not 0, which is the batch"),
        (lambda: ed.Gradient(axes=(1, 1)), "each once"),
        (lambda: ed.Gradient(axes=(1, -1))(shape(3)), "each once"),
        (lambda: ed.Gradient(axes=(3,))(shape(3)), "name axes from 1 to 1"),
        (lambda: ed.Stack(), "at least one"),
        (lambda: ed.Stack(ed.L1()), "got a L1"),
        (lambda: ed.Stack(ed.Identity(), ed.Dense(matrix()))(shape(4)), r"takes \(3,\)"),
        (lambda: ed.Dense(matrix()).T(shape(3)), "takes"),
        (lambda: ed.Scaled(torch.ones(2), ed.Identity()), "give one number"),
        (lambda: Mixing().norm_bound(), "give domain="),
        (lambda: Mixing().codomain(torch.Size((5, 3))), r"takes no samples of shape \(5, 3\)"),
        (lambda: Mixing().adjoint(shape(2, 3)), "does not tell the shape of its input"),
    ],
)
def test_refusals(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()


def test_one_sample_shows_mixing_too() -> None:
    with pytest.raises(ed.ErgodualError, match="mixes the samples"):
        ed.check_operator(Wrong("batch"), observation()[:1])


def test_a_tensor_in_two_places_is_no_fault() -> None:
    K = ed.Dense(matrix())
    for each in (K.T @ K, ed.Stack(K, 0.5 * K)):
        ed.check_operator(each, observation())


class Outlier(ed.Operator):
    """The identity, but for the mean, which it doubles: a power iteration begins flat."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x.mean((1, 2), keepdim=True)


@pytest.mark.parametrize("size", [1, 2, 16, 256])
def test_the_default_bound_sees_one_direction_among_many(size: int) -> None:
    bound = Outlier().norm_bound(torch.Size((size, size)))
    assert 2 <= bound <= 2 * 1.05 * (1 + 1e-12)
    assert bound == Outlier().norm_bound(torch.Size((size, size)))


class Forwardless(ed.Operator):
    """An operator without its only duty."""


class Numpy(ed.Operator):
    """What torch does not differentiate."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(2 * x.detach().numpy())


X = torch.ones(2, N, dtype=torch.float64)
K = ed.Dense(torch.ones(4, N, dtype=torch.float64))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: ed.Dense(X.numpy()), "Dense got a ndarray"),
        (lambda: ed.Conv(X.numpy()), "Conv got a kernel that is a ndarray"),
        (lambda: K @ X, "this is a Tensor; .*applied to a batch by K"),
        (lambda: K * K, "The scale of an operator is a Dense"),
        (lambda: K.adjoint(X), "samples of shape .*this Dense gives"),
        (lambda: ed.Gradient((1, 2)).adjoint(torch.ones(1, 3, 4, 4)), "this Gradient gives"),
        (lambda: ed.Stack(K, K).adjoint(torch.ones(1, 9), torch.Size((N,))), "this Stack gives"),
        (lambda: ed.Diagonal(torch.ones(2, 4)).adjoint(torch.ones(1, 1, 4)), "factors"),
        (lambda: ed.Dense.dct(0), "DCT's length is 0"),
        (lambda: ed.Stft(8).codomain(torch.Size()), "Stft needs a signal"),
        (lambda: Channel(K, 0, 1, (2, 2)).codomain(torch.Size((3, N))), "must be 2 channels"),
        (lambda: Forwardless().codomain(torch.Size((3,))), "gives no forward"),
        (lambda: Numpy().adjoint(X, torch.Size((N,))), "give it an adjoint"),
        (lambda: ed.Diagonal(torch.tensor([torch.nan])).norm_bound(), "not finite"),
        (lambda: (torch.tensor(torch.inf) * K).norm_bound(), "not finite"),
        (lambda: ed.check_operator(torch.nn.Linear(2, 2), X), "give an ed.Operator"),  # type: ignore[arg-type]
        (lambda: ed.check_operator(K, X.numpy()), "give a floating-point batch"),  # type: ignore[arg-type]
    ],
)
def test_sentences(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        wrong()


def test_axes_may_be_one_number() -> None:
    torch.testing.assert_close(ed.Gradient(-1)(X), ed.Gradient((-1,))(X))


def test_gradient_onto_takes_a_factor_for_each_sample() -> None:
    K, x, y = ed.Gradient(), torch.randn(3, 4, 5), torch.randn(3, 2, 4, 5)
    keep, scale = torch.rand(3, 1, 1, 1), torch.rand(3, 1, 1, 1)
    for factor in (1.0, scale):
        found = K.forward_onto(y, x, factor, out=torch.empty_like(y), keep=keep)
        torch.testing.assert_close(found, keep * y + factor * K(x))


def test_gradient_of_whole_numbers() -> None:
    x = torch.tensor([[1, 2, 4]])
    assert ed.Gradient()(x).tolist() == [[[1, 2, 0]]]
    assert ed.Gradient().adjoint(x[:, None]).tolist() == [[-1, -1, 2]]


def test_a_scale_may_have_axes() -> None:
    torch.testing.assert_close((torch.full((1, 1, 1), 2.0).double() * K)(X), 2 * K(X))
