"""``python -m recipes models|gains|quality|detection|whole|shipped|convex CORPORA``."""

from __future__ import annotations

import sys
from pathlib import Path

from recipes import convex, detection, gains, models, quality, shipped, whole

WORK = Path("runs")


def main() -> None:
    """CORPORA holds librispeech/train and dev (models, gains, shipped), ieee/train and dev
    (quality, whole, convex), or both (detection).
    """
    name, corpora = sys.argv[1], Path(sys.argv[2]).resolve()
    recipes = {"models": models, "gains": gains, "quality": quality, "detection": detection}
    recipes |= {"whole": whole, "shipped": shipped, "convex": convex}
    # what is measured of one is of the runs of the other
    work = WORK / ("whole" if name == "convex" else name)
    recipes[name].main(corpora, work.resolve())


if __name__ == "__main__":
    main()
