"""The models that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ergodual.errors import ErgodualError


def model_files(name: str | Path) -> list[Path]:
    """The files of a model: one for each word length of a shipped one or in a folder, or the file
    given.

    Raises
    ------
    ErgodualError
        If there is neither a file nor a shipped model of this name.
    """
    if Path(name).is_file():
        return [Path(name)]
    folder = Path(name) if Path(name).is_dir() else _folder() / str(name)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ErgodualError(
            f"There is no model {str(name)!r}; give {' or '.join(shipped())}, or the file or the "
            "folder of trained ones."
        )
    return files


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(folder.name for folder in _folder().glob("*/"))


def _folder() -> Path:
    return Path(str(resources.files("ergodual") / "data" / "models"))
