"""A layer as deepinv calls it: a stand-in of its interface, as deepinv is not to be had here."""

from collections.abc import Callable

import pytest
import torch
from cases import matrix, observation, parameter
from torch import Tensor, nn

import ergodual as ed

LAYERS: dict[str, Callable[[ed.InverseProblem], ed.Unrolled | ed.Solved]] = {
    "unrolled": lambda p: ed.Unrolled(p, 5, ed.StepSizes.fixed(0.2, 0.2)),
    "solved": lambda p: ed.Solved(p),
}


class Inpainting(nn.Module):
    """deepinv's interface of a linear physics."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def A(self, x: Tensor, **_: object) -> Tensor:
        return self.mask * x

    def A_adjoint(self, y: Tensor, **_: object) -> Tensor:
        return self.mask * y


def posed(A: ed.Operator | None = None) -> ed.InverseProblem:
    data, F, K = ed.SquaredL2(), ed.L1(parameter(0.1)), ed.Dense(matrix())
    return ed.InverseProblem(A=A, data=data, F=F, K=K)


@pytest.mark.parametrize("name", LAYERS)
def test_the_physics_of_a_call_takes_the_place_of_A(name: str) -> None:
    layer, y = LAYERS[name](posed()), observation()
    model = ed.to_deepinv(layer)
    assert torch.equal(model(y), layer(y))
    for mask in (torch.tensor([1.0, 0.5, 2.0]), torch.tensor([2.0, 1.0, 0.7])):
        mask = mask.double()
        theirs = LAYERS[name](posed(ed.Diagonal(mask)))
        found = model(y, Inpainting(mask), update_parameters=True)
        torch.testing.assert_close(found, theirs(y), rtol=0, atol=1e-7)
        weights = [one.problem.F.weight for one in (layer, theirs)]
        slopes = [
            torch.autograd.grad(x_hat.pow(3).sum(), weight)[0]
            for x_hat, weight in zip((found, theirs(y)), weights, strict=True)
        ]
        torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-7)
    assert isinstance(layer.problem.A, ed.Identity)
    if isinstance(layer, ed.Solved):
        assert torch.equal(layer.solution.x, found)


def test_refusals() -> None:
    problem = ed.Problem(ed.L1(), ed.SquaredL2(), ed.Identity())
    for layer in (ed.Unrolled(problem, 2), ed.Unrolled([posed()]), posed()):
        with pytest.raises(ed.ErgodualError, match="give Unrolled or Solved of one InverseProblem"):
            ed.to_deepinv(layer)  # type: ignore[arg-type]
    with pytest.raises(ed.ErgodualError, match="from_deepinv got a Linear without A"):
        ed.to_deepinv(ed.Solved(posed()))(observation(), nn.Linear(2, 2))
