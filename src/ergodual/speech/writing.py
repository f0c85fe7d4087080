"""Audio files, written block by block; they appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from ergodual.errors import ErgodualError
from ergodual.files import replacing
from ergodual.speech.formats import container_of

Subtype = Literal["PCM_24", "PCM_16", "FLOAT"]
WORD = {"PCM_16": 16, "PCM_24": 24}

Write = Callable[[NDArray[np.float64]], int]


def write_audio(
    path: Path, samples: NDArray[np.floating], rate: int, subtype: Subtype = "PCM_24"
) -> None:
    """Write one channel to a file, whose kind follows from the ending of its name; it appears whole
    or not at all.

    Raises
    ------
    ErgodualError
        If the name has another ending, or the file cannot be written.
    """
    with written(path, rate, 1, subtype, container_of(path)) as (_, write):
        write(samples.astype(np.float64)[:, None])


@contextlib.contextmanager
def copying(path: Path) -> Iterator[BinaryIO]:
    """A file for the bytes of another.

    Raises
    ------
    ErgodualError
        If it cannot be written.
    """
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise _refused(path, error) from error


@contextlib.contextmanager
def written(
    path: Path,
    rate: int,
    channels: int,
    subtype: Subtype,
    container: str,
    endian: str | None = None,
) -> Iterator[tuple[soundfile.SoundFile, Write]]:
    """A file, and what writes blocks of samples to it, ``(length, channels)``.

    Of each block it says how many samples left [-1, 1] and were cut off.

    Samples are rounded to the nearest value that the format holds: libsndfile, given floating-point
    numbers, would scale them by one part in 2^23 first.

    Raises
    ------
    ErgodualError
        If the file cannot be written.
    """
    with copying(path) as out:
        try:
            file = soundfile.SoundFile(
                out.fileno(), "w", rate, channels, subtype, endian, container, closefd=False
            )
        except (soundfile.SoundFileError, ValueError) as error:
            raise ErgodualError(
                f"{path} cannot be written: {container} takes no {channels} channels at {rate} Hz "
                f"as {subtype}; give another name or --subtype."
            ) from error

        def write(block: NDArray[np.float64]) -> int:
            try:
                file.write(_encoded(block, subtype))
            except (soundfile.SoundFileError, AssertionError) as error:
                # soundfile asserts that all samples were written, and does not know why not
                raise _why(out) from error
            return 0 if subtype == "FLOAT" else int((np.abs(block) > 1).sum())

        try:
            with file:
                yield file, write
        except soundfile.SoundFileError as error:
            raise _why(out) from error


def _why(out: BinaryIO) -> OSError:
    """What the file system says where libsndfile could not write."""
    try:
        for _ in range(256):
            os.write(out.fileno(), bytes(1 << 12))
        os.fsync(out.fileno())
    except OSError as error:
        return error
    return OSError(None, "not all samples were written")


def _refused(path: Path, error: OSError) -> ErgodualError:
    return ErgodualError(
        f"{path} cannot be written ({error.strerror or error}); check the folder and the disk."
    )


def _encoded(
    block: NDArray[np.float64], subtype: Subtype
) -> NDArray[np.int32] | NDArray[np.float32]:
    if subtype == "FLOAT":
        return block.astype(np.float32)
    word = WORD[subtype]
    whole = np.clip(np.rint(block * 2.0 ** (word - 1)), -(2 ** (word - 1)), 2 ** (word - 1) - 1)
    return (whole.astype(np.int64) << (32 - word)).astype(np.int32)
