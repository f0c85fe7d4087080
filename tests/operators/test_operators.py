"""Adjoints against ⟨Kx, y⟩ = ⟨x, Kᵀy⟩, gradients against the tape, norms against the singular values."""

import pytest
import torch
from cases import OPERATORS, observation
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed

every = pytest.mark.parametrize("name", OPERATORS)


@every
def test_adjoint(name: str) -> None:
    K = OPERATORS[name]()
    x, y = observation(1, n=K.n), observation(2, n=K.m)
    torch.testing.assert_close((K(x) * y).sum(), (x * K.adjoint(y)).sum(), rtol=1e-13, atol=1e-13)


@every
def test_fused_forms(name: str) -> None:
    K = OPERATORS[name]()
    x, y = observation(1, n=K.n), observation(2, n=K.m)
    with torch.no_grad():
        for fused, plain, u, v in (
            (K.forward_onto, K.forward, y, x),
            (K.adjoint_onto, K.adjoint, x, y),
        ):
            expected = 0.5 * u - 0.3 * plain(v)
            torch.testing.assert_close(
                fused(u, v, -0.3, out=torch.empty_like(u), keep=0.5), expected
            )
            base = u.clone()
            torch.testing.assert_close(fused(base, v, -0.3, out=base, keep=0.5), expected)


@every
def test_gradients(name: str) -> None:
    K = OPERATORS[name]()
    x, y = observation(1, n=K.n), observation(2, n=K.m)
    expected = torch.autograd.grad((K(x) * y).sum(), K.tensors())
    for ours, theirs in zip(K.gradients(y, x), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@every
def test_norm_is_the_largest_singular_value(name: str) -> None:
    K = OPERATORS[name]()
    columns = K(torch.eye(K.n, dtype=torch.float64)).T
    torch.testing.assert_close(K.norm(), torch.linalg.svdvals(columns)[0])


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


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64)])
def test_refusals(bad: torch.Tensor) -> None:
    with pytest.raises(ed.ErgodualError, match="floating-point"):
        ed.Dense(bad)
