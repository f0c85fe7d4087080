"""Ways to spoil the bytes of a file, drawn by a seeded generator."""

from __future__ import annotations

from random import Random

HEAD = 120
"""Bytes in which most headers lie; half of all changes are made there."""
NUMBERS = (b"\x00" * 4, b"\xff" * 4, b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff")
"""What wrong lengths often are."""


def spoilt(content: bytes, other: bytes, draw: Random) -> bytes:
    """The bytes with one to three changes; ``other`` lends some."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice(WAYS)(content, other, draw)
    return content


def _place(content: bytes, draw: Random) -> int:
    within = min(HEAD, len(content)) if draw.random() < 0.5 else len(content)
    return draw.randrange(within + 1)


def _flip(content: bytes, _other: bytes, draw: Random) -> bytes:
    """Some bytes, each to any other."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        at = _place(content, draw)
        changed[at : at + 1] = bytes([draw.randrange(256)])
    return bytes(changed)


def _number(content: bytes, _other: bytes, draw: Random) -> bytes:
    """A length, perhaps."""
    at = _place(content, draw) // 4 * 4
    return content[:at] + draw.choice(NUMBERS) + content[at + 4 :]


def _cut(content: bytes, _other: bytes, draw: Random) -> bytes:
    """The end."""
    return content[: _place(content, draw)]


def _cut_out(content: bytes, _other: bytes, draw: Random) -> bytes:
    """A stretch in the middle."""
    start, stop = sorted((_place(content, draw), _place(content, draw)))
    return content[:start] + content[stop:]


def _swap(content: bytes, _other: bytes, draw: Random) -> bytes:
    """Two neighbouring stretches."""
    a, b, c = sorted(_place(content, draw) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _splice(content: bytes, other: bytes, draw: Random) -> bytes:
    """The end of another file, behind the beginning of this one."""
    return content[: _place(content, draw)] + other[_place(other, draw) :]


def _double(content: bytes, _other: bytes, draw: Random) -> bytes:
    """A stretch twice."""
    start, stop = sorted((_place(content, draw), _place(content, draw)))
    return content[:stop] + content[start:]


WAYS = (_flip, _flip, _flip, _number, _cut, _cut_out, _swap, _splice, _double)
