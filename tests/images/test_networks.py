"""The networks: what they are made of, and that their gradients are exact."""

import pytest
import torch
from torch import Tensor, nn

import ergodual as ed
from ergodual.images import denoise
from ergodual.images.networks import (
    Centred,
    Mapped,
    an_operator_per_iteration,
    cosines,
    one_operator,
    with_maps,
)
from ergodual.images.unet import DnCNN, UNet

SMALL = {"filters": 5, "size": 3, "depth": 3}
MODELS = {
    "one operator": lambda: one_operator(**SMALL),
    "one operator, Huber": lambda: one_operator(**SMALL, potential="huber"),
    "an operator per iteration": lambda: an_operator_per_iteration(**SMALL),
    "with maps": lambda: with_maps(an_operator_per_iteration(**SMALL), groups=2),
    "one operator with a map": lambda: with_maps(one_operator(**SMALL), groups=1),
    "U-Net": lambda: UNet(widths=(4, 6)),
    "DnCNN": lambda: DnCNN(4, 3),
}


def noisy() -> Tensor:
    return 3 * torch.randn(2, 1, 13, 14, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_a_gradient(name: str) -> None:
    model = Centred(MODELS[name]())
    found = model(noisy())
    assert found.shape == noisy().shape
    found.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("name", [name for name in MODELS if "N" not in name])
def test_gradients_are_those_of_the_tape(name: str) -> None:
    gradients = []
    for adjoint in (ed.Reverse(), ed.Tape()):
        model = MODELS[name]().double()
        layer = model.layer if isinstance(model, Mapped) else model
        layer.adjoint = adjoint
        model(noisy().double()).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_sizes_are_those_that_are_said() -> None:
    def count(model: nn.Module) -> int:
        return sum(p.numel() for p in model.parameters())

    assert count(one_operator(potential="huber")) <= 14_000
    layer = an_operator_per_iteration()
    assert count(layer) <= 25_000
    assert count(with_maps(layer, groups=2)) <= 250_000


def test_a_map_begins_where_the_weights_are() -> None:
    layer = an_operator_per_iteration(**SMALL)
    mapped = with_maps(layer)
    nn.init.zeros_(mapped.network.last.weight)
    torch.testing.assert_close(mapped(noisy()), layer(noisy()))


def test_one_operator_with_a_map_is_solved_and_certified() -> None:
    model = with_maps(one_operator(**SMALL), groups=1)
    with torch.no_grad():
        F = model.functions(noisy())[0]
    problem = model.layer.problem.with_functions(F=F)
    assert bool(ed.solve(problem, noisy(), tol=1e-4).converged.all())


def test_the_body_is_taken_over() -> None:
    body = UNet(widths=(32, 48, 56), seed=3)
    mapped = with_maps(one_operator(**SMALL), body)
    torch.testing.assert_close(mapped.network.first.weight, body.first.weight)
    assert mapped.network.last.weight.shape != body.last.weight.shape


def test_filters_are_those_of_the_cosine_transform() -> None:
    plain = cosines(8, 3, seed=0, noise=0.0)
    gram = plain.flatten(1) @ plain.flatten(1).T
    torch.testing.assert_close(gram, torch.eye(8) / 9)
    torch.testing.assert_close(plain.sum((1, 2, 3)), torch.zeros(8), atol=1e-6, rtol=0)
    assert cosines(20, 3, seed=0).shape == (20, 1, 3, 3)


def test_denoise_continues_the_image_and_keeps_its_units() -> None:
    image = torch.rand(3, 12, 15)
    torch.testing.assert_close(denoise(lambda y: y, image, 0.1), image)
    half = denoise(lambda y: torch.full_like(y, 0.5), image, 0.1)
    torch.testing.assert_close(half, torch.full_like(image, 0.05))


@pytest.mark.parametrize(
    ("image", "sigma", "said"),
    [
        (torch.zeros(1, 8, 20), 0.1, "of more than 8 pixels"),
        (torch.zeros(20, 20), 0.1, "of more than 8 pixels"),
        (torch.full((1, 20, 20), torch.nan), 0.1, "not finite"),
        (torch.zeros(1, 20, 20), 0.0, "must be positive"),
        (torch.zeros(1, 20, 20), float("inf"), "must be positive"),
    ],
)
def test_denoise_refuses(image: Tensor, sigma: float, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        denoise(lambda y: y, image, sigma)
