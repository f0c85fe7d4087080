"""Folders of recordings as tensors of frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from ergodual.bilevel.checkpoint import digest
from ergodual.bilevel.data import InMemory, Pair
from ergodual.errors import ErgodualError
from ergodual.speech.audio import UNKNOWN_FRAMES, Audio, open_audio
from ergodual.speech.formats import ENDINGS
from ergodual.speech.frames import frame, normalize
from ergodual.speech.shifted import Shifted

BYTES = 4
"""Of a sample, in float32."""


@dataclass(frozen=True)
class Corpus:
    """The frames of a corpus, in memory.

    Attributes
    ----------
    frames
        ``(count, n)``, float32, each file over its own peak.
    rate
        Sampling rate in Hz.
    ends
        For each recording, the number of frames up to its end.
    notes
        Sentences about files that were skipped or mixed down.
    """

    frames: Tensor
    rate: int
    ends: list[int]
    notes: list[str]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def files(self) -> int:
        """How many recordings the frames come from."""
        return len(self.ends)

    @property
    def recordings(self) -> list[Tensor]:
        """Each one's frames one after the other, ``(length,)``: all of it but what is left behind
        the last whole frame.
        """
        return [x.flatten() for x in torch.tensor_split(self.frames, self.ends[:-1])]

    @property
    def digest(self) -> int:
        """A checksum of the recordings."""
        return digest([self.frames, torch.tensor(self.ends)])

    def data(self, pair: Callable[[Tensor], Pair]) -> InMemory:
        """For learning; ``pair`` makes (x̃, x†) from x†."""
        return InMemory(self.frames, pair=pair)

    def shifted(self, pair: Callable[[Tensor], Pair], bias: float = 0.0) -> Shifted:
        """The same from frames that are cut at another place in each epoch, some of them with a
        bias.
        """
        return Shifted(self.frames, self.ends, pair, bias)


def synthetic_speech() -> Path:
    """The folder of synthetic speech (made with espeak-ng) that comes with the package."""
    return Path(str(resources.files("ergodual") / "data" / "synthetic"))


def find_audio(folder: Path) -> list[Path]:
    """All WAV, FLAC, AIFF, AU, CAF, W64 and RF64 files below a folder, sorted by name.

    Raises
    ------
    ErgodualError
        If the folder is missing or has no such file, or one below it cannot be read.
    """
    files, unreadable = walk(folder)
    if unreadable:
        raise ErgodualError(" ".join(unreadable))
    files = [file for file in files if file.suffix.lower() != ".raw" and file.is_file()]
    _require(files, folder)
    return files


def walk(folder: Path, without: Path | None = None) -> tuple[list[Path], list[str]]:
    """What has the name of an audio file below a folder, but not below another one, sorted; and
    sentences about folders that cannot be read.

    Raises
    ------
    ErgodualError
        If the folder is missing, or there is neither of them.
    """
    if not folder.is_dir():
        raise ErgodualError(f"{folder} is not a folder; give a folder of WAV or FLAC files.")
    refused: list[OSError] = []
    files = []
    for place, folders, names in os.walk(folder, onerror=refused.append):
        if without is not None:
            folders[:] = [name for name in folders if not _same(Path(place, name), without)]
        files += [
            Path(place, name)
            for name in names
            if Path(name).suffix.lower() in ENDINGS and name[0] != "."
        ]
    unreadable = [
        f"{error.filename} cannot be read ({error.strerror}); check the permissions."
        for error in refused
    ]
    if not unreadable:
        _require(files, folder)
    return sorted(files), unreadable


def _require(files: list[Path], folder: Path) -> None:
    if not files:
        raise ErgodualError(
            f"{folder} has no WAV or FLAC file, not in its subfolders either; give a folder that "
            "has some."
        )


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def bytes_of(files: Sequence[Path]) -> int:
    """The memory that the samples of these files take, going by their headers; bad files, which are
    refused later, count 0.
    """
    total = 0
    for file in files:
        try:
            frames = soundfile.info(os.fsencode(file)).frames
        except (soundfile.LibsndfileError, RuntimeError):
            continue
        total += frames * BYTES if frames != UNKNOWN_FRAMES else 0
    return total


def load_corpus(source: Path | Sequence[Path], frame_length: int = 320) -> Corpus:
    """Read all recordings below a folder (or those given), each over its own peak, cut into frames.

    Stereo is averaged to mono; silent files and those shorter than a frame are skipped; both are
    noted.

    Raises
    ------
    ErgodualError
        If a file is not whole, finite audio, if the sampling rates differ, or if no frame is left.
    """
    gathering = Gathering(find_audio(source) if isinstance(source, Path) else source, frame_length)
    frames = []
    for file, audio in gathering:
        samples = np.concatenate(list(audio.mono_blocks()))
        if gathering.takes(file, len(samples), bool(samples.any())):
            frames.append(frame(normalize(samples), frame_length))
    gathering.require(len(frames))
    ends = np.cumsum([len(some) for some in frames]).tolist()
    return Corpus(torch.from_numpy(np.concatenate(frames)), gathering.rate, ends, gathering.notes)


class Gathering:
    """Opens one recording after the other and keeps account of what is taken.

    Attributes
    ----------
    rate
        The sampling rate that all have.
    notes
        Sentences about files that were skipped or mixed down.
    """

    def __init__(self, files: Sequence[Path], frame_length: int) -> None:
        self._files, self._n = files, frame_length
        self.rate = 0
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[tuple[Path, Audio]]:
        for file in self._files:
            with open_audio(file) as audio:
                self.rate = self.rate or audio.rate
                if audio.rate != self.rate:
                    raise ErgodualError(
                        f"{file} is sampled at {audio.rate} Hz and {self._files[0]} at {self.rate} "
                        "Hz; a corpus must have one rate: resample one of them."
                    )
                self.notes += [f"{note}; it was read." for note in audio.notes]
                if audio.channels > 1:
                    self.notes.append(
                        f"{file} has {audio.channels} channels; their average was taken."
                    )
                yield file, audio

    def takes(self, file: Path, samples: int, sounds: bool) -> bool:
        """Whether a recording of so many samples, silent or not, has a frame to learn from."""
        if not sounds:
            self.notes.append(f"{file} is silent; it was skipped.")
        elif samples < self._n:
            self.notes.append(
                f"{file} has {samples} samples, fewer than one frame of {self._n}; it was skipped."
            )
        return sounds and samples >= self._n

    def require(self, taken: int) -> None:
        """Raise :class:`ErgodualError` unless a recording was taken."""
        if not taken:
            raise ErgodualError(
                f"{self._files[0].parent} has no frame to learn from: all {len(self._files)} files "
                f"are silent or shorter than {self._n} samples; give longer recordings."
            )
