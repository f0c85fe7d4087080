"""How near models of whole recordings come on recordings that they were not learned from, and what
their training took.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ergodual.files import write_atomically
from ergodual.speech.corpora import load_corpus
from ergodual.speech.dequantizer import Dequantizer, Quality
from ergodual.speech.measures import snr_db
from ergodual.speech.quantizers import mid_rise
from recipes import networks
from recipes.training import ROOT

RESULTS = ROOT / "results" / "whole"


def main(corpora: Path, work: Path) -> None:
    """CORPORA holds ieee/train and dev; each model is measured on the recordings that its epoch was
    chosen by.
    """
    networks.train("ieee", networks.IEEE, corpora, work)
    measure_all(corpora, work)


def measure_all(corpora: Path, work: Path) -> None:
    """What the runs in WORK came to."""
    rows = []
    for run in sorted(file.parent for file in work.glob("*/config.json")):
        config = json.loads((run / "config.json").read_text())
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        row = {
            "run": run.name,
            "training": {name: value for name, value in config.items() if value is not None},
            "epochs": log[-1]["epoch"],
            "seconds": round(sum(line["seconds"] for line in log)),
            **measured(run / "best.safetensors", corpora / config["dev"], config["bits"]),
        }
        rows.append(row)
        print(row, flush=True)
    found = {"command": "python -m recipes whole CORPORA", "rows": rows}
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_atomically(RESULTS / "dev.json", json.dumps(found, indent=1) + "\n")


def measured(model: Path, dev: Path, bits: int) -> dict[str, Any]:
    """SNR in dB of what is stored and of what is restored; seconds of audio a second of this
    machine, whatever else it did.
    """
    quantizer = mid_rise(bits)
    recordings = [x.double() for x in load_corpus(dev).recordings]
    stored = [quantizer.quantize(x) for x in recordings]
    before = [snr_db(x.numpy(), y.numpy()) for x, y in zip(recordings, stored, strict=True)]
    found: dict[str, Any] = {"files": len(stored), "stored": round(statistics.mean(before), 2)}
    qualities: tuple[Quality, ...] = ("normal", "best")
    for quality in qualities:
        tool = Dequantizer.load(model, quality=quality)
        begun = time.process_time()
        restored = [tool.restore(y, bits) for y in stored]
        seconds = time.process_time() - begun
        after = [snr_db(x.numpy(), z.numpy()) for x, z in zip(recordings, restored, strict=True)]
        found[quality] = {
            "snr_db": round(statistics.mean(after), 2),
            "least_gain_db": round(float((np.array(after) - before).min()), 2),
            "audio_seconds_per_second": round(sum(map(len, stored)) / tool.rate / seconds),
        }
    (network,) = tool.networks.values()
    found["parameters"] = sum(p.numel() for p in network.parameters())
    found["outside_cells"] = sum(
        int((~_inside(z, y, bits)).sum()) for z, y in zip(restored, stored, strict=True)
    )
    return found


def _inside(restored: torch.Tensor, stored: torch.Tensor, bits: int) -> torch.Tensor:
    lower, upper = mid_rise(bits).cell(stored)
    return (lower <= restored) & (restored <= upper)
