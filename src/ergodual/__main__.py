"""``python -m ergodual``."""

import sys

from ergodual.cli import main


def run() -> None:
    """Run the command line and leave with its status."""
    sys.exit(main())


if __name__ == "__main__":
    run()
