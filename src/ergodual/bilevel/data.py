"""Where the pairs of observations and ground truths come from while learning, and in what order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]

CHUNK = 1024
"""Samples that are measured at once, ..."""
CHUNK_NUMBERS = 2**19
"""... if they have no more numbers than this."""


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
    """Samples held in memory, in a uniformly random order.

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
        self.tensors, self._pair = tensors, pair

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batches(self, size: int, seed: int, epoch: int, first: int, share: Share) -> Iterator[Pair]:
        for rows in self.rows(size, seed, epoch, first):
            yield self._pair(*(t[share.of(rows)] for t in self.tensors))

    def chunks(self, share: Share) -> Iterator[Pair]:
        for rows in share.of(self.pieces()):
            yield self._pair(*(t[rows] for t in self.tensors))

    def rows(self, size: int, seed: int, epoch: int, first: int) -> tuple[Tensor, ...]:
        """The samples of each mini-batch, from mini-batch ``first`` on."""
        return torch.split(shuffled(len(self), seed, epoch), size)[first:]

    def pieces(self) -> list[slice]:
        """Those of each chunk."""
        numbers = max(1, *(math.prod(t.shape[1:]) for t in self.tensors))
        step = min(CHUNK, max(1, CHUNK_NUMBERS // numbers))
        return [slice(start, start + step) for start in range(0, len(self), step)]


def key_of(*parts: int) -> int:
    """A seed that depends on all of them (seed, epoch, …)."""
    number = 0
    for part in parts:
        number = 1_000_003 * number + part
    return number % 2**64


def shuffled(count: int, *key: int) -> Tensor:
    """0 … count − 1 in an order that depends on the key (seed, epoch, …) alone."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(key_of(*key)))
