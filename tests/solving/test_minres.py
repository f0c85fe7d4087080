"""MINRES against the pseudo-inverse: definite or not, singular or not, a batch at a time."""

import pytest
import torch

from ergodual.solving.minres import minres


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize(("n", "rank"), [(1, 1), (30, 30), (30, 20), (200, 200), (40, 0), (7, 1)])
@pytest.mark.parametrize(
    ("dtype", "tol", "near"), [(torch.float64, 1e-10, 1e-5), (torch.float32, 1e-5, 5e-2)]
)
def test_minres_is_the_pseudo_inverse(
    n: int, rank: int, consistent: bool, dtype: torch.dtype, tol: float, near: float
) -> None:
    generator = torch.Generator().manual_seed(n)
    Q = torch.linalg.qr(torch.randn(4, n, n, generator=generator, dtype=torch.float64))[0]
    values = torch.rand(4, n, generator=generator, dtype=torch.float64) + 0.05
    values = values * torch.randn(4, n, generator=generator, dtype=torch.float64).sign()
    values[:, rank:] = 0
    A = Q @ torch.diag_embed(values) @ Q.mT
    b = torch.randn(4, n, generator=generator, dtype=torch.float64)
    b = (A @ b[..., None])[..., 0] if consistent else b
    b[3] = 0
    A, b = A.to(dtype), b.to(dtype)
    found = minres(lambda x: (A @ x[..., None])[..., 0], b, tol, 2000)
    wanted = (torch.linalg.pinv(A.double(), rtol=1e-4) @ b.double()[..., None])[..., 0]
    best = b - (A @ wanted.to(dtype)[..., None])[..., 0]
    assert float(found.left.norm()) <= (1 + near) * float(best.norm()) + near
    if consistent or dtype == torch.float64:  # else rounding leaves some of the kernel in x
        assert float((found.x - wanted).norm()) <= near * (1e-9 + float(wanted.norm()))
    assert not found.x[3].any()
    torch.testing.assert_close(found.left, b - (A @ found.x[..., None])[..., 0], atol=near, rtol=0)
    assert found.iterations < 2000
