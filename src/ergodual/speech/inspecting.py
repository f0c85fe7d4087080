"""What a recording is: its format, its quantizer, and what is to be gained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ergodual.speech.audio import open_audio
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.dither import Dithers
from ergodual.speech.formats import Raw
from ergodual.speech.found import Found, bits_of
from ergodual.speech.gains import Gain, word_length
from ergodual.speech.quantizers import Kind
from ergodual.speech.resolution import RESOLUTION
from ergodual.speech.survey import BLOCK, surveyed

FINEST = 2.0**-23
"""What is read is exact to so much."""


@dataclass(frozen=True)
class Part:
    """A channel, or a stretch of one that changes along the recording.

    Attributes
    ----------
    channel
        From 1 on.
    start, stop
        Its samples.
    found
        What was found out about it.
    bits
        The word length that its values use; None where they are floating-point numbers.
    on_lattice
        The share of samples of which a cell is known and not the value.
    clipped
        The share that was cut off at an end, and lay beyond.
    gain
        What is to be expected, if anything like it was measured.
    """

    channel: int
    start: int
    stop: int
    found: Found
    bits: int | None
    on_lattice: float
    clipped: float
    gain: Gain | None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        found, quantizer, gain = self.found, self.found.quantizer, self.gain
        levels = None if quantizer is None else quantizer.levels
        return {
            "channel": self.channel,
            "start": self.start,
            "stop": self.stop,
            "said": found.said,
            "bits": self.bits,
            "quantizer": None if quantizer is None else quantizer.name.split(",")[0],
            "step": None if quantizer is None else quantizer.step,
            "level_nearest_0": None if levels is None else float(levels[levels.abs().argmin()]),
            "dither": None if quantizer is None else found.dither,
            "offset": None if quantizer is None else found.centre,
            "change_made": 0.0 if quantizer is None else found.share,
            "on_lattice": self.on_lattice,
            "clipped": self.clipped,
            "expected_gain_db": None
            if gain is None
            else {"mean": gain.mean, "least": gain.least, "recordings": gain.files},
        }


@dataclass(frozen=True)
class Inspection:
    """What a recording is.

    Attributes
    ----------
    name
        Of the file.
    container, subtype
        The formats of the file and of its samples, as libsndfile names them.
    rate, channels, frames
        Its sampling rate in Hz, how many channels it has, and samples of each.
    parts
        Its channels, or their stretches.
    notes
        Sentences about what is wrong with the file and could be mended.
    """

    name: str
    container: str
    subtype: str
    rate: int
    channels: int
    frames: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        parts = [part.as_dict() for part in self.parts]
        return {**vars(self), "parts": parts, "notes": list(self.notes)}


def inspect_file(
    source: Path,
    dequantizer: Dequantizer,
    bits: int | None = None,
    kind: Kind | None = None,
    dither: Dithers | None = None,
    raw: Raw | None = None,
) -> Inspection:
    """Look at a recording as dequantizing does, and write nothing.

    Parameters
    ----------
    source
        An audio file, or - for standard input.
    dequantizer
        The models that it would be restored with.
    bits, kind, dither
        What is known of the quantizer; worked out from the samples if None.
    raw
        What the samples of a source without a header are.

    Raises
    ------
    ErgodualError
        If the source is not whole, finite audio, or its samples contradict what was said.
    """
    with open_audio(source, raw) as audio:
        whole = audio.subtype in RESOLUTION
        channels = [
            _Channel(dequantizer.helped(found, audio.rate), whole)
            for found in surveyed(audio, bits, kind, dither)
        ]
        for block in audio.blocks(BLOCK):
            for channel, samples in zip(channels, block.T, strict=True):
                channel.add(samples)
        return Inspection(
            audio.name,
            audio.container,
            audio.subtype,
            audio.rate,
            audio.channels,
            channels[0].frames,
            tuple(
                part
                for number, channel in enumerate(channels, 1)
                for part in channel.parts(number, dequantizer, audio.rate)
            ),
            tuple(audio.notes),
        )


class _Channel:
    """What is counted of a channel of which this was found out."""

    def __init__(self, found: Found, whole: bool) -> None:
        self._stretches = found.stretches or ((0, found),)
        self._on = [0] * len(self._stretches)
        self._whole, self._used, self._peak = whole, 0, 0.0
        self.frames = 0

    def add(self, block: NDArray[np.float32]) -> None:
        samples = block.astype(np.float64)
        # floating-point samples may be larger than any whole number
        whole = np.rint(np.abs(samples) / FINEST).clip(max=2.0**62).astype(np.int64)
        used = np.bitwise_or.reduce(whole)
        self._used, self._peak = self._used | int(used), max(self._peak, float(np.abs(block).max()))
        for at, (start, stop, found) in enumerate(self._bounded(self.frames + len(block))):
            piece = samples[max(0, start - self.frames) : max(0, stop - self.frames)]
            if found.quantizer is not None and len(piece):
                _, lower, upper = found.cells.intervals(torch.from_numpy(piece))
                self._on[at] += int((lower < upper).sum())
        self.frames += len(block)

    def parts(self, number: int, dequantizer: Dequantizer, rate: int) -> Iterator[Part]:
        for on, (start, stop, found) in zip(self._on, self._bounded(self.frames), strict=True):
            length = stop - start
            bits = self._bits() if found.quantizer is None else word_length(found)
            gain = dequantizer.gains.expected(found, rate)
            yield Part(number, start, stop, found, bits, on / length, found.cut_off / length, gain)

    def _bounded(self, end: int) -> Iterator[tuple[int, int, Found]]:
        stops = [start for start, _ in self._stretches[1:]] + [end]
        return (
            (start, stop, found)
            for (start, found), stop in zip(self._stretches, stops, strict=True)
        )

    def _bits(self) -> int | None:
        """From the lowest bit that is ever set to the highest."""
        if not (self._whole and self._used):
            return None
        return bits_of(FINEST * (self._used & -self._used), np.asarray([self._peak]))
