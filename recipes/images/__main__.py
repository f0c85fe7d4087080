"""``python -m recipes.images all DATA TRAIN``, or in steps: ``train NAME TRAIN OUT``, ``measure
DATA OUT [NAME …]``, ``table DATA OUT``, ``figures OUT``, ``ship OUT``, ``inverse DATA``, ``colour
DATA``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from ergodual.memory import reuse_memory
from recipes.images import colour, figures, inverse
from recipes.images.measuring import measure, table
from recipes.images.photographs import ship
from recipes.images.training import RECIPES, train

WORK = Path("runs/images")


def main() -> None:
    """One step, or all: each training and measuring is a process of its own, on one core."""
    torch.set_num_threads(1)
    reuse_memory()
    what, *given = sys.argv[1:]
    if what == "train":
        train(given[0], Path(given[1]), Path(given[2]))
    elif what == "measure":
        measure(Path(given[0]), Path(given[1]), given[2:])
    elif what == "table":
        table(Path(given[0]), Path(given[1]))
    elif what == "figures":
        figures.draw(Path(given[0]))
    elif what == "ship":
        ship(Path(given[0]))
    elif what == "inverse":
        inverse.measure(Path(given[0]))
    elif what == "colour":
        colour.measure(Path(given[0]), WORK)
    else:
        data, folder = given
        steps = [["train", name, folder, str(WORK)] for name in RECIPES]
        for step in [
            *steps,
            ["measure", data, str(WORK)],
            ["table", data, str(WORK)],
            ["figures", str(WORK)],
            ["inverse", data],
        ]:
            command = [sys.executable, "-m", "recipes.images", *step]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
