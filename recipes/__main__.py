"""``python -m recipes models|gains|quality|detection|whole|convex CORPORA``."""

from __future__ import annotations

import sys
from pathlib import Path

from recipes import convex, detection, gains, models, quality, whole

WORK = Path("runs")


def main() -> None:
    """CORPORA holds librispeech/train and dev (models, gains), ieee/train and dev (quality,
    convex), or both.
    """
    name, corpora = sys.argv[1], Path(sys.argv[2]).resolve()
    recipes = {"models": models, "gains": gains, "quality": quality, "detection": detection}
    recipes |= {"whole": whole, "convex": convex}
    # what is measured of one is of the runs of the other
    work = WORK / ("whole" if name == "convex" else name)
    recipes[name].main(corpora, work.resolve())


if __name__ == "__main__":
    main()
