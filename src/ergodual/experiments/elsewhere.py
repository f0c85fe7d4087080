"""Recordings that another program has restored, to be measured in the same tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ergodual.errors import ErgodualError
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio

Elsewhere = dict[tuple[str, int], dict[Path, Path]]
"""By method and word length: the restored file of each recording."""


def find_elsewhere(corpus: Path, folders: dict[str, Path], bits: Iterable[int]) -> Elsewhere:
    """The restored files: FOLDER/BITS has those of a word length, at the places and by the names
    that the recordings have in the corpus, of whatever format.

    Parameters
    ----------
    corpus
        The folder of the recordings.
    folders
        Of each method.
    bits
        The word lengths.

    Raises
    ------
    ErgodualError
        If one is missing.
    """
    files = find_audio(corpus)
    return {
        (name, length): _alike(corpus, files, folder / str(length))
        for name, folder in folders.items()
        for length in bits
    }


def _alike(corpus: Path, files: list[Path], folder: Path) -> dict[Path, Path]:
    by_name = {file.relative_to(folder).with_suffix(""): file for file in find_audio(folder)}
    found = {}
    for file in files:
        name = file.relative_to(corpus).with_suffix("")
        if name not in by_name:
            raise ErgodualError(
                f"{folder} has nothing for {file.relative_to(corpus)}; put there what was restored "
                "of it, by the same name."
            )
        found[file] = by_name[name]
    return found


def read_restored(file: Path, clean: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """The samples of a restored file.

    Raises
    ------
    ErgodualError
        If it has another length or rate than the recording.
    """
    samples, its_rate, _ = read_audio(file)
    if (len(samples), its_rate) != (len(clean), rate):
        raise ErgodualError(
            f"{file} has {len(samples)} samples at {its_rate} Hz and the recording {len(clean)} at "
            f"{rate} Hz; restore all of it at its own rate."
        )
    return samples.astype(np.float64)
