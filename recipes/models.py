"""The models that come with the package: trained on LibriSpeech, measured on speakers that they
were not trained on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ergodual.files import write_atomically
from ergodual.speech.model import load_model, save_model
from recipes import gains, networks, shipped
from recipes.training import G711, JOBS, ROOT, SHIPPED, Name, Recipe

RESULTS = ROOT / "results" / "models"
RECIPE = Recipe(
    corpus="librispeech/train",
    options="--depth 8 --learn K steps weights --warmup 500 --bias 1",
    first=4,
    epochs=10,
    chains=((5, 6, 7, 8, G711), (3, 2)),
    further=4,
)
EVALUATIONS = {
    **{str(bits): f"--bits {bits}" for bits in range(2, 9)},
    "mu-law": "--bits 8 --quantizer mu-law",
    "a-law": "--bits 8 --quantizer a-law",
}
METHODS = {
    "quantized": "stored",
    "linear": "linear",
    "perceptron": "perceptron",
    "dct": "DCT",
    "gabor": "Gabor",
    "ergodic": "this model",
}


def main(corpora: Path, out: Path) -> None:
    """Train, put into the package, measure, and write the card."""
    commands = RECIPE.train(corpora, out)
    SHIPPED.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    whole = networks.train("librispeech", networks.LIBRISPEECH, corpora, out)
    commands.update(whole.items())
    for name, command in commands.items():
        if str(name).startswith("first"):
            continue
        chosen = out / str(name) / "best.safetensors"
        source = chosen if chosen.exists() else chosen.with_name("model.safetensors")
        pack(source, SHIPPED / f"{name}.safetensors", command)
        shutil.copyfile(out / str(name) / "log.jsonl", RESULTS / f"{name}.jsonl")
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(lambda setting: measure(corpora, setting), EVALUATIONS))
    gains.main(corpora, out)
    shipped.main(corpora, out)
    write_atomically(SHIPPED / "CARD.md", card(commands))


def measure(corpora: Path, setting: str) -> None:
    """One table of the card."""
    words = (
        f"evaluate --corpus librispeech/dev --train librispeech/train {EVALUATIONS[setting]} "
        f"--models ergodic={SHIPPED.name} --out"
    ).split()
    environment = {**os.environ, "COLUMNS": "120"}
    subprocess.run(
        [sys.executable, "-m", "ergodual", *words, RESULTS / setting],
        cwd=corpora,
        env=environment,
        check=True,
    )


def pack(source: Path, target: Path, command: str) -> None:
    """A trained model with its matrices in half precision, and in its metadata the command instead
    of the configuration.
    """
    model, spec, metadata = load_model(source)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data = parameter.data.half()
    save_model(
        target,
        model,
        spec,
        {
            **{key: metadata[key] for key in ("bits", "quantizer", "rate", "epoch")},
            "training": command,
        },
    )


def card(commands: dict[Name, str]) -> str:
    """The card, with the measures of ``RESULTS``."""
    template = (Path(__file__).parent / "card.md").read_text()
    lines = []
    for name in EVALUATIONS:
        rows = json.loads((RESULTS / name / "measures.json").read_text())["rows"]
        of = {(row["method"], row["measure"]): row for row in rows}
        snr = " | ".join(f"{of[method, 'snr_db']['mean']:.2f}" for method in METHODS)
        least = of["ergodic", "delta_snr_db"]["least"]
        others = (
            f"{of['quantized', key]['mean']:.{n}f} → {of['ergodic', key]['mean']:.{n}f}"
            for key, n in (("estoi", 3), ("lsd_db", 1))
        )
        speed = of["ergodic", "audio_seconds_per_second"]["mean"]
        lines.append(f"| {name} | {snr} | {least:+.2f} | {' | '.join(others)} | {speed:.0f} |")
    heading = (
        f"| bits | {' | '.join(METHODS.values())} | least gain | ESTOI | LSD in dB | audio s/s |\n"
        f"|{'---|' * (len(METHODS) + 5)}"
    )
    shown = "\n".join(f"{command}" for command in commands.values())
    return template.format(
        table="\n".join([heading, *lines]),
        commands=shown,
        whole=shipped.table(),
        heard=shipped.heard_table(),
    )
