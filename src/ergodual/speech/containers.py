"""How many bytes of samples a file promises, and where it says so.

libsndfile reads what is there and says nothing of the rest; and some programs write files into
pipes, whose lengths they could not know when they wrote the header.
"""

from __future__ import annotations

import os
from typing import BinaryIO, Literal, NamedTuple

Order = Literal["little", "big"]

NO_LENGTH = 0x7FFF0000
"""Programs that write into a pipe call a length of 32 bits 0 or some number from here on (SoX,
ffmpeg: almost 2 and 4 GiB).
"""
RIFF_64 = bytes.fromhex("2e91cf11a5d628db04c10000")  # what follows "riff" in W64
MANY_CHUNKS = 10_000


class Field(NamedTuple):
    """Where a header says how many bytes there are, counted from ``base`` on."""

    at: int
    width: int
    order: Order
    base: int

    def read(self, file: BinaryIO) -> int:
        """What it says."""
        file.seek(self.at)
        return int.from_bytes(file.read(self.width), self.order)

    def mended(self, size: int) -> tuple[int, bytes]:
        """What it should say in a file of this size, and where."""
        value = min(max(0, size - self.base), 256**self.width - 1)
        return self.at, value.to_bytes(self.width, self.order)


class Extent(NamedTuple):
    """The samples of a file.

    Attributes
    ----------
    start
        Where they begin.
    promised
        Bytes, or None where the header does not know.
    fields
        Where it says so.
    """

    start: int
    promised: int | None
    fields: tuple[Field, ...]

    def missing(self, size: int) -> int:
        """How many bytes fewer a file of this size has."""
        return 0 if self.promised is None else max(0, self.start + self.promised - size)


def extent(file: BinaryIO) -> Extent | None:
    """The samples of a WAV, RF64, BW64, AIFF, AU, CAF or W64 file; None of any other, and where
    there are none.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE":
        order: Order = "little" if head[:4] == b"RIFF" else "big"
        whole = Field(4, 4, order, 8)
        return _in_chunks(file, size, 12, order, b"data", (whole,))
    if head[:4] in (b"RF64", b"BW64") and head[8:16] == b"WAVEds64":
        return _rf64(file, size)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _in_chunks(file, size, 12, "big", b"SSND", (Field(4, 4, "big", 8),))
    if head[:4] == b"caff":
        return _caf(file, size)
    if head == b"riff" + RIFF_64:
        return _w64(file, size)
    if head[:4] in (b".snd", b"dns."):
        order = "big" if head[:4] == b".snd" else "little"
        start = int.from_bytes(head[4:8], order)
        return _extent(file, size, start, Field(8, 4, order, start), ())
    return None


def _extent(
    file: BinaryIO, size: int, start: int, length: Field, others: tuple[Field, ...]
) -> Extent:
    value = length.read(file)
    unknown = value >= NO_LENGTH if length.width == 4 else value >= 2**62
    # an empty file, too, has length 0, but if other chunks follow then the whole length includes
    # them
    if value == 0 and size > start:
        limit = NO_LENGTH if length.width == 4 else 2**62
        unknown = not others or not start - 8 < others[0].read(file) + others[0].base - 8 < limit
    return Extent(start, None if unknown else length.base + value - start, (length, *others))


def _in_chunks(
    file: BinaryIO, size: int, at: int, order: Order, name: bytes, whole: tuple[Field, ...]
) -> Extent | None:
    for _ in range(MANY_CHUNKS):
        file.seek(min(at, size))
        head = file.read(8)
        if len(head) < 8:
            return None
        if head[:4] == name:
            start = at + (16 if name == b"SSND" else 8)
            return _extent(file, size, start, Field(at + 4, 4, order, at + 8), whole)
        length = int.from_bytes(head[4:], order)
        at += 8 + length + length % 2
    return None


def _rf64(file: BinaryIO, size: int) -> Extent | None:
    """The lengths of 64 bits stand in a chunk of their own, the first."""
    found = _in_chunks(file, size, 12, "little", b"data", ())
    if found is None:
        return None
    if found.promised is not None and found.promised > 0:
        return found
    whole = Field(20, 8, "little", 8)
    return _extent(file, size, found.start, Field(28, 8, "little", found.start), (whole,))


def _caf(file: BinaryIO, size: int) -> Extent | None:
    at = 8
    for _ in range(MANY_CHUNKS):
        file.seek(min(at, size))
        head = file.read(12)
        if len(head) < 12:
            return None
        length = Field(at + 4, 8, "big", at + 12)
        if head[:4] == b"data":
            return _extent(file, size, at + 16, length, ())
        at += 12 + length.read(file)
    return None


def _w64(file: BinaryIO, size: int) -> Extent | None:
    """Names have 16 bytes, lengths include name and length, and chunks begin at multiples of 8."""
    at = 40
    for _ in range(MANY_CHUNKS):
        file.seek(min(at, size))
        head = file.read(24)
        if len(head) < 24:
            return None
        length = Field(at + 16, 8, "little", at)
        if head[:4] == b"data":
            return _extent(file, size, at + 24, length, (Field(16, 8, "little", 0),))
        step = length.read(file)
        if step < 24:
            return None
        at += step + -step % 8
    return None
