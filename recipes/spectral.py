"""The network for 4 bits, learned on for equal seconds by the squared error and by that and a
spectral distance: what each comes to in SNR and in what is nearer to hearing.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ergodual.bilevel.workers import Workers
from ergodual.files import write_atomically
from ergodual.speech.corpora import load_corpus
from ergodual.speech.crops import Cropping
from ergodual.speech.learning import LENGTH, Learning, Recipe, restored
from ergodual.speech.measures import snr_db
from ergodual.speech.model import load_model
from ergodual.speech.network import Network
from ergodual.speech.quantizers import MidRise
from recipes.shipped import sound
from recipes.training import ROOT, SHIPPED

FILE = ROOT / "results" / "whole" / "spectral.json"
BITS, BATCH, RATE, SECONDS, TIMED = 4, 8, 3e-4, 120.0, 20
"""Seconds of the processor for a training; mini-batches that are timed before."""
WEIGHTS = (0.0, 0.1, 1.0, 5.0)
"""Of the spectral distance; with 0 it is the squared error alone."""


def main(corpora: Path, work: Path) -> None:
    """CORPORA holds librispeech/train and dev; a model that is there already is not learned
    again.
    """
    torch.set_num_threads(1)
    train, dev = (
        load_corpus(corpora / "librispeech" / part).recordings for part in ("train", "dev")
    )
    work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = [{"model": "stored", **measured(MidRise(BITS).quantize, dev)}]
    rows.append({"model": "shipped", **measured(_whole(shipped()), dev)})
    batches = _fitting(train)
    for weight in WEIGHTS:
        file = work / f"{weight}.pt"
        if not file.exists():
            network, seconds = learned(train, weight, batches)
            torch.save((network.state_dict(), batches, seconds), file)
        network = shipped()
        state, done, seconds = torch.load(file)
        network.load_state_dict(state)
        name = f"learned on, weight {weight:g}"
        told = {"batches": done, "seconds": round(seconds)}
        rows.append({"model": name, **told, **measured(_whole(network), dev)})
        print(rows[-1], flush=True)
        found = {"command": "python -m recipes spectral CORPORA", "bits": BITS, "rows": rows}
        write_atomically(FILE, json.dumps(found, indent=1) + "\n")


def shipped() -> Network:
    """The network for 4 bits that comes with the package, in float32."""
    network, _, _ = load_model(SHIPPED / f"network-{BITS}.safetensors")
    assert isinstance(network, Network)
    return network.float()


def learned(
    recordings: list[Tensor],
    weight: float,
    batches: int,
    on_step: Callable[[float], None] = lambda loss: None,
) -> tuple[Network, float]:
    """After so many mini-batches from the shipped one on, and the processor's seconds; the pieces
    are the same for every weight.
    """
    network = shipped()
    recipe = Recipe(1, BATCH, RATE, 0, rounded=False, spectral=weight)
    cropping = Cropping(recordings, LENGTH, MidRise(BITS), 0.5)
    learning = Learning(network, cropping, [], recipe, Workers())
    learning.batches = batches
    start = time.process_time()
    with TemporaryDirectory() as folder:
        learning.run(Path(folder) / "checkpoint", {}, 10**9, lambda epoch: None, on_step)
    return network.eval(), time.process_time() - start


def _fitting(recordings: list[Tensor]) -> int:
    """How many mini-batches with both terms the seconds are enough for."""
    times: list[float] = []
    learned(recordings, WEIGHTS[-1], TIMED + 2, lambda loss: times.append(time.process_time()))
    return round(SECONDS * TIMED / (times[-1] - times[1]))


def _whole(network: Network) -> Callable[[Tensor], Tensor]:
    return lambda x: restored(network, x, MidRise(BITS))


def measured(restore: Callable[[Tensor], Tensor], dev: list[Tensor]) -> dict[str, float]:
    """Means over the recordings."""
    found: list[dict[str, float]] = []
    for x in dev:
        clean, signal = x.double().numpy(), restore(x).double().numpy()
        found.append({"snr_db": snr_db(clean, signal), **sound(clean, signal)})
    return {name: round(statistics.mean(one[name] for one in found), 3) for name in found[0]}
