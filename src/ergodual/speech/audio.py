"""Audio files, in and out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ergodual.errors import ErgodualError


def read_audio(path: Path) -> tuple[NDArray[np.float32], int, int]:
    """The samples of a WAV or FLAC file in [−1, 1], averaged over its channels; its rate; the number of its channels.

    Raises
    ------
    ErgodualError
        If the file cannot be read, is not audio, is truncated, empty, or has samples that are not finite.
    """
    try:
        with open(path, "rb") as file:
            missing = _missing_bytes(file.read(4096), os.path.getsize(path))
    except OSError as error:
        raise ErgodualError(f"{path} cannot be read ({error.strerror}); check the name and the permissions.") from error
    if missing:
        raise ErgodualError(f"{path} is truncated: {missing} bytes of its samples are missing; replace or remove it.")
    try:
        with soundfile.SoundFile(path) as file:
            declared, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ErgodualError(f"{path} is not a readable WAV or FLAC file, or is truncated; replace or remove it.") from error
    if len(samples) < declared:
        raise ErgodualError(f"{path} is truncated: it has {len(samples)} of {declared} samples; replace or remove it.")
    if not len(samples):
        raise ErgodualError(f"{path} is empty: it has no samples; replace or remove it.")
    if not np.isfinite(samples).all():
        raise ErgodualError(f"{path} has samples that are NaN or infinite; replace or remove it.")
    channels = samples.shape[1]
    return samples[:, 0] if channels == 1 else samples.mean(axis=1), rate, channels


def write_audio(path: Path, samples: NDArray[np.floating], rate: int, subtype: str = "PCM_24") -> None:
    """Write a WAV or FLAC file, by the ending of its name; it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        soundfile.write(temporary, samples, rate, subtype=subtype, format=path.suffix[1:].upper())
        os.replace(temporary, path)
    except soundfile.LibsndfileError as error:
        raise ErgodualError(f"{path} cannot be written ({error.error_string}); check the folder and the disk.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _missing_bytes(head: bytes, size: int) -> int:
    """How many bytes the data chunk of a RIFF file promises beyond the end of the file; libsndfile would not say."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 <= len(head):
        length = int.from_bytes(head[at + 4 : at + 8], "little")
        if head[at : at + 4] == b"data":
            # a stream of unknown length says 0 or the largest number
            return 0 if length >= 0xFFFFFF00 else max(0, at + 8 + length - size)
        at += 8 + length + length % 2
    return 0
