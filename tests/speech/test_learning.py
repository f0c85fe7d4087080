"""Learning models of whole recordings: what is drawn, what is weighed, and going on bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ergodual as ed
from ergodual import products
from ergodual.bilevel import Epoch
from ergodual.bilevel.workers import Workers
from ergodual.speech import learning
from ergodual.speech.crops import Cropping, delayed
from ergodual.speech.learning import Learning, Recipe
from ergodual.speech.quantizers import Levels, MidRise, a_law, mu_law
from ergodual.speech.spectral import SpectralDistance
from tests.speech.networks import small

RECIPE = Recipe(epochs=3, batch=4, lr=1e-2, seed=0, rounded=False)
FOUR = MidRise(4)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "RIM", 40)
    monkeypatch.setattr(learning, "DISTANCE", SpectralDistance((32, 64)))


def recordings(count: int = 3) -> list[Tensor]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(count):
        t = np.arange(900 + 200 * i)
        x = np.sin(0.05 * (i + 1) * t) + 0.5 * np.sin(0.11 * t) + 0.05 * rng.normal(size=len(t))
        found.append(torch.from_numpy(x / np.abs(x).max()).float())
    return found


def made(
    recipe: Recipe = RECIPE, model: str = "network", quantizer: MidRise | Levels = FOUR
) -> Learning:
    cropping = Cropping(recordings(), 256, quantizer)
    return Learning(small(model), cropping, recordings(2), recipe, Workers())


def run(one: Learning, folder: Path, stop: int | None = None, every: int = 10**9) -> list[Epoch]:
    """To its end, or until so many mini-batches are done."""
    seen: list[float] = []
    epochs: list[Epoch] = []

    def step(loss: float) -> None:
        seen.append(loss)
        if len(seen) == stop:
            raise InterruptedError

    one.run(folder / "checkpoint.pt", {"of": "a test"}, every, epochs.append, step)
    return epochs


@pytest.mark.parametrize("model", ["network", "convex"])
@pytest.mark.parametrize("rounded", [False, True])
def test_it_learns(model: str, rounded: bool, tmp_path: Path) -> None:
    one = made(RECIPE._replace(rounded=rounded, epochs=30), model, MidRise(5 if rounded else 4))
    epochs = run(one, tmp_path)
    assert [epoch.epoch for epoch in epochs] == list(range(31))
    assert epochs[0].dev_loss is not None
    assert epochs[-1].dev_loss is not None
    assert epochs[-1].dev_loss < epochs[0].dev_loss - 0.4
    assert epochs[-1].lr is not None
    assert epochs[-1].lr < RECIPE.lr / 10
    assert not products._rounding.get()
    if model == "convex":
        sigma, tau, _ = one.network.unrolled.numbers()
        assert epochs[-1].norm is not None
        assert sigma[0] * tau[0] * epochs[-1].norm ** 2 < 1
        assert one.network.unrolled.steps.theta == 1.0


def test_a_spectral_term_brings_spectra_nearer(tmp_path: Path) -> None:
    errors, distances = [], []
    for spectral in (0.0, 0.5):
        one = made(RECIPE._replace(epochs=30, spectral=spectral))
        (tmp_path / str(spectral)).mkdir()
        last = run(one, tmp_path / str(spectral))[-1]
        assert last.dev_loss is not None
        wholes = [one._loss_of_whole(x) for x in one.dev]
        assert last.dev_loss == pytest.approx(float(torch.stack(wholes).mean()))
        one.recipe = RECIPE._replace(spectral=1.0)  # to measure both alike
        with torch.no_grad():
            squared, distance = one._errors(one.cropping.of(64, 1, 0))
        errors.append(float(squared.mean()))
        distances.append(float(distance.mean()))
    assert distances[1] < 0.97 * distances[0]
    assert errors[1] > errors[0]


@pytest.mark.parametrize("spectral", [0.0, 0.5])
def test_a_step_follows_the_gradient_of_the_loss(spectral: float) -> None:
    """Of one recording: then the weights, relative to the mean error, are all alike."""
    recipe = RECIPE._replace(spectral=spectral, batch=1)
    cropping = Cropping(recordings(1), 256, FOUR)
    one, other = (Learning(small(), cropping, [], recipe, Workers()) for _ in range(2))
    one.history.epochs = [None]  # type: ignore[list-item]
    one._step(0)
    other._losses(*other._errors(cropping.of(1, recipe.seed, 1))).sum().backward()
    ours, theirs = (
        torch.cat([p.grad.flatten() for p in learned.network.parameters() if p.grad is not None])
        for learned in (one, other)
    )
    torch.testing.assert_close(ours / ours.norm(), theirs / theirs.norm(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("stop", "spectral"), [(2, 0.0), (4, 0.0), (9, 0.0), (4, 0.3)])
def test_it_goes_on_bit_for_bit(stop: int, spectral: float, tmp_path: Path) -> None:
    whole, interrupted, again = (made(RECIPE._replace(spectral=spectral)) for _ in range(3))
    (tmp_path / "whole").mkdir()
    expected = run(whole, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(interrupted, tmp_path, stop, every=1)
    with torch.no_grad():
        again.network.log_thresholds += 1  # it is the checkpoint's that counts
    epochs = run(again, tmp_path)
    assert [e.train_loss for e in expected][-len(epochs) :] == [e.train_loss for e in epochs]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    with pytest.raises(ed.ErgodualError, match="belongs to another configuration"):
        made().run(tmp_path / "checkpoint.pt", {"of": "another"}, 1, epochs.append, lambda v: None)


def test_errors_weigh_pieces() -> None:
    one = made()
    first = one._weights(torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    # the mean of both, 2, is what is known to begin with; the third recording's is not known
    torch.testing.assert_close(one.errors[:2], torch.tensor([1.8, 2.2]))
    torch.testing.assert_close(first, 2.0 / torch.tensor([1.8, 2.2]))
    one._weights(torch.tensor([0]), torch.tensor([6.8]))
    torch.testing.assert_close(one.errors[0], torch.tensor(0.8 * 1.8 + 0.2 * 6.8))
    assert one.errors[2].isnan()


def test_the_rate_rises_and_falls() -> None:
    one = made(RECIPE._replace(epochs=100))
    one.history.epochs = [None] * 11  # type: ignore[list-item]
    assert one._rate(0) == pytest.approx(RECIPE.lr * 0.5 * (1 + np.cos(0.1 * np.pi)))
    one.history.epochs = [None] * 2  # type: ignore[list-item]
    assert 0 < one._rate(0) < 0.25 * RECIPE.lr


def test_what_leaves_the_numbers_is_said() -> None:
    one = made()
    with torch.no_grad():
        one.network.log_thresholds += torch.inf
    one.history.epochs = [None]  # type: ignore[list-item]
    with pytest.raises(ed.NotFiniteError, match="mini-batch 1 at the learning rate"):
        one._step(0)


def test_a_delay_is_one() -> None:
    t = torch.arange(200, dtype=torch.float64)
    wave = torch.sin(2 * torch.pi * 6 * t / 200)
    torch.testing.assert_close(
        delayed(wave, 0.3), torch.sin(2 * torch.pi * 6 * (t - 0.3) / 200), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_pieces_lie_in_their_cells(bias: float) -> None:
    cropping = Cropping(recordings(), 256, FOUR, bias)
    files, x_tilde, x_true = cropping.of(64, 0, 5)
    assert float((x_true - x_tilde).abs().max()) <= 1 + 1e-4
    odd = (x_tilde % 2 == 1).all(1)
    even = (x_tilde % 2 == 0).all(1)
    assert bool((odd | even).all())
    assert bool(even.any()) == bool(bias)
    assert set(files.tolist()) == {0, 1, 2}
    again: Any = cropping.of(64, 0, 5)
    assert all(torch.equal(a, b) for a, b in zip((files, x_tilde, x_true), again, strict=True))
    assert not torch.equal(cropping.of(64, 0, 6).x_true, x_true)


@pytest.mark.parametrize("quantizer", [mu_law(), a_law()], ids=lambda law: law.name)
def test_cells_that_differ(quantizer: Levels, tmp_path: Path) -> None:
    one = made(RECIPE._replace(epochs=30), quantizer=quantizer)
    epochs = run(one, tmp_path)
    assert epochs[-1].train_loss < epochs[0].train_loss - 0.3
    assert epochs[-1].dev_loss < epochs[0].dev_loss
    crops = one.cropping.of(4, 0, 1)
    lower, upper = (t * one.cropping.half for t in one.levels.cell(crops.x_tilde))
    x_hat = one._estimates(crops.x_tilde).detach() * one.cropping.half
    assert bool(((lower - 1e-6 <= x_hat) & (x_hat <= upper + 1e-6)).all())
    cells = quantizer.cell(crops.x_tilde * one.cropping.half)
    torch.testing.assert_close((lower, upper), cells, atol=1e-9, rtol=1e-6)


def test_too_short_recordings() -> None:
    with pytest.raises(ed.ErgodualError, match="No recording has 5000 samples"):
        Cropping(recordings(), 5000, FOUR)
