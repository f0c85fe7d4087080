"""Solutions of problems with functions as users write them."""

from typing import Any

import torch
from cases import matrix, observation

import ergodual as ed


class Quadratic(ed.Function):
    """½ Σ (w x)², w a column that is not one of samples."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("w", w)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return (self.w[:, 0] * x).square().sum(-1) / 2

    def conjugate(self, y: torch.Tensor) -> torch.Tensor:
        return (y / self.w[:, 0]).square().sum(-1) / 2

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        return z / (1 + step * self.w[:, 0] ** 2)


class OnlyProx(ed.Function):
    """Of a box with bounds for groups of coordinates, looked up in a buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("group", torch.tensor([0, 1, 1]))

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        radii = torch.tensor([0.1, 0.2], dtype=z.dtype)[self.group]
        return torch.minimum(torch.maximum(z, -radii), radii)


def test_a_function_that_has_a_prox_alone() -> None:
    box = ed.Box(radius=torch.tensor([0.1, 0.2, 0.2], dtype=torch.float64))
    ours, theirs = (
        ed.solve(ed.Problem(ed.L1(), G, ed.Dense(matrix())), observation(), tol=1e-8)
        for G in (OnlyProx(), box)
    )
    assert ours.gap.isinf().all()
    torch.testing.assert_close(ours.x, theirs.x, rtol=0, atol=1e-6)


def test_a_users_function_keeps_its_tensors() -> None:
    n = 5  # as many as samples, so that a tensor's length says nothing
    problem = ed.Problem(
        ed.L1(), Quadratic(0.5 + torch.rand(n, 1, dtype=torch.float64)), ed.Dense(matrix(8, n))
    )
    x_tilde = torch.logspace(-2, 1, 5, dtype=torch.float64)[:, None] * observation(batch=5, n=n)
    together = ed.solve(problem, x_tilde, tol=1e-10)
    alone = [ed.solve(problem, x[None], tol=1e-10).x[0] for x in x_tilde]
    torch.testing.assert_close(together.x, torch.stack(alone), rtol=0, atol=1e-6)
