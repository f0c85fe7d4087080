"""Frames that are cut at another place in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ergodual.bilevel.data import CHUNK, Pair, Share, shuffled
from ergodual.errors import ErgodualError

STREAM = 7
"""Keeps the random numbers of the offsets apart from those of the order."""


class Shifted:
    """As :class:`~ergodual.bilevel.Data`: all frames of an epoch begin later by an offset below n, drawn for each epoch.

    The last frame of each recording, behind which there may be nothing, lends its samples to the one before it. What is
    measured is without an offset.

    Parameters
    ----------
    frames
        ``(count, n)``, those of one recording after those of the other.
    ends
        For each recording, the number of frames up to its end.
    pair
        Makes (x̃, x†) from x†.

    Raises
    ------
    ErgodualError
        If no recording has two frames.
    """

    def __init__(self, frames: Tensor, ends: list[int], pair: Callable[[Tensor], Pair]) -> None:
        self._samples, self._n, self._pair = frames.reshape(-1), frames.shape[1], pair
        last = torch.zeros(len(frames), dtype=torch.bool)
        last[torch.tensor(ends) - 1] = True
        self._starts = (~last).nonzero()[:, 0] * self._n
        if not len(self._starts):
            raise ErgodualError(f"No recording has two frames of {self._n} samples, so they cannot be shifted; leave out --shift.")

    def __len__(self) -> int:
        return len(self._starts)

    def batches(self, size: int, seed: int, epoch: int, first: int, share: Share) -> Iterator[Pair]:
        """This share of each mini-batch of ``size`` frames, from mini-batch ``first`` on."""
        offset = int(shuffled(self._n, seed, epoch, STREAM)[0])
        for rows in torch.split(shuffled(len(self), seed, epoch), size)[first:]:
            yield self._cut(self._starts[share.of(rows)] + offset)

    def chunks(self, share: Share) -> Iterator[Pair]:
        """This share of all frames, once."""
        for start in share.of(range(0, len(self), CHUNK)):
            yield self._cut(self._starts[start : start + CHUNK])

    def _cut(self, starts: Tensor) -> Pair:
        return self._pair(self._samples[starts[:, None] + torch.arange(self._n)])
