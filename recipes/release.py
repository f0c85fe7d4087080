"""What a release of the models has to have: ``python -m recipes release ADDRESS``.

It writes ``data/released.json`` into the package, with the hash of every file of every model. These
files then go to ADDRESS under their names in ``data``, and may leave the package.
"""

from __future__ import annotations

import hashlib
import json

from ergodual.files import write_atomically
from ergodual.released import DATA, REGISTRY

FOLDERS = ("models", "regularisers")


def main(address: str) -> None:
    """Write it."""
    paths = sorted(path for folder in FOLDERS for path in (DATA / folder).rglob("*.*"))
    files = {
        path.relative_to(DATA).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }
    content = {"address": address, "files": files}
    write_atomically(DATA / REGISTRY, json.dumps(content, indent=1) + "\n")
