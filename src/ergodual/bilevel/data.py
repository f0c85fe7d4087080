"""Where the pairs of observations and ground truths come from while learning, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]

CHUNK = 1024
"""Frames that are measured at once."""


class Share(NamedTuple):
    """The part of the work that is done by process ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1

    def of(self, rows: Any) -> Any:
        """Every size-th of the rows of a tensor or a range."""
        return rows[self.rank :: self.size]


class Data(Protocol):
    """Pairs (x̃, x†), each ``(samples, *sample)``, wherever they are kept.

    The order is a function of the seed and the epoch alone: it depends neither on where a run
    begins nor on how many processes share it.
    """

    def __len__(self) -> int:
        """The number of samples."""

    def batches(self, size: int, seed: int, epoch: int, first: int, share: Share) -> Iterator[Pair]:
        """This share of each mini-batch of ``size`` samples, from mini-batch ``first`` on."""

    def chunks(self, share: Share) -> Iterator[Pair]:
        """This share of all samples, once, in any order."""


class InMemory:
    """Frames held in memory, in a uniformly random order.

    Parameters
    ----------
    tensors
        As many rows in each as there are samples.
    pair
        Makes (x̃, x†) from some rows of each; by default the tensors are these two.
    """

    def __init__(
        self,
        *tensors: Tensor,
        pair: Callable[..., Pair] = lambda x_tilde, x_true: (x_tilde, x_true),
    ) -> None:
        self._tensors, self._pair = tensors, pair

    def __len__(self) -> int:
        return len(self._tensors[0])

    def batches(self, size: int, seed: int, epoch: int, first: int, share: Share) -> Iterator[Pair]:
        for rows in torch.split(shuffled(len(self), seed, epoch), size)[first:]:
            yield self._pair(*(t[share.of(rows)] for t in self._tensors))

    def chunks(self, share: Share) -> Iterator[Pair]:
        for start in share.of(range(0, len(self), CHUNK)):
            yield self._pair(*(t[start : start + CHUNK] for t in self._tensors))


def shuffled(count: int, *key: int) -> Tensor:
    """0 … count − 1 in an order that depends on the key (seed, epoch, …) alone."""
    number = 0
    for part in key:
        number = 1_000_003 * number + part
    return torch.randperm(count, generator=torch.Generator().manual_seed(number % 2**64))
