"""The command line: one file per command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from ergodual.cli.data import Data
from ergodual.cli.demo import Demo
from ergodual.cli.dequantize import Dequantize
from ergodual.cli.evaluate import Evaluate
from ergodual.cli.figures import Figures
from ergodual.cli.quantize import Quantize
from ergodual.cli.report import Report
from ergodual.cli.theory import Theory
from ergodual.cli.train import Train
from ergodual.errors import ErgodualError

Command = (
    Annotated[Dequantize, tyro.conf.subcommand("dequantize")]
    | Annotated[Quantize, tyro.conf.subcommand("quantize")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Figures, tyro.conf.subcommand("figures")]
    | Annotated[Theory, tyro.conf.subcommand("theory")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
)

DESCRIPTION = (
    "Learn the regulariser of a convex reconstruction problem from examples, by differentiating "
    "exactly through the primal-dual algorithm that solves it. First use: speech that was stored "
    "with too few bits. Try 'ergodual demo'."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what it cannot do is said in one sentence on standard error.

    Returns
    -------
    The exit status: 0, 2 after an error, 130 after Ctrl-C.
    """
    try:
        command: Command = tyro.cli(
            Command,
            prog="ergodual",
            description=DESCRIPTION,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        command.run()
    except ErgodualError as error:
        return _fail(str(error))
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(
            f"The file system refused{where}: {error.strerror or error}; check the space and the "
            "permissions."
        )
    except KeyboardInterrupt:
        print("\nergodual: interrupted; what was finished is kept.", file=sys.stderr)
        return 130
    return 0


def _fail(sentence: str) -> int:
    print(f"ergodual: {sentence}", file=sys.stderr)
    return 2
