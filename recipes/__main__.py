"""``python -m recipes models|quality|detection CORPORA``."""

from __future__ import annotations

import sys
from pathlib import Path

from recipes import detection, models, quality

WORK = Path("runs")


def main() -> None:
    """CORPORA holds librispeech/train and dev (models), ieee/train and dev (quality), or both."""
    name, corpora = sys.argv[1], Path(sys.argv[2]).resolve()
    {"models": models, "quality": quality, "detection": detection}[name].main(
        corpora, (WORK / name).resolve()
    )


if __name__ == "__main__":
    main()
