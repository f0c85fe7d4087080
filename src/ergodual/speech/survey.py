"""What is known of a whole recording's samples: of each channel, in a few passes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ergodual.speech.benefit import unhelped
from ergodual.speech.dither import Dither, Dithers
from ergodual.speech.found import Found, offset_of
from ergodual.speech.quantizers import Kind
from ergodual.speech.recognise import recognise
from ergodual.speech.rounding import Rounding
from ergodual.speech.stretches import Channel, by_stretch
from ergodual.speech.tally import Tally

if TYPE_CHECKING:
    from ergodual.speech.audio import Audio

BLOCK = 1 << 16
"""Samples of each channel that are read at once."""
Blocks = Callable[[], Iterable[NDArray[np.floating]]]
"""The samples from the first to the last, ``(some, channels)``, each time that it is called."""
OFF = 0.1
"""Of samples off the lattice, so large a share may be on another one."""
WHY = {
    "floor": "assumed to be cut down, not rounded, since the mean is half a step below 0",
    "truncate": "assumed to be cut towards 0, not rounded, since 0 is twice as frequent",
    "rpdf": "assumed to have a dither as wide as a step, by its noise",
    "tpdf": "assumed to have a triangular dither, by its noise",
}


def survey(
    blocks: Blocks,
    names: list[str],
    subtype: str,
    bits: int | None = None,
    kind: Kind | None = None,
    dither: Dithers | None = None,
) -> tuple[Found, ...]:
    """What is found out about each channel by itself.

    Parameters
    ----------
    blocks
        Gives the samples.
    names
        Of the channels, for messages.
    subtype
        The format of the samples, as libsndfile names it.
    bits, kind
        What was said of the quantizer; see :func:`recognise`.
    dither
        What was said of the noise that was added before; None to work it out.

    Raises
    ------
    ErgodualError
        If the samples contradict what was said.
    """
    tallies = [Tally() for _ in names]
    for block in blocks():
        for tally, channel in zip(tallies, block.T, strict=True):
            tally.add(channel)
    found = [
        recognise(name, tally, subtype, bits, kind)
        for name, tally in zip(names, tallies, strict=True)
    ]
    if bits is None and kind is None:
        found = [
            _questioned(one, tally, functools.partial(_channel, blocks, at), subtype)
            for at, (one, tally) in enumerate(zip(found, tallies, strict=True))
        ]
    counted = {at: _Counted(one) for at, one in enumerate(found) if _uniform(one)}
    if counted:
        for block in blocks():
            for at, counts in counted.items():
                counts.add(block[:, at])
    for at, counts in counted.items():
        found[at] = counts.told(found[at], kind, dither)
    return tuple(found)


def surveyed(
    audio: Audio, bits: int | None = None, kind: Kind | None = None, dither: Dithers | None = None
) -> tuple[Found, ...]:
    """The same for an open recording, which is then at its beginning again."""

    def blocks() -> Iterator[NDArray[np.float32]]:
        yield from audio.blocks(BLOCK)
        audio.rewind()

    names = [
        audio.name if audio.channels == 1 else f"{audio.name}, channel {number},"
        for number in range(1, audio.channels + 1)
    ]
    return survey(blocks, names, audio.subtype, bits, kind, dither)


def _questioned(one: Found, tally: Tally, channel: Channel, subtype: str) -> Found:
    """The same, or what its stretches show, or that no model is known to help."""
    if _uniform(one) or _off(one, tally):
        one = by_stretch(channel, tally, subtype, one)
    why = None if one.stretches else unhelped(one, tally)
    return one if why is None else Found(None, f"{one.said}; {why}")


def _channel(blocks: Blocks, at: int) -> Iterator[NDArray[np.floating]]:
    return (block[:, at] for block in blocks())


def _off(found: Found, tally: Tally) -> bool:
    """Whether so many samples are off what was found that it may change along the recording."""
    return len(tally.values) >= 2 and (found.quantizer is None or found.off > OFF * tally.total)


def _uniform(found: Found) -> bool:
    return not found.stretches and found.quantizer is not None and not found.quantizer.companded


class _Counted:
    """What is counted of a channel whose lattice is known."""

    def __init__(self, found: Found) -> None:
        assert found.quantizer is not None
        levels = found.quantizer.levels
        self.step = found.quantizer.step
        self.rounding = Rounding(self.step, float(levels[levels.abs().argmin()]))
        self.dither = Dither(self.step)

    def add(self, block: NDArray[np.floating]) -> None:
        self.rounding.add(block)
        self.dither.add(block)

    def told(self, found: Found, kind: Kind | None, dither: Dithers | None) -> Found:
        """The same, with what the counts say unless it was said."""
        said = self.dither.kind(found.bits or 8) if dither is None else dither
        if said != "none":
            found = found.dithered(said, WHY[said] if dither is None else "")
        mean = self.rounding.mean
        asked = kind is None and found.kind == "mid-tread"
        cut = self.rounding.kind(found.bits or 8) if asked else "mid-tread"
        if cut != "mid-tread":
            why = f"{WHY[cut]} (--quantizer mid-tread takes it as rounded)"
            found = found.cut(cut, why)
        if cut == "floor" or kind == "floor":
            mean += self.step / 2
        return replace(found, centre=offset_of(mean, self.step))
