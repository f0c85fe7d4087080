"""Models of whole recordings: their gradients, their solutions, and what comes out in blocks."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import ergodual as ed
from ergodual.speech import windows
from ergodual.speech.cells import OnLattice
from ergodual.speech.found import Found
from ergodual.speech.quantizers import a_law, mid_rise, mid_tread
from ergodual.speech.windows import WindowStream
from tests.speech.networks import small

MODELS = ["network", "convex"]


def signal(length: int = 1500, seed: int = 0) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=length)
    return 0.6 * np.sin(0.05 * np.arange(length)) + 0.1 * noise


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW", 500)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_are_differences(model: str) -> None:
    network = small(model, depth=2).double()
    x_tilde = torch.from_numpy(np.round(8 * signal(40)) * 2 + 1)[None]

    def loss() -> torch.Tensor:
        return (network(x_tilde) - 0.9 * x_tilde).square().sum()

    for adjoint in (ed.Reverse(), ed.Tape()):
        network.unrolled.adjoint = adjoint
        parameters = dict(network.named_parameters())
        found = torch.autograd.grad(loss(), list(parameters.values()))
        for (name, held), gradient in zip(parameters.items(), found, strict=True):
            way = torch.randn(
                held.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
            )
            with torch.no_grad():
                values = []
                for step in (1e-6, -2e-6):
                    held += step * way
                    values.append(float(loss()))
                held += 1e-6 * way
            slope, expected = (values[0] - values[1]) / 2e-6, float((gradient * way).sum())
            if model == "convex" and name.endswith("matrix"):
                continue  # the steps follow ‖K‖, which counts as a constant
            assert abs(slope - expected) <= 1e-4 * (1 + abs(slope)), name


def test_the_convex_one_is_solved() -> None:
    network = small("convex").double()
    x_tilde = torch.from_numpy(np.round(8 * signal(200)) * 2 + 1)[None]
    with torch.no_grad():
        F = network.functions(x_tilde)
        assert isinstance(F, ed.L21)
        solution = ed.solve(network.unrolled.problem.with_functions(F=F), x_tilde, tol=1e-6)
        assert solution.converged.all()
        network.unrolled.output, network.unrolled.depth = ed.Last(), 3000
        far = network(x_tilde)
    assert float((far - solution.x).norm()) < 1e-3 * float(solution.r.norm())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shifts", [1, 3])
@pytest.mark.parametrize("rounded", [False, True])
def test_blocks_decide_nothing(
    model: str, shifts: int, rounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ergodual.speech.windows.rounding_pays", lambda: rounded)
    network, quantizer = small(model), mid_rise(4)
    stored = quantizer.quantize(torch.from_numpy(signal())).numpy()

    def restored(sizes: Iterator[int]) -> NDArray[np.float64]:
        stream, found, taken = WindowStream(network, quantizer, shifts=shifts), [], 0
        while taken < len(stored):
            block = stored[taken : taken + next(sizes)]
            found.append(stream.push(block))
            taken += len(block)
            assert taken - sum(map(len, found)) <= stream.latency
        return np.concatenate([*found, stream.finish()])

    whole = restored(itertools.repeat(len(stored)))
    assert np.array_equal(whole, restored(itertools.cycle([1, 7, 250, 64])))
    assert len(whole) == len(stored)
    if shifts > 1:
        return
    with torch.no_grad():
        at_once = network(torch.from_numpy(stored)[None].float() * 16)[0].numpy() / 16
    inner = slice(network.reach, -network.reach)
    # in units of the signal, whose half steps are 1/16; what is to converge is never rounded
    atol = 2e-3 if rounded and model == "network" else 1e-6
    np.testing.assert_allclose(whole[inner], at_once[inner], atol=atol, rtol=0)


def test_thresholds_beyond_all_numbers_are_large_ones() -> None:
    network = small()
    with torch.no_grad():
        network.map.last.bias.fill_(1e4)
        x_hat = network(torch.from_numpy(np.round(8 * signal()) * 2 + 1)[None].float())
    assert x_hat.isfinite().all()


def test_the_reach_is_not_too_short() -> None:
    network = small()
    x_tilde = torch.from_numpy(np.round(8 * signal()) * 2 + 1)[None].float()
    elsewhere, at, reach = x_tilde.clone(), 700, network.reach
    elsewhere[:, : at - reach] += 2
    elsewhere[:, at + reach :] -= 4
    with torch.no_grad():
        assert float((network(elsewhere) - network(x_tilde))[0, at].abs()) < 1e-6


@pytest.mark.parametrize(
    ("quantizer", "bits", "wider"),
    [(mid_rise(4), 4, 0.0), (mid_tread(3), 3, 0.0), (a_law(), 8, 0.0), (mid_tread(4), 4, 0.06)],
    ids=["mid-rise", "mid-tread", "A-law", "dithered"],
)
def test_every_sample_stays_in_its_cell(quantizer, bits, wider) -> None:  # type: ignore[no-untyped-def]
    stored = quantizer.quantize(torch.from_numpy(signal()))
    stored[300:320] = 0.3333  # off the levels: known
    cells = OnLattice(quantizer, tolerance=1e-9, wider=wider)
    tool = ed.Dequantizer({}, 16_000, networks={4: small()}, quality="best")
    stream = tool.stream(cells, bits, centre=0.013)
    assert isinstance(stream, WindowStream)
    restored = np.concatenate([stream.push(stored.numpy()), stream.finish()])
    _, lower, upper = cells.intervals(stored).numpy()
    assert ((lower <= restored) & (restored <= upper)).all()
    assert (restored != stored.numpy()).mean() > 0.3
    # what is known is itself, but for how numbers round
    np.testing.assert_array_equal(restored[300:320], stored[300:320])


def test_silence_and_nothing() -> None:
    stream = WindowStream(small(), mid_tread(4))
    assert not stream.push(np.empty(0)).size
    assert not stream.finish().size
    stream.push(np.zeros(700))
    assert np.abs(stream.finish()).max() <= mid_tread(4).step / 2


def test_which_model_is_taken() -> None:
    network = small()
    frames = ed.Dequantizer.load().models
    tool = ed.Dequantizer(frames, 16_000, networks={4: network})
    assert tool._model(mid_rise(4), 4) is network
    assert tool._model(mid_rise(5), 5) is network
    assert tool._model(mid_rise(6), 6) is frames[6]
    assert tool._model(mid_rise(3), 3) is network
    assert tool._model(mid_rise(2), 2) is frames[2]
    assert tool._model(a_law(), 8) is frames[8]
    assert tool._model(OnLattice(mid_tread(4), wider=0.06), 4) is frames[4]
    own = ed.Dequantizer(frames, 16_000, network_g711=network)
    assert own._model(a_law(), 8) is network
    assert own._model(mid_rise(8), 8) is frames[8]
    assert own._model(OnLattice(a_law(), wider=0.06), 8) is frames[8]
    alone = ed.Dequantizer({}, 16_000, networks={4: network})
    assert alone._model(mid_rise(9), 9) is network
    assert alone.helped(Found(mid_rise(9), "", 9), 16_000).share == 0.5  # it is not for so many
    fast = ed.Dequantizer(frames, 16_000, networks={4: network}, quality="fast")
    assert fast._model(mid_rise(4), 4) is frames[4]
    with pytest.raises(ed.ErgodualError, match="needs a model"):
        ed.Dequantizer({}, 16_000)
