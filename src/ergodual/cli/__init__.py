"""The command line: one file per command."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated

import tyro

import ergodual
from ergodual.cli.app import App
from ergodual.cli.begun import with_begun
from ergodual.cli.data import Data
from ergodual.cli.demo import Demo
from ergodual.cli.dequantize import Dequantize
from ergodual.cli.evaluate import Evaluate
from ergodual.cli.figures import Figures
from ergodual.cli.inspect import Inspect
from ergodual.cli.outcomes import SomeFailedError, Terminated, said_of
from ergodual.cli.quantize import Quantize
from ergodual.cli.report import Report
from ergodual.cli.theory import Theory
from ergodual.cli.train import Train
from ergodual.errors import ErgodualError, lacking

Command = (
    Annotated[Dequantize, tyro.conf.subcommand("dequantize")]
    | Annotated[Inspect, tyro.conf.subcommand("inspect")]
    | Annotated[App, tyro.conf.subcommand("app")]
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
    The exit status: 0; 1 where some of many files could not be done; 2 after an error; 130 after
    Ctrl-C, 143 after SIGTERM.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may be no text
            stream.reconfigure(errors="backslashreplace")
    try:
        with _tidy_ending():
            if given == ["--version"]:
                print(f"ergodual {ergodual.__version__}")
                return 0
            command: Command = tyro.cli(
                Command,
                prog="ergodual",
                description=DESCRIPTION,
                args=with_begun(given),
                config=(tyro.conf.FlagCreatePairsOff,),
            )
            command.run()
    except SomeFailedError as error:
        return _fail(str(error), 1)
    except ModuleNotFoundError as error:
        return _fail(str(lacking("this command", error)))
    except (ErgodualError, OSError) as error:
        if isinstance(error, OSError) and error.filename == "standard output":
            # what is left for it must not be tried again when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _fail(said_of(error))
    except KeyboardInterrupt as error:
        terminated = isinstance(error, Terminated)
        said = "terminated" if terminated else "interrupted"
        print(f"\nergodual: {said}; what was finished is kept.", file=sys.stderr)
        return 143 if terminated else 130
    return 0


@contextlib.contextmanager
def _tidy_ending() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise an exception meanwhile, so that nothing is left half-written."""

    def terminate(_number: int, _frame: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] is not signal.SIG_IGN:  # as of what a shell runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if before[signal.SIGTERM] is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(sentence: str, status: int = 2) -> int:
    print(f"ergodual: {sentence}", file=sys.stderr)
    return status
