"""What the shipped models come to on whole recordings of other speakers, file by file, and how it
sounds.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ergodual.files import write_atomically
from ergodual.speech.corpora import load_corpus
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.measures import band_levels_db, measures, octave_of, snr_db
from ergodual.speech.quantizers import Levels, a_law, mid_rise, mid_tread, mu_law
from recipes.training import ROOT, SHIPPED

FILE = ROOT / "results" / "whole" / "shipped.json"
HARM = 0.05
"""In dB, that no file may lose."""
RATE = 16_000
HEARD = {"estoi": ("ESTOI", ".3f"), "pesq_wb": ("PESQ", ".2f"), "lsd_db": ("LSD in dB", ".1f")}
"""What stands for how it sounds, beside the levels: heading and format."""


def main(corpora: Path, work: Path) -> None:
    """CORPORA holds librispeech/dev."""
    del work
    recordings = [x.double() for x in load_corpus(corpora / "librispeech" / "dev").recordings]
    tool = Dequantizer.load(SHIPPED.name)
    rows = []
    for quantizer, bits in _quantizers():
        rows.append(_row(recordings, quantizer, bits, tool))
        print(rows[-1], flush=True)
    found = {"command": "python -m recipes shipped CORPORA", "rows": rows}
    write_atomically(FILE, json.dumps(found, indent=1) + "\n")


def _quantizers() -> Iterator[tuple[Levels, int]]:
    for bits in range(2, 9):
        yield mid_rise(bits), bits
        yield mid_tread(bits), bits
    yield mu_law(), 8
    yield a_law(), 8


def _row(
    recordings: list[Tensor], quantizer: Levels, bits: int, tool: Dequantizer
) -> dict[str, Any]:
    before, after, heard = [], [], []
    for x in recordings:
        stored = quantizer.quantize(x).numpy()
        restored = tool.restore(stored, bits, quantizer)
        before.append(snr_db(x.numpy(), stored))
        after.append(snr_db(x.numpy(), restored))
        heard.append([sound(x.numpy(), signal) for signal in (stored, restored)])
    gains = np.array(after) - before
    return {
        "quantizer": quantizer.name,
        "files": len(gains),
        "stored": round(statistics.mean(before), 2),
        "restored": round(statistics.mean(after), 2),
        "least gain": round(float(gains.min()), 2),
        "harmed": int((gains < -HARM).sum()),
        "sound": {
            name: [round(statistics.mean(pair[i][name] for pair in heard), 3) for i in (0, 1)]
            for name in heard[0][0]
        },
    }


def sound(clean: NDArray[np.float64], signal: NDArray[np.float64]) -> dict[str, float]:
    """How it sounds, as far as numbers say it, and the level of each octave."""
    taken = measures(RATE)
    assert "pesq_wb" in taken, "pip install ergodual[pesq]"
    return {name: taken[name](clean, signal) for name in HEARD} | band_levels_db(
        clean, signal, RATE
    )


def table() -> str:
    """What was found, for the card."""
    rows = json.loads(FILE.read_text())["rows"]
    lines = ["| | stored | restored | least gain | harmed |", "|---|---|---|---|---|"]
    for row in rows:
        numbers = (f"{row[key]:.2f}" for key in ("stored", "restored"))
        gain, harmed = f"{row['least gain']:+.2f}", f"{row['harmed']} of {row['files']}"
        lines.append(f"| {row['quantizer']} | {' | '.join(numbers)} | {gain} | {harmed} |")
    return "\n".join(lines)


def heard_table() -> str:
    """How it sounds, for the card."""
    rows = json.loads(FILE.read_text())["rows"]
    levels = [name for name in rows[0]["sound"] if name not in HEARD]
    columns = HEARD | {name: (_octave(name), "+z.1f") for name in levels}
    headings = [heading for heading, _ in columns.values()]
    lines = [f"| | {' | '.join(headings)} |", f"|{'---|' * (len(columns) + 1)}"]
    for row in rows:
        cells = (
            " → ".join(format(value, form) for value in row["sound"][name])
            for name, (_, form) in columns.items()
        )
        lines.append(f"| {row['quantizer']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _octave(name: str) -> str:
    low, high = octave_of(name)
    return f"{low:.0f}–{high:.0f} Hz"
