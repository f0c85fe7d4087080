"""Folders of recordings as tensors of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.speech.audio import ENDINGS, read_audio
from ergodual.speech.frames import frame, normalize


@dataclass(frozen=True)
class Corpus:
    """The frames of a corpus.

    Attributes
    ----------
    frames
        ``(count, n)``, float32, each file over its own peak.
    rate
        Sampling rate in Hz.
    files
        How many files the frames come from.
    notes
        Sentences about files that were skipped or mixed down.
    """

    frames: Tensor
    rate: int
    files: int
    notes: list[str]


def synthetic_speech() -> Path:
    """The folder of synthetic speech (made with espeak-ng) that comes with the package."""
    return Path(str(resources.files("ergodual") / "data" / "synthetic"))


def find_audio(folder: Path) -> list[Path]:
    """All WAV and FLAC files below a folder, sorted by name.

    Raises
    ------
    ErgodualError
        If the folder is missing or has no such file.
    """
    if not folder.is_dir():
        raise ErgodualError(f"{folder} is not a folder; give a folder of WAV or FLAC files.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file() and file.name[0] != ".")
    if not files:
        raise ErgodualError(f"{folder} has no WAV or FLAC file, not in its subfolders either; give a folder that has some.")
    return files


def load_corpus(source: Path | Sequence[Path], frame_length: int = 320) -> Corpus:
    """Read all recordings below a folder (or those given), each over its own peak, cut into frames.

    Stereo is averaged to mono; silent files and those shorter than a frame are skipped; both are noted.

    Raises
    ------
    ErgodualError
        If a file is not whole, finite audio, if the sampling rates differ, or if no frame is left.
    """
    files = find_audio(source) if isinstance(source, Path) else list(source)
    frames, notes, rate = [], [], 0
    for file in files:
        samples, its_rate, channels = read_audio(file)
        rate = rate or its_rate
        if its_rate != rate:
            raise ErgodualError(
                f"{file} is sampled at {its_rate} Hz and {files[0]} at {rate} Hz; a corpus must have one rate: resample one of them."
            )
        if channels > 1:
            notes.append(f"{file} has {channels} channels; their average was taken.")
        if not samples.any():
            notes.append(f"{file} is silent; it was skipped.")
        elif len(samples) < frame_length:
            notes.append(f"{file} has {len(samples)} samples, fewer than one frame of {frame_length}; it was skipped.")
        else:
            frames.append(frame(normalize(samples), frame_length))
    if not frames:
        raise ErgodualError(
            f"{source if isinstance(source, Path) else files[0].parent} has no frame to learn from: all {len(files)} files are silent "
            f"or shorter than {frame_length} samples; give longer recordings."
        )
    return Corpus(torch.from_numpy(np.concatenate(frames)), rate, len(frames), notes)
