"""The table of gains that comes with the models."""

from pathlib import Path

import pytest
import torch

import ergodual as ed
from ergodual.speech.benefit import helped
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.found import Found, described
from ergodual.speech.gains import Gains
from ergodual.speech.models import model_files
from ergodual.speech.quantizers import mu_law, mu_law_continuous, quantizer_of

TOOL = Dequantizer.load()
SHIFTED = described(0.1, 0.02, torch.linspace(-0.98, 0.92, 20).double().numpy())
FOUND = [
    *(
        Found(quantizer_of(kind, bits), "", bits)
        for kind in ("mid-rise", "mid-tread", "floor", "truncate")
        for bits in range(2, 11)
    ),
    *(Found(mu_law_continuous(bits), "", 8) for bits in range(4, 9)),
    Found(mu_law(), "", 8),
    Found(quantizer_of("mid-tread", 5), "", 5, dither="rpdf"),
    SHIFTED,
]


@pytest.mark.parametrize("found", FOUND, ids=lambda found: found.quantizer.name)
@pytest.mark.parametrize("rate", [16_000, 8000, 44_100])
def test_whatever_is_restored_has_an_expected_gain(found: Found, rate: int) -> None:
    one = helped(found, rate, TOOL.rate)
    expected = TOOL.gains.expected(one, rate)
    assert (expected is None) == (one.quantizer is None)
    if expected is not None:
        assert expected.mean >= expected.least
        assert expected.rate == (16_000 if rate == 16_000 else 8000)


def test_models_without_a_table_and_a_damaged_one(tmp_path: Path) -> None:
    single = Dequantizer.load(model_files("speech-16k")[0])
    assert single.gains.expected(FOUND[0], 16_000) is None
    assert Gains.of_folder(tmp_path, 16_000).expected(FOUND[0], 16_000) is None
    (tmp_path / "gains.json").write_text("{")
    with pytest.raises(ed.ErgodualError, match=r"gains\.json is damaged; make the models again"):
        Gains.of_folder(tmp_path, 16_000)
