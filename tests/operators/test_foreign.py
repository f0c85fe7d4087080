"""Operators of other libraries, by the checks that our own pass; and what is refused."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from cases import matrix, observation
from torch import Tensor, nn

import ergodual as ed


def scipy_operator(adjoint: bool = True) -> object:
    linalg = pytest.importorskip("scipy.sparse.linalg")
    A = matrix().detach().numpy()
    back = (lambda y: A.T @ y) if adjoint else None
    return linalg.LinearOperator(A.shape, matvec=lambda x: A @ x, rmatvec=back, dtype=A.dtype)


class Physics(nn.Module):
    """deepinv's interface of a linear physics: A, A_adjoint, and forward with noise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64))

    def A(self, x: Tensor, **kwargs: object) -> Tensor:
        return self.weight * x[:, :, 1:]

    def A_adjoint(self, y: Tensor, **kwargs: object) -> Tensor:
        return nn.functional.pad(self.weight * y, (1, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.A(x) + torch.randn_like(self.A(x))


def pylops_operator() -> object:
    pylops = pytest.importorskip("pylops")
    return pylops.FirstDerivative((4, 3), axis=0, edge=True, kind="forward", dtype="float64")


MADE: dict[str, tuple[Callable[[], ed.Operator], tuple[int, ...]]] = {
    "scipy": (lambda: ed.from_scipy(scipy_operator()), (3,)),
    "scipy, of a shape": (lambda: ed.from_scipy(scipy_operator(), (3, 1), (2, 2)), (3, 1)),
    "scipy, sparse": (
        lambda: ed.from_scipy(
            pytest.importorskip("scipy.sparse").csr_array(np.eye(3, 4)), codomain=(3, 1)
        ),
        (4,),
    ),
    "pylops": (lambda: ed.from_pylops(pylops_operator()), (4, 3)),
    "torch": (lambda: ed.from_torch(lambda x: x.cumsum(1) - x.flip(1)), (5,)),
    "torch, both": (
        lambda: ed.from_torch(lambda x: x[:, ::2], lambda y: torch.stack([y, 0 * y], 2).flatten(1)),
        (6,),
    ),
    "torch, a module": (
        lambda: ed.from_torch(nn.Conv1d(1, 2, 3, bias=False, dtype=torch.float64)),
        (1, 7),
    ),
    "deepinv": (lambda: ed.from_deepinv(Physics()), (2, 4)),
}


@pytest.mark.parametrize("name", MADE)
def test_foreign_operators(name: str) -> None:
    make, domain = MADE[name]
    K = make()
    ed.check_operator(K, observation(sample=domain))
    nothing = observation(sample=domain)[:0]
    assert K.adjoint(K(nothing), torch.Size(domain)).shape == nothing.shape
    problem = ed.Problem(ed.L1(0.2), ed.SquaredL2(), K)
    x = observation(sample=domain)
    solution = ed.solve(problem, x, tol=1e-8)
    assert solution.converged.all()
    (taped, ours) = (
        torch.autograd.grad(ed.Unrolled(problem, 4, adjoint=adjoint)(at).pow(2).sum(), at)[0]
        for adjoint in (ed.Tape(), ed.Reverse())
        for at in [x.clone().requires_grad_()]
    )
    torch.testing.assert_close(ours, taped)


def test_what_a_door_learns() -> None:
    K = ed.from_deepinv(Physics())
    b = observation(sample=(2, 3))
    model = ed.Unrolled(ed.InverseProblem(A=K, data=ed.SquaredL2(), G=ed.SquaredL2()), 3)
    model(b).square().sum().backward()
    assert [
        name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()
    ] == ["problem.A.held.weight"]


def test_nothing_is_imported() -> None:
    code = (
        "import sys; import ergodual as ed; "
        "print([n for n in ('scipy', 'pylops', 'deepinv') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


class WithoutAdjoint:
    shape = (3, 3)

    def matvec(self, x: np.ndarray) -> np.ndarray:
        return x


class Complex(WithoutAdjoint):
    dtype = np.dtype(complex)
    rmatvec = WithoutAdjoint.matvec


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ed.from_scipy(scipy_operator(adjoint=False)), "without an adjoint; give it rm"),
        (lambda: ed.from_scipy(WithoutAdjoint()), "WithoutAdjoint without rmatvec"),
        (lambda: ed.from_scipy(3.0), "a float without shape"),
        (lambda: ed.from_pylops(WithoutAdjoint()), "from_pylops got a WithoutAdjoint without rm"),
        (lambda: ed.from_scipy(Complex()), "of complex numbers"),
        (lambda: ed.from_scipy(scipy_operator(), (2, 2)), "give a shape of 3 entries"),
        (lambda: ed.from_scipy(scipy_operator())(torch.ones(1, 4).double()), r"takes \(3,\)"),
        (lambda: ed.from_torch(3.0), "a float for its forward"),  # type: ignore[arg-type]
        (lambda: ed.from_torch(abs, 3.0), "a float for its adjoint"),  # type: ignore[arg-type]
        (lambda: ed.from_torch(lambda x: [x])(torch.ones(1, 3)), "makes a list of a tensor"),
        (lambda: ed.from_deepinv(nn.ReLU()), "ReLU without A;"),
        (
            lambda: torch.func.vmap(ed.from_scipy(scipy_operator()))(torch.ones(2, 1, 3)),
            "computes in numpy",
        ),
    ],
)
def test_refusals(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()
