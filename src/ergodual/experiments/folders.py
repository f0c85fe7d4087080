"""A folder of results belongs to one setting, so that what is finished can be kept and the rest be
done later.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ergodual.bilevel.checkpoint import first_difference
from ergodual.errors import ErgodualError
from ergodual.files import read_json, sweep, write_atomically

AGAIN = "remove it, and the same command makes it again"
"""The advice for a damaged file among the results."""


def claim(out: Path, described: dict[str, Any], what: str) -> None:
    """Make ``out`` the folder of this setting, kept in ``setting.json``, and remove what calls that
    were killed have left in it and in the folders within.

    Raises
    ------
    ErgodualError
        If it holds those of another setting, or other things; ``what`` says what it was expected to
        hold.
    """
    file = out / "setting.json"
    for folder in (out, *out.glob("*/")):
        sweep(folder)
    if file.exists():
        found = read_json(file, "give another --out")
        field = first_difference(found, json.loads(json.dumps(described)))
        if field is not None:
            raise ErgodualError(
                f"{out} holds {what} of another setting: {field} was {found.get(field)!r} and is "
                f"now {described.get(field)!r}; give the same value, or another --out."
            )
    elif out.is_file():
        raise ErgodualError(f"{out} is a file; --out must be a folder.")
    elif out.exists() and any(out.iterdir()):
        raise ErgodualError(f"{out} is not empty and holds no {what} of ours; give another --out.")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(described, indent=1) + "\n")
