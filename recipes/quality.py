"""How near dequantizing comes on the IEEE sentences: trained on one part of them, measured on
another; not shipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ergodual.files import write_atomically
from recipes.training import ROOT, Recipe

RESULTS = ROOT / "results" / "quality"
DEEP = Recipe(
    corpus="ieee/train",
    options="--depth 16 --learn K steps weights --warmup 200",
    first=4,
    epochs=25,
    chains=((5, 6),),
    further=10,
    rate=5e-4,
)
PLAIN = Recipe(
    corpus="ieee/train",
    options="--depth 8 --output plain --learn K steps --warmup 200",
    first=4,
    epochs=5,
    chains=((5, 6),),
    further=3,
)
BARS = {4: 16.5, 5: 21.0, 6: 25.5}


def main(corpora: Path, out: Path) -> None:
    """Train the ergodic and the plain models, measure them beside the classical methods, and say
    which bars are met.
    """
    commands = {
        name: recipe.train(corpora, out / name)
        for name, recipe in (("ergodic", DEEP), ("plain", PLAIN))
    }
    for name in commands:
        gather(out / name)
    models = [f"plain={out / 'plain' / 'models'}", f"ergodic={out / 'ergodic' / 'models'}"]
    words = [
        "evaluate",
        "--corpus",
        "ieee/dev",
        "--train",
        "ieee/train",
        "--bits",
        "4",
        "5",
        "6",
        "--models",
        *models,
    ]
    environment = {**os.environ, "COLUMNS": "120"}
    subprocess.run(
        [sys.executable, "-m", "ergodual", *words, "--out", RESULTS],
        cwd=corpora,
        env=environment,
        check=True,
    )
    file = RESULTS / "measures.json"
    found = json.loads(file.read_text())
    best = {
        row["bits"]: row["mean"]
        for row in found["rows"]
        if (row["method"], row["measure"]) == ("ergodic", "snr_db")
    }
    bars = [
        {"bits": bits, "bar": bar, "snr_db": best[bits], "met": best[bits] >= bar}
        for bits, bar in BARS.items()
    ]
    write_atomically(
        file,
        json.dumps(
            {
                "command": "make quality CORPORA=corpora",
                "training": commands,
                "bars": bars,
                "rows": found["rows"],
            },
            indent=1,
        )
        + "\n",
    )
    for bar in bars:
        print(
            f"{bar['bits']} bits: {bar['snr_db']:.2f} dB, bar {bar['bar']} dB: "
            f"{'met' if bar['met'] else 'MISSED'}"
        )


def gather(folder: Path) -> None:
    """The models of all word lengths in one folder, as ``evaluate`` takes them."""
    (folder / "models").mkdir(exist_ok=True)
    for model in folder.glob("*/model.safetensors"):
        link = folder / "models" / f"{model.parent.name}.safetensors"
        link.unlink(missing_ok=True)
        link.hardlink_to(model)
