"""The models that come with the package."""

from __future__ import annotations

from pathlib import Path

from ergodual.errors import ErgodualError
from ergodual.released import data_files, data_names


def model_files(name: str | Path) -> list[Path]:
    """The files of a model: one for each word length of a shipped one or in a folder, or the file
    given.

    Raises
    ------
    ErgodualError
        If there is neither a file nor a shipped model of this name, or it is one of a release that
        cannot be fetched.
    """
    if Path(name).is_file():
        return [Path(name)]
    paths = Path(name).iterdir() if Path(name).is_dir() else data_files(f"models/{name}")
    files = sorted(path for path in paths if path.suffix == ".safetensors")
    if not files:
        raise ErgodualError(
            f"There is no model {str(name)!r}; give {' or '.join(shipped())}, or the file or the "
            "folder of trained ones."
        )
    return files


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    return data_names("models")
