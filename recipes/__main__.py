"""``python -m recipes models|gains|quality|detection CORPORA``."""

from __future__ import annotations

import sys
from pathlib import Path

from recipes import detection, gains, models, quality

WORK = Path("runs")


def main() -> None:
    """CORPORA holds librispeech/train and dev (models, gains), ieee/train and dev (quality), or
    both.
    """
    name, corpora = sys.argv[1], Path(sys.argv[2]).resolve()
    recipes = {"models": models, "gains": gains, "quality": quality, "detection": detection}
    recipes[name].main(corpora, (WORK / name).resolve())


if __name__ == "__main__":
    main()
