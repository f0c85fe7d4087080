"""A network of whole recordings beside others of as many parameters, for equal seconds: the same
recordings, pieces, loss and optimizer, each at the better of two learning rates.

What each restores is left in WORK/restored/MODEL/4, for ``ergodual evaluate --restored``.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import soundfile
import torch
from torch import Tensor, nn

from ergodual.bilevel.workers import Workers
from ergodual.files import write_atomically
from ergodual.speech.corpora import find_audio, load_corpus
from ergodual.speech.crops import Cropping
from ergodual.speech.learning import LENGTH, Learning, Recipe
from ergodual.speech.measures import snr_db
from ergodual.speech.network import Network, NetworkSpec
from ergodual.speech.quantizers import MidRise
from recipes.rival_networks import Dilated, Lista, UNet
from recipes.whole import RESULTS

BITS, BATCH, SECONDS, TRIAL, TIMED = 4, 8, 540.0, 30.0, 20
"""Seconds of the processor for a training, and for trying a learning rate; mini-batches that are
timed before.
"""
SCALE = float(2**BITS)
RATES = (7e-4, 1.5e-3)
SAMPLING_RATE = 16_000
RIVALS: dict[str, Callable[[], nn.Module]] = {
    "network": lambda: Network(NetworkSpec()),
    "U-Net": lambda: UNet(SCALE),
    "dilated": lambda: Dilated(SCALE),
    "LISTA": Lista,
}


def main(corpora: Path, work: Path) -> None:
    """Of IEEE train, measured on dev; a model that is there already is not trained again."""
    torch.set_num_threads(1)
    train, test = (load_corpus(corpora / "ieee" / part).recordings for part in ("train", "dev"))
    names = (file.stem for file in find_audio(corpora / "ieee" / "dev"))
    dev = dict(zip(names, test, strict=True))
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in RIVALS:
        file = work / f"{name}.pt"
        if not file.exists():
            tried = {rate: measured(learned(name, train, rate, TRIAL)[0], dev) for rate in RATES}
            rate = max(RATES, key=lambda rate: tried[rate]["snr_db"])
            model, told = learned(name, train, rate, SECONDS)
            told["snr_db_after_trial"] = {str(r): tried[r]["snr_db"] for r in RATES}
            torch.save({"model": model.state_dict(), "told": told}, file)
        saved = torch.load(file)
        model = RIVALS[name]()
        model.load_state_dict(saved["model"])
        count = sum(p.numel() for p in model.parameters())
        files = work / "restored" / name / str(BITS)
        rows.append(
            {"model": name, "parameters": count, **saved["told"], **measured(model, dev, files)}
        )
        print(rows[-1], flush=True)
        found = {"command": "python -m recipes rivals CORPORA", "bits": BITS, "rows": rows}
        write_atomically(RESULTS / "rivals.json", json.dumps(found, indent=1) + "\n")


def learned(
    name: str, recordings: list[Tensor], rate: float, seconds: float
) -> tuple[nn.Module, dict[str, object]]:
    """A model after so many seconds of the processor, and what they held."""

    def run(batches: int, on_step: Callable[[float], None] = lambda loss: None) -> nn.Module:
        torch.manual_seed(0)
        cropping = Cropping(recordings, LENGTH, MidRise(BITS))
        recipe = Recipe(1, BATCH, rate, 0, rounded=True)
        learning = Learning(RIVALS[name](), cropping, [], recipe, Workers())
        learning.batches = batches
        with TemporaryDirectory() as folder:
            learning.run(Path(folder) / "checkpoint", {}, 10**9, lambda epoch: None, on_step)
        return learning.network.eval()

    # how many mini-batches fit
    times: list[float] = []
    run(TIMED + 2, lambda loss: times.append(time.process_time()))
    batches = round(seconds * TIMED / (times[-1] - times[1]))
    start = time.process_time()
    model = run(batches)
    spent = round(time.process_time() - start)
    return model, {"rate": rate, "batches": batches, "seconds": spent}


def measured(
    model: nn.Module, dev: dict[str, Tensor], files: Path | None = None
) -> dict[str, float]:
    """SNR in dB, mean over the files, and seconds of audio a second of the processor; what is
    restored is kept by its names in a folder, if there is one.
    """
    quantizer = MidRise(BITS)
    half, values, spent = quantizer.radius, [], 0.0
    for name, x in dev.items():
        x_tilde = quantizer.quantize(x.float())[None] / half
        start = time.process_time()
        with torch.no_grad():
            x_hat = model(x_tilde)[0] * half
        spent += time.process_time() - start
        values.append(snr_db(x.double().numpy(), x_hat.double().numpy()))
        if files is not None:
            files.mkdir(parents=True, exist_ok=True)
            soundfile.write(files / f"{name}.wav", x_hat.numpy(), SAMPLING_RATE, subtype="FLOAT")
    samples = sum(map(len, dev.values()))
    return {
        "snr_db": round(statistics.mean(values), 2),
        "audio_seconds_per_second": round(samples / SAMPLING_RATE / spent),
    }
