"""What the field's problems are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

import ergodual as ed


class Case(NamedTuple):
    """A problem here and there.

    Attributes
    ----------
    problem, observation
        Ours.
    there
        Of CVXPY and a variable that is x, flat: the terms of the objective, and the constraints.
    estimate
        x, flat, of our solution.
    """

    problem: ed.Problem | ed.InverseProblem
    observation: Tensor
    there: Callable[[Any, Any], tuple[list[Any], list[Any]]]
    estimate: Callable[[Tensor], Tensor] = torch.Tensor.flatten


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(), dtype=torch.float64)


def picture(n: int) -> Tensor:
    """A square and a disc on a slope, ``(1, n, n)``, from 0 to 1."""
    i = torch.arange(n, dtype=torch.float64) / n
    image = 0.3 * i.expand(n, n).clone()
    image[n // 5 : n // 2, n // 4 : n // 2] += 0.5
    image[(i[:, None] - 0.65) ** 2 + (i - 0.6) ** 2 < 0.05] += 0.4
    return image[None]


def noisy(n: int) -> Tensor:
    return picture(n) + 0.1 * normal(1, n, n)


def gradient(n: int) -> tuple[Any, Any]:
    """Differences of a flat n × n image along both axes, 0 at the ends."""
    D = sp.lil_matrix(sp.eye(n, k=1) - sp.eye(n))
    D[-1] = 0
    one = sp.eye(n)
    return sp.csr_matrix(sp.kron(D, one)), sp.csr_matrix(sp.kron(one, D))


def lengths(cp: Any, x: Any, n: int) -> Any:
    """Of the gradient, at each pixel."""
    return cp.norm2(cp.vstack([D @ x for D in gradient(n)]), axis=0)


def dense(K: ed.Operator, domain: tuple[int, ...]) -> np.ndarray:
    """The matrix of an operator that has tests of its own."""
    eye = torch.eye(int(np.prod(domain)), dtype=torch.float64)
    with torch.no_grad():
        return K(eye.view(-1, *domain)).flatten(1).T.numpy()


def half_squared(cp: Any, x: Any) -> Any:
    return 0.5 * cp.sum_squares(x)
