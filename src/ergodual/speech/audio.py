"""Audio files, in and out."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from ergodual.errors import ErgodualError
from ergodual.speech.containers import Extent, extent
from ergodual.speech.formats import Raw
from ergodual.speech.writing import write_audio

__all__ = ["BLOCK", "UNKNOWN_FRAMES", "Audio", "open_audio", "read_audio", "write_audio"]

BLOCK = 1 << 20
"""Samples of each channel that are read at once: four megabytes a channel."""

UNKNOWN_FRAMES = 2**63 - 1
"""What libsndfile says of a FLAC file without a length; it cannot read one to its end."""
FEW_BYTES = 64
"""So many fewer than promised are taken for a program's wrong arithmetic, which may have counted
the header, more for a file that has lost its end.
"""
AT_ONCE = 1 << 22
"""Samples of all channels that are read at once, at most."""


class Audio:
    """An open recording; made by :func:`open_audio`.

    Attributes
    ----------
    name
        For sentences.
    rate
        Sampling rate in Hz.
    channels
        How many there are.
    frames
        Samples of each channel, as the file declares.
    container, subtype, endian
        The formats of the file and of its samples, and the order of their bytes, as libsndfile
        names them.
    notes
        Sentences about what is wrong with the file and was mended.
    """

    def __init__(
        self, name: str, content: BinaryIO, mended: BinaryIO, raw: Raw | None, notes: list[str]
    ) -> None:
        self.name, self.notes = name, notes
        self._content, self._mended, self._raw = content, mended, raw
        for file in (content, mended):  # forgets what was read ahead: libsndfile moves the
            file.seek(0, os.SEEK_END)  # descriptor, and closing would go back from there
        self._open()
        self.rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.frames: int = self.file.frames
        self.container: str = self.file.format
        self.subtype: str = self.file.subtype
        self.endian: str = raw.endian if raw else self.file.endian

    def _open(self) -> None:
        number = self._mended.fileno()
        os.lseek(number, 0, os.SEEK_SET)
        try:
            if self._raw is None:
                self.file = soundfile.SoundFile(number, closefd=False)
            else:
                self.file = soundfile.SoundFile(
                    number,
                    samplerate=self._raw.rate,
                    channels=self._raw.channels,
                    subtype=self._raw.subtype,
                    endian=self._raw.endian,
                    format="RAW",
                    closefd=False,
                )
        except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
            raise self._unreadable() from error
        if self.file.frames == UNKNOWN_FRAMES:
            self.file.close()
            raise ErgodualError(
                f"{self.name} does not declare its length, as FLAC files from a pipe do; write it "
                "again to a file."
            )

    def rewind(self) -> None:
        """Back to the first sample; by opening it again, since not every codec can seek."""
        self.file.close()
        self._open()

    def blocks(self, length: int = BLOCK) -> Iterator[NDArray[np.float32]]:
        """The samples in [−1, 1] from the first to the last, ``(up to length, channels)``.

        Raises
        ------
        ErgodualError
            If the file is damaged, truncated or empty, or has samples that are not finite.
        """
        length = max(1, min(length, AT_ONCE // self.channels))
        declared, found = self.frames, 0
        while True:
            try:
                block = self.file.read(length, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
                raise self._unreadable() from error
            found += len(block)
            if len(block) < length and found < declared:
                raise ErgodualError(
                    f"{self.name} is truncated: it has {found} of {declared} samples; replace or "
                    "remove it."
                )
            if not found:
                raise ErgodualError(
                    f"{self.name} is empty: it has no samples; replace or remove it."
                )
            if not np.isfinite(block).all():
                raise ErgodualError(
                    f"{self.name} has samples that are NaN or infinite; replace or remove it."
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

    def copy_to(self, file: BinaryIO) -> None:
        """The whole file, byte for byte."""
        number = self._content.fileno()  # which libsndfile may have moved
        os.lseek(number, 0, os.SEEK_SET)
        while chunk := os.read(number, BLOCK):
            file.write(chunk)

    def _unreadable(self) -> ErgodualError:
        return ErgodualError(
            f"{self.name} is not a readable WAV or FLAC file, nor AIFF, AU, CAF, W64 or RF64, or "
            "is truncated; replace or remove it."
        )


@contextlib.contextmanager
def open_audio(path: Path, raw: Raw | None = None) -> Iterator[Audio]:
    """A recording to be read block by block.

    Parameters
    ----------
    path
        A WAV, FLAC, AIFF, AU, CAF, W64, RF64 or BW64 file, or - for standard input. What comes from
        a pipe goes through a temporary file.
    raw
        What the samples of a file without a header are.

    Raises
    ------
    ErgodualError
        If the file cannot be read, is not audio or is truncated.
    """
    name = "standard input" if str(path) == "-" else str(path)
    if raw is None and path.suffix.lower() == ".raw":
        raise ErgodualError(
            f"{name} has no header that says what its samples are; give --raw "
            "RATE,CHANNELS,ENCODING."
        )
    with contextlib.ExitStack() as opened:
        try:
            content: BinaryIO = (
                opened.enter_context(os.fdopen(os.dup(sys.stdin.fileno()), "rb"))
                if str(path) == "-"
                else opened.enter_context(path.open("rb"))
            )
            if not content.seekable():
                content = opened.enter_context(_copy(content))
            size = content.seek(0, os.SEEK_END)
            found = None if raw is not None else extent(content)
            missing = 0 if found is None else found.missing(size)
            mended = content
            if missing <= FEW_BYTES and (bw64(content) or (found and _is_wrong(found, size))):
                mended = opened.enter_context(_mended(content, found, size))
        except OSError as error:
            raise ErgodualError(
                f"{name} cannot be read ({error.strerror or error}); check the name and the "
                "permissions."
            ) from error
        if missing > FEW_BYTES:
            raise ErgodualError(
                f"{name} is truncated: {missing} bytes of its samples are missing; replace or "
                "remove it."
            )
        notes = [f"{name} is {missing} bytes shorter than its header says"] if missing else []
        audio = Audio(name, content, mended, raw, notes)
        try:
            yield audio
        finally:
            audio.file.close()


def read_audio(path: Path) -> tuple[NDArray[np.float32], int, int]:
    """The samples of a recording in [−1, 1], averaged over its channels; its rate; the number of
    its channels.

    Raises
    ------
    ErgodualError
        If the file cannot be read, is not audio, is truncated, empty, or has samples that are not
        finite.
    """
    with open_audio(path) as audio:
        return np.concatenate(list(audio.mono_blocks())), audio.rate, audio.channels


def bw64(file: BinaryIO) -> bool:
    """Whether it is RF64 under its newer name, which libsndfile does not know."""
    file.seek(0)
    return file.read(4) == b"BW64"


def _is_wrong(found: Extent, size: int) -> bool:
    return found.promised is None or found.missing(size) > 0


def _copy(content: BinaryIO) -> BinaryIO:
    copy: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    try:
        shutil.copyfileobj(content, copy, 1 << 20)
    except OSError as error:
        copy.close()
        raise OSError(error.errno, f"{error.strerror}, in {tempfile.gettempdir()}") from error
    copy.flush()
    return copy


def _mended(content: BinaryIO, found: Extent | None, size: int) -> BinaryIO:
    """A copy of a file whose header says how long it is, under a name that libsndfile knows."""
    content.seek(0)
    copy = _copy(content)
    for at, value in [field.mended(size) for field in found.fields] if found else []:
        copy.seek(at)
        copy.write(value)
    if bw64(copy):
        copy.seek(0)
        copy.write(b"RF64")
    copy.flush()
    return copy
