"""Cells of different widths: what a model learns from them is what a recording goes through."""

import math

import pytest
import torch
from cases import QUANTIZERS

from ergodual.speech.half_steps import Companded, half_step
from ergodual.speech.model import ModelSpec, build
from ergodual.speech.quantizers import mid_rise
from ergodual.speech.stream import restore_channel

N, HALF = 48, 2.0**-4
SPEC = ModelSpec(
    n=N, m=N + 16, depth=3, learn=("K", "steps", "weights"), per_iteration=True, units="half-steps"
)


def frames(count: int = 5) -> torch.Tensor:
    """From nearly silent to beyond the range of the quantizers."""
    return (
        torch.randn(count, N, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-3, 0, count)[:, None]
    )


@pytest.mark.parametrize(
    ("widths", "half"),
    [
        ([2.0, 2.0], 1.0),
        ([1.0, 3.0], 1.0),
        ([1.0, math.inf], 0.5),
        ([0.5, 0.0], 0.25),
        ([math.inf, math.inf], 1.0),
        ([0.0, 0.0], 1.0),
    ],
)
def test_the_mean_of_the_closed_cells(widths: list[float], half: float) -> None:
    upper = torch.tensor([widths, [2.0, 2.0]], dtype=torch.float64)
    assert half_step(torch.zeros_like(upper), upper).tolist() == [[half], [1.0]]


@pytest.mark.parametrize("factor", [1.0, 2.0**13])
@pytest.mark.parametrize(
    "name", [name for name in QUANTIZERS if name[-2:] != " 1"]
)  # whose cells are open, and give no scale
def test_what_is_learned_is_what_a_stream_does(name: str, factor: float) -> None:
    """In full frames without overlap, on any scale."""
    model, quantizer = build(SPEC), QUANTIZERS[name]
    stored = quantizer.quantize(frames().double())
    with torch.no_grad():
        learned = Companded(model, quantizer.scaled(factor))((factor * stored).float()) / factor
    restored = torch.from_numpy(
        restore_channel(model, N, stored.reshape(-1).numpy(), quantizer, overlap=0)
    ).reshape(-1, N)
    assert torch.allclose(learned.double(), restored, atol=1e-6)


def test_where_all_cells_are_alike_it_is_the_model_itself() -> None:
    x_true = frames().clamp(-0.8, 0.8)  # the outermost cells are open
    quantizer, model = mid_rise(4), build(SPEC)
    x_tilde = quantizer.quantize(x_true) / HALF
    found = []
    for one in (model, Companded(model, quantizer.scaled(1 / HALF))):
        estimate = one(x_tilde)
        found.append(
            [
                estimate,
                *torch.autograd.grad(
                    (estimate - x_true / HALF).square().sum(), list(one.parameters())
                ),
            ]
        )
    for ours, alone in zip(*found, strict=True):
        assert torch.allclose(ours, alone, rtol=1e-4, atol=1e-5)
