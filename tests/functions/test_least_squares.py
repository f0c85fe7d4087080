"""Quadratic against its definition, and against the same data term by its dual."""

from collections.abc import Callable

import pytest
import torch
from cases import matrix, observation

import ergodual as ed

double = torch.float64


def mask(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(3)) < 0.6).to(double)


def kernel() -> torch.Tensor:
    return torch.tensor([[0.1, 0.3], [0.2, 0.1], [0.4, -0.2]], dtype=double)


def fixed(m: int, n: int) -> ed.Operator:
    return ed.Dense(matrix(m, n)).requires_grad_(False)


MADE: dict[str, tuple[Callable[[], ed.Operator], tuple[int, ...]]] = {
    "identity": (ed.Identity, (2, 3)),
    "mask": (lambda: ed.Diagonal(mask(1, 4)), (3, 4)),
    "tall": (lambda: fixed(5, 3), (3,)),
    "wide": (lambda: fixed(2, 4), (4,)),
    "fourier": (lambda: ed.Fourier(mask(3, 4)), (2, 3, 4)),
    "fourier of reals": (lambda: ed.Fourier(mask(4, 5), real=True), (4, 5)),
    "fourier of reals, even": (lambda: ed.Fourier(mask(3, 4), real=True), (3, 4)),
    "blur": (lambda: ed.Blur(kernel()), (2, 3, 4)),
    "wavelet": (lambda: ed.Wavelet("haar"), (4, 4)),
    "stft": (lambda: ed.Stft(4), (7,)),
}


def data(A: ed.Operator, domain: tuple[int, ...]) -> torch.Tensor:
    return observation(4, sample=tuple(A.codomain(torch.Size(domain))))


@pytest.mark.parametrize("name", MADE)
def test_quadratic(name: str) -> None:
    make, domain = MADE[name]
    A = make()
    b = data(A, domain)
    f = ed.Quadratic(A, b, domain)
    ed.check_function(f, observation(sample=domain))
    F, K = ed.L1(0.3), ed.Gradient()
    by_prox = ed.solve(ed.Problem(F, f, K), torch.zeros(len(b), *domain, dtype=double), tol=1e-9)
    by_dual = ed.solve(
        ed.InverseProblem(A=A, data=ed.SquaredL2(), F=F, K=K, domain=domain), b, tol=1e-9
    )
    assert by_prox.converged.all()
    values = [f.value(found.x) + F.value(K(found.x)) for found in (by_prox, by_dual)]
    torch.testing.assert_close(*values, rtol=1e-6, atol=1e-9)


def test_the_gradient_in_the_data() -> None:
    A, domain = ed.Blur(kernel()), (3, 4)
    b = data(A, domain).requires_grad_()
    slopes = []
    for adjoint in (ed.Reverse(), ed.Tape()):
        problem = ed.Problem(ed.L1(0.3), ed.Quadratic(A, b), ed.Gradient())
        model = ed.Unrolled(problem, 4, output=ed.Last(), adjoint=adjoint)
        x = model(torch.zeros(2, *domain, dtype=double))
        slopes.append(torch.autograd.grad(x.pow(3).sum(), b)[0])
    torch.testing.assert_close(*slopes)
    assert slopes[0].norm() > 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ed.Quadratic(ed.Dense(matrix()), torch.ones(1, 4).double()), "is learned"),
        (lambda: ed.Quadratic(ed.Gradient(), torch.ones(1, 2, 3, 3)), "no closed form"),
        (
            lambda: ed.Quadratic(ed.Blur(kernel(), "zero"), torch.ones(1, 4, 4).double()),
            "no closed",
        ),
        (lambda: ed.Quadratic(fixed(5, 3), torch.ones(1, 4).double()), "make them agree"),
        (
            lambda: ed.Quadratic(ed.Identity(), torch.tensor([[1.0, torch.nan]])),
            "Quadratic's b is nan",
        ),
        (
            lambda: ed.Problem(
                ed.L1(), ed.Quadratic(ed.Identity(), torch.ones(2, 3)), ed.Identity()
            ).instance(torch.zeros(3, 3)),
            "2 samples of shape",
        ),
    ],
)
def test_refusals(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()
