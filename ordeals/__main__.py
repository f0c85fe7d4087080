"""``python -m ordeals fuzz|kills [--out DIR] [--count N]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ordeals import fuzz, kills

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """The exit status: 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="ordeals", description=__doc__)
    parser.add_argument("name", choices=("fuzz", "kills"))
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "ordeals")
    parser.add_argument("--count", type=int, help="how many files, or kills")
    given = parser.parse_args()
    if given.name == "fuzz":
        return fuzz.main(given.out, given.count or fuzz.COUNT)
    return kills.main(given.out, given.count or kills.COUNT)


sys.exit(main())
