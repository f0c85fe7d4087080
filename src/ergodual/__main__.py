"""``python -m ergodual``."""

import sys

from ergodual.errors import lacking
from ergodual.memory import reuse_memory


def run() -> None:
    """Run the command line and leave with its status."""
    try:
        from ergodual.cli import main
    except ModuleNotFoundError as error:
        print(f"ergodual: {lacking('the command line', error)}", file=sys.stderr)
        sys.exit(2)
    reuse_memory()
    sys.exit(main())


if __name__ == "__main__":
    run()
