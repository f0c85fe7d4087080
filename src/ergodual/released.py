"""What comes with the package, or from a release whose hashes come with the package."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

from ergodual.errors import lacking

DATA = Path(str(resources.files("ergodual") / "data"))
REGISTRY = "released.json"
"""In ``DATA``: the ``"address"`` of a release and the SHA-256 of each of its ``"files"``, under the
names that they would have in ``DATA``. Without it all comes with the package; ``python -m recipes
release`` writes it.
"""


def data_files(place: str) -> list[Path]:
    """A file of ``DATA``, or all in a folder there, by their names; what only the release has is
    fetched once and kept, in the folder ``ERGODUAL_CACHE`` or where the system keeps such files.

    Raises
    ------
    ErgodualError
        If one is to be fetched, and cannot be, or has another hash, or pooch is missing.
    """
    here = DATA / place
    names = [path.name for path in here.iterdir()] if here.is_dir() else []
    found = {f"{place}/{name}": here / name for name in names}
    if here.is_file():
        found[place] = here
    release = _release()
    for name, digest in release.get("files", {}).items():
        if name not in found and (name == place or name.startswith(f"{place}/")):
            found[name] = _fetched(release["address"], name, digest)
    return [found[name] for name in sorted(found)]


def data_names(folder: str) -> list[str]:
    """What there is in a folder of ``DATA``, here or in the release, without suffixes."""
    here = [path.name for path in (DATA / folder).iterdir()] if (DATA / folder).is_dir() else []
    start = f"{folder}/"
    there = [name[len(start) :] for name in _release().get("files", {}) if name.startswith(start)]
    return sorted({name.split("/")[0].removesuffix(".safetensors") for name in here + there})


def _release() -> dict[str, Any]:
    path = DATA / REGISTRY
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _fetched(address: str, name: str, digest: str) -> Path:
    try:
        import pooch

        from ergodual.fetching import fetch
    except ModuleNotFoundError as error:
        raise lacking(name, error) from error
    cache = Path(os.environ.get("ERGODUAL_CACHE") or pooch.os_cache("ergodual"))
    return fetch(f"{address.rstrip('/')}/{name}", f"sha256:{digest}", cache, name)
