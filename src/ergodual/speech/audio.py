"""Audio files, in and out."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from ergodual.errors import ErgodualError

ENDINGS = (".wav", ".flac")

BLOCK = 1 << 20
"""Samples of each channel that are read at once: four megabytes a channel."""

UNKNOWN_FRAMES = 2**63 - 1
"""What libsndfile says of a FLAC file without a length; it cannot read one to its end."""
NO_LENGTH = 0x7FFF0000
"""Programs that write a WAV file into a pipe call its length 0 or some number from here on (SoX,
ffmpeg: almost 2 and 4 GiB).
"""


class Audio:
    """An open recording; made by :func:`open_audio`.

    Attributes
    ----------
    rate
        Sampling rate in Hz.
    channels
        How many there are.
    frames
        Samples of each channel, as the file declares.
    subtype
        The format of the samples, as libsndfile names it.
    """

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        self._path, self._file = path, file
        self.rate: int = file.samplerate
        self.channels: int = file.channels
        self.frames: int = file.frames
        self.subtype: str = file.subtype

    def rewind(self) -> None:
        """Back to the first sample."""
        self._file.seek(0)

    def blocks(self, length: int = BLOCK) -> Iterator[NDArray[np.float32]]:
        """The samples in [−1, 1] from the first to the last, ``(up to length, channels)``.

        Raises
        ------
        ErgodualError
            If the file is damaged, truncated or empty, or has samples that are not finite.
        """
        declared, found = self.frames, 0
        while True:
            try:
                block = self._file.read(length, dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                raise _unreadable(self._path) from error
            found += len(block)
            if len(block) < length and found < declared:
                raise ErgodualError(
                    f"{self._path} is truncated: it has {found} of {declared} samples; replace or "
                    "remove it."
                )
            if not found:
                raise ErgodualError(
                    f"{self._path} is empty: it has no samples; replace or remove it."
                )
            if not np.isfinite(block).all():
                raise ErgodualError(
                    f"{self._path} has samples that are NaN or infinite; replace or remove it."
                )
            if not len(block):
                return
            yield block

    def mono_blocks(self, length: int = BLOCK) -> Iterator[NDArray[np.float32]]:
        """The same, averaged over the channels, ``(up to length,)``."""
        for block in self.blocks(length):
            yield (
                block[:, 0]
                if self.channels == 1
                else block.mean(axis=1, dtype=np.float64).astype(np.float32)
            )


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[Audio]:
    """A WAV or FLAC file to be read block by block.

    Raises
    ------
    ErgodualError
        If the file cannot be read, is not audio or is truncated.
    """
    try:
        with open(path, "rb") as file:
            missing, mended = _inspect(file, os.path.getsize(path))
    except OSError as error:
        raise ErgodualError(
            f"{path} cannot be read ({error.strerror}); check the name and the permissions."
        ) from error
    if missing:
        raise ErgodualError(
            f"{path} is truncated: {missing} bytes of its samples are missing; replace or remove "
            "it."
        )
    try:
        audio = soundfile.SoundFile(io.BytesIO(mended) if mended else path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _unreadable(path) from error
    with audio:
        if audio.frames == UNKNOWN_FRAMES:
            raise ErgodualError(
                f"{path} does not declare its length, as FLAC files from a pipe do; write it "
                "again to a file."
            )
        yield Audio(path, audio)


def read_audio(path: Path) -> tuple[NDArray[np.float32], int, int]:
    """The samples of a WAV or FLAC file in [−1, 1], averaged over its channels; its rate; the
    number of its channels.

    Raises
    ------
    ErgodualError
        If the file cannot be read, is not audio, is truncated, empty, or has samples that are not
        finite.
    """
    with open_audio(path) as audio:
        return np.concatenate(list(audio.mono_blocks())), audio.rate, audio.channels


def _unreadable(path: Path) -> ErgodualError:
    return ErgodualError(
        f"{path} is not a readable WAV or FLAC file, or is truncated; replace or remove it."
    )


def write_audio(
    path: Path, samples: NDArray[np.floating], rate: int, subtype: str = "PCM_24"
) -> None:
    """Write a WAV or FLAC file, by the ending of its name; it appears whole or not at all.

    Raises
    ------
    ErgodualError
        If the name has another ending, or the file cannot be written.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ErgodualError(f"{path} does not end in .wav or .flac; give it a name that does.")
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        soundfile.write(temporary, samples, rate, subtype=subtype, format=path.suffix[1:].upper())
        os.replace(temporary, path)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.error_string
        raise ErgodualError(
            f"{path} cannot be written ({reason}); check the folder and the disk."
        ) from error
    finally:
        # what was just said is not to be covered by an error about the temporary file
        with contextlib.suppress(OSError):
            temporary.unlink()


def _inspect(file: BinaryIO, size: int) -> tuple[int, bytes | None]:
    """What libsndfile would pass over in silence: a WAV file that has less, or more, than its data
    chunk promises.

    Returns
    -------
    How many bytes are missing; and the whole file with its lengths filled in, where it has samples
    but a length of 0.
    """
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RIFX") or head[8:] != b"WAVE":
        return 0, None
    order: Literal["little", "big"] = "little" if head[:4] == b"RIFF" else "big"
    whole, at = int.from_bytes(head[4:8], order), 12
    while len(head := file.read(8)) == 8:
        length, at = int.from_bytes(head[4:], order), at + 8
        if head[:4] == b"data":
            if length >= NO_LENGTH:
                return 0, None
            # an empty file, too, has length 0, but if other chunks follow then the RIFF length
            # includes them
            if length == 0 and size > at and not at - 8 < whole < NO_LENGTH:
                return 0, _mend(file, at, size, order)
            return max(0, at + length - size), None
        at += length + length % 2
        file.seek(at)
    return 0, None


def _mend(file: BinaryIO, at: int, size: int, order: Literal["little", "big"]) -> bytes:
    file.seek(0)
    content = bytearray(file.read())
    content[4:8] = (size - 8).to_bytes(4, order)
    content[at - 4 : at] = (size - at).to_bytes(4, order)
    return bytes(content)
