"""Files that are there as a whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ergodual.errors import ErgodualError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name in the same folder, flush it to the disk, and give it its
    name.

    Whoever reads ``path``, also after a crash in the middle, finds the old content or the new.

    Raises
    ------
    OSError
        With the name of the file, if it cannot be written; the old one is then still there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if path.parent.is_dir() else None
        # a full disk is noticed by write or fsync, which do not know the name
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path, advice: str, *keys: str) -> dict[str, Any]:
    """A JSON object that this package wrote, with at least these keys.

    Raises
    ------
    ErgodualError
        If the file holds anything else; the advice says what to do.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ErgodualError(f"{path} is damaged; {advice}.") from error
    if not isinstance(content, dict) or not content.keys() >= set(keys):
        raise ErgodualError(f"{path} is damaged; {advice}.")
    return content
