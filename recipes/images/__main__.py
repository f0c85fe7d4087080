"""``python -m recipes.images train NAME FOLDER OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from recipes.images.training import train


def main() -> None:
    """One training."""
    torch.set_num_threads(1)
    train(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))


if __name__ == "__main__":
    main()
