"""``python -m recipes models|quality CORPORA``."""

from __future__ import annotations

import sys
from pathlib import Path

from recipes import models, quality

WORK = Path("runs")


def main() -> None:
    """CORPORA holds librispeech/train and dev (models), or ieee/train and dev (quality)."""
    name, corpora = sys.argv[1], Path(sys.argv[2]).resolve()
    {"models": models, "quality": quality}[name].main(corpora, (WORK / name).resolve())


if __name__ == "__main__":
    main()
