"""Frames that are cut at another place in every epoch, some of them with a bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ergodual.bilevel.data import CHUNK, Pair, Share, shuffled
from ergodual.errors import ErgodualError

SHIFTS, BIASES = 7, 8
"""Keep the random numbers of the shifts and of the biases apart from those of the order."""
BIASED = 0.25
"""Share of the frames of an epoch that get a bias."""


class Shifted:
    """As :class:`~ergodual.bilevel.Data`: all frames of an epoch begin later by a shift below n,
    drawn for each epoch.

    The last frame of each recording, behind which there may be nothing, lends its samples to the
    one before it. What is measured is without a shift and without a bias.

    Parameters
    ----------
    frames
        ``(count, n)``, those of one recording after those of the other.
    ends
        For each recording, the number of frames up to its end.
    pair
        Makes (x̃, x†) from x†.
    bias
        A quarter of the frames become (1 − |β|) x + β, with β between ±bias: converters add such
        constants.

    Raises
    ------
    ErgodualError
        If no recording has two frames.
    """

    def __init__(
        self, frames: Tensor, ends: list[int], pair: Callable[[Tensor], Pair], bias: float = 0.0
    ) -> None:
        self._samples, self._n, self._pair, self._bias = (
            frames.reshape(-1),
            frames.shape[1],
            pair,
            bias,
        )
        last = torch.zeros(len(frames), dtype=torch.bool)
        last[torch.tensor(ends) - 1] = True
        self._starts = (~last).nonzero()[:, 0] * self._n
        if not len(self._starts):
            raise ErgodualError(
                f"No recording has two frames of {self._n} samples, so they cannot be shifted; "
                "leave out --shift."
            )

    def __len__(self) -> int:
        return len(self._starts)

    def batches(self, size: int, seed: int, epoch: int, first: int, share: Share) -> Iterator[Pair]:
        """This share of each mini-batch of ``size`` frames, from mini-batch ``first`` on."""
        shift = int(shuffled(self._n, seed, epoch, SHIFTS)[0])
        drawn = shuffled(len(self), seed, epoch, BIASES) / len(self)  # evenly spread over [0, 1)
        biases = torch.where(drawn < BIASED, self._bias * (2 * drawn / BIASED - 1), 0.0)[:, None]
        for rows in torch.split(shuffled(len(self), seed, epoch), size)[first:]:
            some = share.of(rows)
            yield self._pair(
                (1 - biases[some].abs()) * self._cut(self._starts[some] + shift) + biases[some]
            )

    def chunks(self, share: Share) -> Iterator[Pair]:
        """This share of all frames, once."""
        for start in share.of(range(0, len(self), CHUNK)):
            yield self._pair(self._cut(self._starts[start : start + CHUNK]))

    def _cut(self, starts: Tensor) -> Tensor:
        return self._samples[starts[:, None] + torch.arange(self._n)]
