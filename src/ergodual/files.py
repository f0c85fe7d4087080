"""Files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ergodual.errors import ErgodualError

TEMPORARY = re.compile(r"\..*\.ergodual-[0-9a-f]{8}\.tmp")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file under a temporary name of its own in the same folder, which is flushed to the disk
    and gets the name ``path`` in the end; after an error within, it is gone.

    Whoever reads ``path``, also after a crash in the middle, finds the old content or the new. What
    a killed process leaves, :func:`sweep` removes: the file is locked as long as it is written.

    Raises
    ------
    OSError
        With the name of the file, if it cannot be made or gets no such name.
    """
    with _named(path):
        temporary, file = _temporary(path)
    try:
        with file:
            yield file
            with _named(path):
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file that is there as a whole or not at all.

    Raises
    ------
    OSError
        With the name of the file, if it cannot be written; the old one is then still there.
    """
    with replacing(path) as file, _named(path):
        if isinstance(content, str):  # names of files may be no text
            content = content.encode(errors="backslashreplace")
        file.write(content)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder, not in those below."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                # who still writes has the lock
                with contextlib.suppress(OSError), path.open("rb") as file:
                    _lock(file, wait=False)
                    path.unlink()


def _temporary(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        # names have at most 255 bytes
        name = f".{path.name[:50]}.ergodual-{secrets.token_hex(4)}.tmp"
        temporary = path.with_name(name)
        file = temporary.open("x+b")  # the caller closes it
        with contextlib.suppress(OSError):  # there are file systems without locks
            _lock(file, wait=True)
        if temporary.exists():  # else it was swept before it was locked
            return temporary, file
        file.close()


def _lock(file: BinaryIO, wait: bool) -> None:
    with contextlib.suppress(ImportError):  # of Windows, where nobody can remove an open file
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    # a full disk is noticed by write or fsync, which do not know the name
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path, advice: str, *keys: str) -> dict[str, Any]:
    """A JSON object that this package wrote, with at least these keys.

    Raises
    ------
    ErgodualError
        If the file holds anything else; the advice says what to do.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ErgodualError(f"{path} is damaged; {advice}.") from error
    if not isinstance(content, dict) or not content.keys() >= set(keys):
        raise ErgodualError(f"{path} is damaged; {advice}.")
    return content
