"""Solutions of problems with functions as users write them."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
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


class Recorded(ed.Function):
    """The l1 norm, which notes with which steps it is called."""

    separable = True
    per_sample = ()

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs().sum(1)

    def conjugate(self, y: torch.Tensor) -> torch.Tensor:
        return torch.where((y.abs() <= 1).all(1), 0.0, torch.inf).to(y.dtype)

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        self.steps += torch.as_tensor(step, dtype=torch.float64).flatten().tolist()
        return z.sign() * (z.abs() - step).clamp(min=0)


POSED: dict[str, Callable[[Recorded, ed.Dense], Any]] = {
    "F": lambda f, K: ed.Problem(f, ed.Box(radius=0.1), K),
    "G": lambda f, K: ed.Problem(ed.L1(0.5), f, K),
    "F, G = 0": lambda f, K: ed.Problem(f, ed.Zero(), K),
    "inverse": lambda f, K: ed.InverseProblem(A=K, data=ed.SquaredL2(), F=f),
    "infeasible": lambda f, K: ed.InverseProblem(A=K, data=ed.L2Ball(1e-3), F=f),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("size", [0.0, 1e-20, 1.0, 1e18])
@pytest.mark.parametrize("name", POSED)
def test_a_prox_gets_no_steps_but_those_that_are_promised(
    name: str, size: float, dtype: torch.dtype
) -> None:
    least = 1e-300 if dtype == torch.float64 else 1e-36
    for scale in (1e-9, 1.0, 1e9):
        f, K = Recorded(), ed.Dense(scale * matrix(6, 5).detach().to(dtype))
        x = size * observation(n=6 if name in ("inverse", "infeasible") else 5).to(dtype)
        for method in (None, ed.ChambollePock()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ed.NotConvergedWarning)
                ed.solve(POSED[name](f, K), x, method=method, max_iterations=512)
        assert f.steps
        assert 0.99 * least <= min(f.steps)
        assert max(f.steps) <= 1.01 / least


class SlightlyLow(ed.L1):
    """Its conjugate is below the right one by little."""

    def conjugate(self, y: torch.Tensor) -> torch.Tensor:
        return super().conjugate(y) - 1e-6


def test_a_conjugate_that_is_little_too_low_is_noticed() -> None:
    problem = ed.Problem(F=SlightlyLow(), G=ed.Box(radius=0.1), K=ed.Dense(matrix(5, 5)))
    with pytest.raises(ed.ErgodualError, match="contradict each other"):
        ed.solve(problem, observation(n=5), tol=1e-8)
