"""How much of an estimate is taken, held against what was measured."""

import json
from pathlib import Path

from ergodual.speech.benefit import helped
from ergodual.speech.found import Found
from ergodual.speech.quantizers import a_law, mid_tread

MEASURED = Path(__file__).resolve().parents[2] / "results/detection/shares.json"


def test_what_is_taken_made_no_recording_worse() -> None:
    rows = json.loads(MEASURED.read_text())["shares"]
    assert {row["rate"] for row in rows} == {16_000, 8000}
    for row in rows:
        name, _, unit = row["quantizer"].partition(" ")
        quantizer, bits = (mid_tread(int(name)), int(name)) if unit else (a_law(), 8)
        taken = helped(Found(quantizer, "", bits), row["rate"], 16_000)
        worse = dict(zip(row["shares"], row["worse"], strict=True))
        assert taken.quantizer is None or worse[taken.share] == 0, row
