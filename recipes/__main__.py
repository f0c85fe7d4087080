"""``python -m recipes NAME CORPORA``: NAME is one of the recipes below, or relatives;
or ``release ADDRESS``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from recipes import (
    claims_map,
    convex,
    detection,
    gains,
    models,
    quality,
    relatives,
    release,
    rivals,
    shipped,
    spectral,
    whole,
)

WORK = Path("runs")


def main() -> None:
    """CORPORA holds librispeech/train and dev (models, gains, shipped, spectral), ieee/train and
    dev (quality, whole, convex, rivals, map), or both (detection; relatives, of which those that
    are named after it, all if none is).
    """
    if sys.argv[1] == "release":
        release.main(sys.argv[2])
        return
    name, corpora = sys.argv[1], Path(sys.argv[2]).resolve()
    if name == "relatives":
        relatives.main(corpora, sys.argv[3:])
        return
    recipes = {"models": models, "gains": gains, "quality": quality, "detection": detection}
    recipes |= {"whole": whole, "shipped": shipped, "convex": convex, "rivals": rivals}
    recipes |= {"map": claims_map, "spectral": spectral}
    # what is measured of one is of the runs of the other
    work = WORK / ("whole" if name == "convex" else name)
    recipes[name].main(corpora, work.resolve())


if __name__ == "__main__":
    main()
