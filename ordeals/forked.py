"""Many small cases in forked processes, each case with a limit of time and of memory."""

from __future__ import annotations

import json
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

AT_ONCE = 25
"""Cases that a process does, one after the other."""
SECONDS = 20
MEMORY = 1 << 30
"""Bytes of data that a process may have; beyond, an allocation fails."""


class Outcome(NamedTuple):
    """What came of a case: a word, and what there is to say about it."""

    case: int
    word: str
    text: str


def forked(
    cases: range, tried: Callable[[int], tuple[str, str]], jobs: int
) -> Iterator[tuple[list[Outcome], int]]:
    """Outcomes of some cases, as they come, and the bytes of memory that their process had at most.

    A case that takes too long, or that ends its process, is one whose outcome is "hang" or "crash";
    the next one goes on in another process.
    """
    waiting = [cases[at : at + AT_ONCE] for at in range(0, len(cases), AT_ONCE)][::-1]
    running: dict[int, tuple[range, Path]] = {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < jobs:
                some, file = waiting.pop(), Path(folder, f"{len(waiting)}-{os.urandom(4).hex()}")
                if (process := os.fork()) == 0:
                    _work(some, tried, file)
                running[process] = some, file
            process, status, usage = os.wait4(-1, 0)
            if process not in running:
                continue
            some, file = running.pop(process)
            lines = file.read_text().splitlines() if file.exists() else []
            found = [Outcome(*json.loads(line)) for line in lines]
            if status:
                number = os.waitstatus_to_exitcode(status)
                word = "hang" if number == -signal.SIGALRM else "crash"
                found.append(Outcome(some[len(found)], word, f"exit status {number}"))
                if rest := some[len(found) :]:
                    waiting.append(rest)
            yield found, usage.ru_maxrss * 1024


def _work(cases: range, tried: Callable[[int], tuple[str, str]], file: Path) -> None:
    """In a process of its own, which ends here."""
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libraries write notes of their own
        # the default action ends the process, also where no Python runs
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        with file.open("w") as out:
            for case in cases:
                signal.alarm(SECONDS)
                print(json.dumps([case, *tried(case)]), file=out, flush=True)
        status = 0
    finally:
        os._exit(status)
