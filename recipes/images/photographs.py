"""Photographs whose licences let a model that was trained on them be given away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from skimage import data
from sklearn.datasets import load_sample_image

from ergodual.functions import Huber
from ergodual.images import write_image
from ergodual.images.pictures import luma
from ergodual.images.regulariser import Regulariser
from ergodual.operators import Conv
from recipes.images.training import problem_of, trained

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "src" / "ergodual" / "data" / "regularisers" / "natural-grey.safetensors"
NAME = "convex-all"
"""The training whose regulariser is shipped."""
LICENCES = {
    "astronaut": "public domain, NASA",
    "brick": "CC0, CC0Textures",
    "chelsea": "CC0, Stefan van der Walt",
    "coffee": "CC0, Rachel Michetti",
    "grass": "CC0",
    "gravel": "CC0, CC0Textures",
    "rocket": "public domain, SpaceX",
    "china.jpg": "CC BY 2.0, danielbuechele",
    "flower.jpg": "CC BY 2.0, vultilion",
}
"""As scikit-image and scikit-learn, which bring them, say."""


def write_photographs(folder: Path) -> None:
    """All of them as grey images."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in LICENCES:
        pixels = load_sample_image(name) if "." in name else getattr(data, name)()
        image = torch.from_numpy(np.array(pixels, dtype=np.float32)) / 255
        grey = luma(image.permute(2, 0, 1)) if image.ndim == 3 else image[None]
        write_image(folder / f"{Path(name).stem}.png", grey, bits=16)


def ship(out: Path) -> None:
    """The regulariser that comes with the package, from the training ``NAME`` in this folder."""
    problem = problem_of(trained(NAME, out))
    F, K = problem.F, problem.K
    assert isinstance(F, Huber)
    assert isinstance(K, Conv)
    weight, width = map(torch.as_tensor, (F.weight, F.width))
    seconds = json.loads((out / NAME / "told.json").read_text())["seconds"]
    card = {
        "trained on": LICENCES,
        "command": f"python -m recipes.images train {NAME} runs/photographs runs/shipped",
        "seconds": round(seconds),
    }
    SHIPPED.parent.mkdir(exist_ok=True)
    Regulariser(K.kernel, weight, width, card).save(SHIPPED)
