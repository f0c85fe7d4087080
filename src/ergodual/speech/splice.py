"""Restoring what has several stretches, and several channels side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Restoring(Protocol):
    """What restores one channel, block by block."""

    def push(self, block: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Take samples, give those that are final by now."""

    def finish(self) -> NDArray[np.float64]:
        """The rest."""


class AsItIs:
    """Samples that are known."""

    def push(self, block: NDArray[np.float64], /) -> NDArray[np.float64]:
        """The same."""
        return np.asarray(block, dtype=np.float64)

    def finish(self) -> NDArray[np.float64]:
        """Nothing."""
        return np.empty(0)


class Spliced:
    """Stretches one after the other, each as a recording of its own.

    Parameters
    ----------
    starts
        Where each begins, the first at 0.
    parts
        What restores each.
    """

    def __init__(self, starts: list[int], parts: list[Restoring]) -> None:
        self._borders, self._parts, self._at = starts[1:], parts, 0

    def push(self, block: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Take samples, give those that are final by now."""
        done = []
        while self._borders and self._at + len(block) >= self._borders[0]:
            left = self._borders.pop(0) - self._at
            done += [self._parts[0].push(block[:left]), self._parts[0].finish()]
            self._parts, block, self._at = self._parts[1:], block[left:], self._at + left
        self._at += len(block)
        return np.concatenate([*done, self._parts[0].push(block)])

    def finish(self) -> NDArray[np.float64]:
        """The rest."""
        return self._parts[0].finish()


def side_by_side(
    streams: list[Restoring], blocks: Iterable[NDArray[np.floating]]
) -> Iterator[NDArray[np.float64]]:
    """Channels, ``(some, channels)``, as far as all of them are restored by now."""
    waiting = [np.empty(0) for _ in streams]
    for block in blocks:
        for at, (stream, channel) in enumerate(zip(streams, block.T, strict=True)):
            waiting[at] = np.concatenate([waiting[at], stream.push(channel.astype(np.float64))])
        ready = min(map(len, waiting))
        yield np.stack([channel[:ready] for channel in waiting], axis=1)
        waiting = [channel[ready:] for channel in waiting]
    rest = [
        np.concatenate([channel, stream.finish()])
        for channel, stream in zip(waiting, streams, strict=True)
    ]
    yield np.stack(rest, axis=1)
