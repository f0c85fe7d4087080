"""The norm's bound of a matrix: never below, at most 2 % above, whatever came before."""

import pytest
import torch
from cases import matrix
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed
from ergodual.operators.dense_norms import LineFinder, line, line_above


def norm_of(K: torch.Tensor) -> float:
    return float(torch.linalg.svdvals(K.double())[0])


@pytest.mark.parametrize("speed", [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("shape", [(32, 32), (40, 32), (20, 32)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_walk(speed: float, shape: tuple[int, int], dtype: torch.dtype) -> None:
    """Along the way, each step's answer is that of a finder without a past."""
    torch.manual_seed(0)
    K = torch.linalg.qr(torch.randn(40, 40, dtype=dtype))[0][: shape[0], : shape[1]].contiguous()
    finder = LineFinder()
    for _ in range(100):
        found, norm = finder(K), norm_of(K)
        assert norm <= found <= 1.02 * norm * (1 + 1e-9)
        assert found == LineFinder()(K) == line(line_above(norm))
        K = K + speed * torch.randn(shape, dtype=dtype) / 32


def test_where_the_power_iteration_misleads() -> None:
    """The vector known so far is orthogonal to the new top one: no estimate to believe."""
    finder, K = LineFinder(), torch.diag(torch.tensor([1.0, 0.9, 0.5, 0.1]))
    finder(K)
    finder._vector = torch.tensor([1.0, 0.0, 0.0, 0.0])
    K[1, 1] = 1.2
    assert 1.2 <= finder(K) <= 1.2 * 1.02


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000), st.floats(-25, 25))
def test_any_small_matrix(m: int, n: int, seed: int, decade: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    K, finder = (
        10**decade * torch.randn(m, n, generator=generator, dtype=torch.float64),
        LineFinder(),
    )
    for _ in range(3):
        assert norm_of(K) * (1 - 1e-12) <= finder(K) <= 1.02 * norm_of(K) * (1 + 1e-9)
        K = K * (1 + 0.2 * torch.randn(m, n, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("offset", [-1e-7, -1e-9, 0.0, 1e-9, 1e-7])
def test_near_a_line(offset: float) -> None:
    exact = line(5) * (1 + offset)
    K = exact * torch.eye(3, dtype=torch.float64)
    assert norm_of(K) * (1 - 1e-14) <= LineFinder()(K) <= 1.0201 * exact


def test_orthonormal_matrices_lie_on_no_line() -> None:
    for n in (8, 64, 320):
        for dtype in (torch.float32, torch.float64):
            assert ed.Dense.dct(n, dtype).norm_bound() == line(0)


def test_zero_and_empty() -> None:
    assert LineFinder()(torch.zeros(3, 2)) == 0
    assert LineFinder()(torch.zeros(0, 2)) == 0


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_not_finite(bad: float) -> None:
    K = matrix().detach().clone()
    finder = LineFinder()
    finder(K)
    K[0, 0] = bad
    with pytest.raises(ed.NotFiniteError, match="not finite"):
        finder(K)
