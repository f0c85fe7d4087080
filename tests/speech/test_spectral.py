"""The spectral distance against its definition, and its gradient against differences."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.signal import get_window
from torch import Tensor

import ergodual as ed
from ergodual.speech.spectral import FLOOR, SpectralDistance
from tests.differences import five_point, relative

SHORT = SpectralDistance((16, 32))


def signals(count: int = 2, n: int = 50) -> tuple[Tensor, Tensor]:
    """An estimate and a truth, in float64."""
    draw = torch.Generator().manual_seed(0)
    x, error = torch.randn(2, count, n, generator=draw, dtype=torch.float64)
    return 4 * x + error, 4 * x


def test_the_definition() -> None:
    x_hat, x = signals()
    for one, other, found in zip(x_hat, x, SHORT(x_hat, x), strict=True):
        means = []
        for length in SHORT.lengths:
            w = torch.from_numpy(get_window("hann", length))
            logarithms = [
                torch.stack(
                    [
                        10
                        * (
                            torch.fft.rfft(w * s[t : t + length]).abs() ** 2 + FLOOR * (w * w).sum()
                        ).log10()
                        for t in range(0, len(s) - length + 1, length // 4)
                    ]
                )
                for s in (one, other)
            ]
            means.append((logarithms[0] - logarithms[1]).abs().mean())
        assert float(found) == pytest.approx(float(sum(means)) / 2, rel=1e-12)


def test_gradient_against_differences() -> None:
    x_hat, x = signals()
    x_hat.requires_grad_()
    SHORT(x_hat, x).sum().backward()
    assert x_hat.grad is not None
    slopes = five_point(lambda: SHORT(x_hat, x), {"x_hat": x_hat.detach()}, 1e-5)
    assert relative({"x_hat": x_hat.grad}, slopes) < 1e-8


def test_it_minds_levels_and_not_phases_or_what_is_below_the_floor() -> None:
    n = 8192
    wave = torch.cos(2 * math.pi * 0.11 * torch.arange(n, dtype=torch.float64))
    turned = torch.sin(2 * math.pi * 0.11 * torch.arange(n, dtype=torch.float64))
    distance = SpectralDistance()
    noise = 10 * torch.randn(1, n, dtype=torch.float64)
    assert float(distance(noise / 2, noise)) == pytest.approx(20 * math.log10(2), abs=0.02)
    assert float(distance(turned[None], wave[None])) < 0.1
    silent = 1e-4 * torch.randn(1, n, dtype=torch.float64)
    assert float(distance(silent, 0 * silent)) < 0.01


@pytest.mark.parametrize("shape", [(0, 50), (2, 5)])
def test_no_signals_and_short_ones(shape: tuple[int, int]) -> None:
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    found = SHORT(x, torch.zeros(shape, dtype=torch.float64))
    assert found.shape == (shape[0],)
    found.sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    assert not SHORT(x, x).any()


@pytest.mark.parametrize("lengths", [(), (10,), (16, 0)])
def test_refused_lengths(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ed.ErgodualError, match="multiple of 4"):
        SpectralDistance(lengths)


def test_refused_shapes() -> None:
    with pytest.raises(ed.ErgodualError, match="give both as"):
        SHORT(torch.zeros(1, 20), torch.zeros(2, 20))
    with pytest.raises(ed.ErgodualError, match="give both as"):
        SHORT(torch.zeros(20), torch.zeros(20))
