"""How much of an estimate is taken, held against what was measured."""

import json
from pathlib import Path

from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.found import Found
from ergodual.speech.quantizers import a_law, mid_tread, mu_law

MEASURED = Path(__file__).resolve().parents[2] / "results/detection/shares.json"


def test_what_is_taken_made_no_recording_worse() -> None:
    rows = json.loads(MEASURED.read_text())["shares"]
    tool = Dequantizer.load()
    assert {row["rate"] for row in rows} == {16_000, 8000, 11_025, 24_000, 48_000}
    for row in rows:
        name, _, unit = row["quantizer"].partition(" ")
        law = {"mu-law": mu_law(), "A-law": a_law()}.get(name)
        quantizer, bits = (mid_tread(int(name)), int(name)) if unit else (law, 8)
        taken = tool.helped(Found(quantizer, "", bits), row["rate"])
        worse = dict(zip(row["shares"], row["worse"], strict=True))
        assert taken.quantizer is None or worse[taken.share] == 0, row
