"""From file to file, in bounded memory: restoring quantized recordings, quantizing good ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ergodual.errors import ErgodualError
from ergodual.speech.audio import Audio, open_audio
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.dither import Dithers
from ergodual.speech.formats import LARGEST, Raw, container_of
from ergodual.speech.found import Found, said_of_each
from ergodual.speech.quantizers import Kind, Levels
from ergodual.speech.splice import side_by_side
from ergodual.speech.survey import BLOCK, surveyed
from ergodual.speech.tags import copy_tags
from ergodual.speech.writing import Subtype, Write, copying, written

SUBDIVIDED = 64
"""A step that has fewer steps of a format of 24 bits in it needs floating point."""

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Done:
    """What became of a recording.

    Attributes
    ----------
    channels
        What was found out about the quantizer of each.
    clipped
        How many samples left [-1, 1] and were cut off, since the format holds no others.
    rate
        Of the recording, in Hz.
    subtype
        The format of the samples that were written.
    notes
        Sentences about what was wrong with the file and could be mended.
    dropped
        What else the file holds (a title, cue points) and the result does not keep.
    """

    channels: tuple[Found, ...]
    clipped: int
    rate: int
    subtype: Subtype
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def copied(self) -> bool:
        """Whether no channel is coarsely quantized."""
        return all(found.quantizer is None for found in self.channels)

    @property
    def said(self) -> str:
        """What was found out, as a sentence, of each channel where they differ."""
        return said_of_each(self.channels)


def dequantize_file(
    source: Path,
    target: Path,
    dequantizer: Dequantizer,
    bits: int | None = None,
    kind: Kind | None = None,
    subtype: Subtype | None = None,
    advance: Advance = lambda samples: None,
    dither: Dithers | None = None,
    raw: Raw | None = None,
) -> Done:
    """Restore a recording; one that is not coarsely quantized is copied as it is.

    Parameters
    ----------
    source, target
        Audio files, the target's kind by its ending; the source may be - for standard input.
    dequantizer
        The models.
    bits, kind
        The quantizer, where it is known; worked out from the samples if both are None.
    subtype
        The format of the samples to be written; None for floating point where the source has it,
        or a step of almost its own, and the target can, else 24 bits.
    advance
        Called with a number of samples that are done.
    dither
        The noise that was added before quantizing; worked out from the samples if None.
    raw
        What the samples of a source without a header are.

    Returns
    -------
    What was found out, and what was lost.

    Raises
    ------
    ErgodualError
        If the source is not whole, finite audio or the target itself, its samples contradict what
        was said of the quantizer, or the target cannot be written.
    """
    _check_target(source, target, subtype)
    with open_audio(source, raw) as audio:
        channels = tuple(
            dequantizer.helped(found, audio.rate) for found in surveyed(audio, bits, kind, dither)
        )
        subtype = subtype or _like(audio, target, channels)
        if all(found.quantizer is None for found in channels):
            clipped, dropped = _copy(source, target, audio, subtype)
            advance(audio.frames)
            return Done(channels, clipped, audio.rate, subtype, tuple(audio.notes), tuple(dropped))
        streams = [dequantizer.stream_of(found) for found in channels]
        with writing(target, audio, subtype) as (write, dropped):
            clipped = 0
            for restored in side_by_side(streams, audio.blocks(BLOCK)):
                clipped += write(restored)
                advance(len(restored))
    return Done(channels, clipped, audio.rate, subtype, tuple(audio.notes), tuple(dropped))


def quantize_file(
    source: Path,
    target: Path,
    quantizer: Levels,
    normalize: bool = False,
    dither: float = 0.0,
    seed: int = 0,
    raw: Raw | None = None,
) -> None:
    """Quantize a recording, to make test material.

    Parameters
    ----------
    source, target
        Audio files, the target's kind by its ending; it has 24 bits, which hold every level.
    quantizer
        What it goes through.
    normalize
        Whether it is divided by its peak first.
    dither
        Width, in steps, of the triangular noise that is added first; 0 for none, 2 for the usual
        one.
    seed
        Of the noise.
    raw
        What the samples of a source without a header are.
    """
    import torch

    _check_target(source, target, "PCM_24")
    noise = np.random.default_rng(seed)
    with open_audio(source, raw) as audio, writing(target, audio, "PCM_24") as (write, _):
        peak = 1.0
        if normalize:
            peak = max(float(np.abs(block).max()) for block in audio.blocks(BLOCK)) or 1.0
            audio.rewind()
        for block in audio.blocks(BLOCK):
            x = block.astype(np.float64) / peak
            if dither:
                x += dither * quantizer.step / 2 * (noise.random(x.shape) - noise.random(x.shape))
            write(quantizer.quantize(torch.from_numpy(x)).numpy())


@contextlib.contextmanager
def writing(path: Path, like: Audio, subtype: Subtype) -> Iterator[tuple[Write, list[str]]]:
    """Writes blocks of samples to a file with the rate, channels and tags of another; and the tags
    that it does not keep.

    Raises
    ------
    ErgodualError
        If the file cannot be written.
    """
    container = container_of(path)
    if container == "WAV" and (
        like.container == "RF64" or like.frames * like.channels * 4 > LARGEST
    ):
        container = "RF64"
    endian = like.endian if container == "RAW" else None
    with written(path, like.rate, like.channels, subtype, container, endian) as (file, write):
        yield write, copy_tags(like.file, file)


def _like(audio: Audio, target: Path, channels: tuple[Found, ...]) -> Subtype:
    """A format that holds what that of the recording held, and what is estimated between its
    levels.
    """
    steps = [found.quantizer.step for found in channels if found.quantizer is not None]
    fine = audio.subtype in ("FLOAT", "DOUBLE") or min(steps, default=1.0) < SUBDIVIDED * 2.0**-23
    return "FLOAT" if fine and _holds_floats(target) else "PCM_24"


def _holds_floats(target: Path) -> bool:
    return bool(soundfile.check_format(container_of(target), "FLOAT"))


def _check_target(source: Path, target: Path, subtype: Subtype | None) -> None:
    container_of(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise ErgodualError(f"{target} is the recording itself; give another name for the result.")
    if target.is_dir():
        raise ErgodualError(f"{target} is a folder; give another name for the result.")
    if subtype == "FLOAT" and not _holds_floats(target):
        raise ErgodualError(
            f"{target} would be a {container_of(target)} file of floating-point samples, which "
            "does not exist; give another --subtype."
        )
    if not target.parent.is_dir():
        raise ErgodualError(f"{target.parent} is not a folder; make it first, or write elsewhere.")


def _copy(source: Path, target: Path, audio: Audio, subtype: Subtype) -> tuple[int, list[str]]:
    """Byte for byte where the kind of file is the same, else sample for sample; how many of them
    were cut off, and what else is not kept.
    """
    if source.suffix.lower() == target.suffix.lower() or audio.container == container_of(target):
        with copying(target) as file:
            audio.copy_to(file)
        return 0, []
    with writing(target, audio, subtype) as (write, dropped):
        return sum(write(block.astype(np.float64)) for block in audio.blocks(BLOCK)), dropped
