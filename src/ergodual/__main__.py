"""``python -m ergodual``."""

import sys


def run() -> None:
    """Run the command line and leave with its status."""
    try:
        from ergodual.cli import main
    except ModuleNotFoundError as error:
        print(
            f"ergodual: the command line needs {error.name}; run pip install 'ergodual[all]'.",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(main())


if __name__ == "__main__":
    run()
