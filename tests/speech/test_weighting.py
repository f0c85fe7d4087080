"""The weighting filter against scipy's, and the loss against what it must be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor

import ergodual as ed
from ergodual.bilevel import HalfSquared
from ergodual.speech.weighting import PerceptualError, predictor


def frames(count: int = 3, n: int = 160) -> Tensor:
    """Of a process of order 4, so that there is something to predict."""
    noise = np.random.default_rng(0).standard_normal((count, n))
    return torch.from_numpy(lfilter([1.0], [1, -1.2, 0.9, -0.3, 0.1], noise))


def test_loss_is_the_energy_behind_the_filter() -> None:
    x = frames()
    error = torch.from_numpy(np.random.default_rng(1).standard_normal(x.shape))
    found = PerceptualError(8, 0.9, 0.6)(x + error, x)
    for a, e, one in zip(predictor(x, 8).numpy(), error.numpy(), found, strict=True):
        powers = np.arange(9)
        padded = np.concatenate([e, np.zeros(10 * len(e))])
        filtered = lfilter(a * 0.9**powers, a * 0.6**powers, padded)
        assert float(one) == pytest.approx(np.square(filtered).sum() / 2, rel=1e-9)


def test_prediction_leaves_no_room() -> None:
    """No other coefficients have a smaller error, but for the noise that is added."""
    x = frames(1, 2000)
    a = predictor(x, 4)[0].numpy()
    windowed = x[0].numpy() * np.hanning(2000)
    padded = np.concatenate([windowed, np.zeros(4)])
    shifted = np.stack([np.roll(padded, k) for k in range(1, 5)], 1)
    best = np.linalg.lstsq(shifted, -padded, rcond=None)[0]
    assert a[1:] == pytest.approx(best, abs=3e-3)
    assert np.abs(np.roots(a)).max() < 1


def test_gradient_against_differences() -> None:
    x = frames(2, 40)
    x_hat = (x + torch.randn(2, 40, dtype=x.dtype)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: PerceptualError(4)(t, x), x_hat)


def test_ground_truths_have_no_gradient() -> None:
    x = frames().requires_grad_()
    x_hat = torch.zeros_like(x).requires_grad_()
    PerceptualError()(x_hat, x).sum().backward()
    assert x_hat.grad is not None
    assert x.grad is None


def test_no_frames_have_no_loss() -> None:
    assert PerceptualError()(frames()[:0], frames()[:0]).shape == (0,)


@pytest.mark.parametrize("loss", [PerceptualError(0), PerceptualError(5, 0.7, 0.7)])
def test_without_prediction_it_is_the_squared_error(loss: PerceptualError) -> None:
    x, x_hat = frames(4), torch.randn(4, 160, dtype=torch.float64)
    torch.testing.assert_close(loss(x_hat, x), HalfSquared()(x_hat, x))


def test_level_of_the_speech_does_not_matter_and_silence_is_plain() -> None:
    x = frames()
    error = torch.randn_like(x)
    loss = PerceptualError()
    torch.testing.assert_close(loss(1e-3 * x + error, 1e-3 * x), loss(x + error, x))
    silent = torch.zeros_like(x)
    torch.testing.assert_close(loss(error, silent), HalfSquared()(error, silent))
    in_float32 = loss((x + error).float(), x.float())
    torch.testing.assert_close(in_float32.double(), loss(x + error, x), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: PerceptualError(-1), "order of prediction is -1"),
        (lambda: PerceptualError(4, 0.5, 0.6), "γ₁ = 0.5 and γ₂ = 0.6"),
        (lambda: PerceptualError(4, 1.5, 0.6), "γ₁ = 1.5"),
        (lambda: PerceptualError()(frames(), frames(2)), r"\(3, 160\) and .* \(2, 160\)"),
        (lambda: PerceptualError()(frames()[0], frames()[0]), r"give both as \(batch, n\)"),
        (lambda: PerceptualError(160)(frames(), frames()), "no prediction of order 160"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ed.ErgodualError, match=sentence):
        call()
