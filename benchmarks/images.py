"""Crops of images to measure on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.measure import ROOT


def corpora() -> Path:
    """Where the data sets are."""
    return Path(os.environ.get("ERGODUAL_CORPORA", ROOT / "corpora"))


def crops(count: int, size: int, noise: float) -> tuple[Tensor, Tensor]:
    """The upper left corners of the first of images/train400, between 0 and 1, clean and with noise
    of this standard deviation, ``(count, 1, size, size)``.
    """
    folder = corpora() / "images" / "train400"
    files = sorted(folder.glob("*.png"))[:count]
    if len(files) < count:
        raise SystemExit(
            f"{folder} has {len(files)} of {count} images; give the folder that holds "
            "images/train400 in ERGODUAL_CORPORA."
        )
    images = [np.asarray(Image.open(file).convert("L"), dtype=np.float64) for file in files]
    x = torch.stack([torch.from_numpy(image[:size, :size] / 255) for image in images])[:, None]
    generator = torch.Generator().manual_seed(0)
    return x, x + noise * torch.randn(x.shape, generator=generator, dtype=torch.float64)
