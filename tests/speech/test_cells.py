"""Every quantizer names, for what it stores, an interval that holds whatever was meant."""

import io
import math

import numpy as np
import pytest
import soundfile
import torch
from cases import QUANTIZERS
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed
from ergodual.speech.cells import Known, OnLattice
from ergodual.speech.quantizers import Levels, MidRise, a_law, mid_rise, mu_law


@pytest.mark.parametrize("name", QUANTIZERS)
@given(x=st.lists(st.floats(-2, 2), min_size=1, max_size=20))
def test_what_was_meant_lies_in_the_cell(name: str, x: list[float]) -> None:
    quantizer, meant = QUANTIZERS[name], torch.tensor(x, dtype=torch.float64)
    stored = quantizer.quantize(meant)
    lower, upper = quantizer.cell(stored)
    assert ((lower <= meant) & (meant <= upper)).all()
    assert ((lower <= stored) & (stored <= upper)).all()
    assert torch.equal(quantizer.quantize(stored), stored)
    again = quantizer.cell(
        stored + 1e-6 * torch.randn(len(x), dtype=torch.float64)
    )  # as after rounding to 16 bits
    assert torch.equal(again[0], lower)
    assert torch.equal(again[1], upper)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_mid_rise_is_the_papers_but_on_thresholds(bits: int) -> None:
    x = torch.rand(1000, dtype=torch.float64) * 2 - 1
    assert torch.equal(mid_rise(bits).quantize(x), MidRise(bits).quantize(x))
    lower, upper = mid_rise(bits).cell(torch.tensor([-5.0, 0.001, 5.0]))
    assert lower[0] == -math.inf
    assert upper[2] == math.inf
    assert (lower[1], upper[1]) == (0, MidRise(bits).step if bits > 1 else math.inf)


@pytest.mark.parametrize(("subtype", "make"), [("ULAW", mu_law), ("ALAW", a_law)])
def test_g711_is_that_of_libsndfile(subtype: str, make) -> None:
    """All 65,536 values of 16 bits: the levels agree, and every value lies in the cell of its
    level.
    """
    file, values = io.BytesIO(), np.arange(-(2**15), 2**15).astype(np.int16)
    soundfile.write(file, values, 8000, format="WAV", subtype=subtype)
    file.seek(0)
    stored = torch.from_numpy(soundfile.read(file, dtype="int16")[0] / 2.0**15)
    quantizer = make()
    assert torch.equal(stored.unique(), quantizer.levels)
    lower, upper = quantizer.cell(stored)
    meant = torch.from_numpy(values / 2.0**15)
    assert ((lower <= meant) & (meant <= upper)).all()


def test_levels_outside_of_their_cells_are_refused() -> None:
    with pytest.raises(ed.ErgodualError, match="outside of their cells"):
        Levels("wrong", torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.7, 1.0]))


def test_what_is_off_the_levels_is_known() -> None:
    samples = torch.tensor([0.25, 0.3, -0.5, 0.2501, 5.0, -7.0], dtype=torch.float64)
    cells = OnLattice(QUANTIZERS["mid-tread 4"], 1e-3)
    middle, lower, upper = cells.intervals(samples)
    assert torch.equal(middle, samples)
    assert (upper - lower).tolist() == pytest.approx([0.125, 0, 0.125, 0.125, 0, 0])
    for edge in Known().intervals(samples):
        assert torch.equal(edge, samples)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_the_middle_of_a_cell(name: str) -> None:
    """A level that lies in the middle of its cell is that middle, bit for bit."""
    quantizer = QUANTIZERS[name]
    middle, lower, upper = quantizer.intervals(quantizer.levels)
    assert torch.equal(torch.stack([lower, upper]), torch.stack(quantizer.cell(quantizer.levels)))
    if name.split()[0] not in ("floor", "truncate", "continuous"):
        assert torch.equal(middle, quantizer.levels)
    closed = lower.isfinite() & upper.isfinite()
    assert torch.allclose(middle[closed], ((lower + upper) / 2)[closed], atol=1e-12)
