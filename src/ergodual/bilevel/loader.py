"""A ``torch.utils.data.DataLoader`` as a source of pairs whose order can be had again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ergodual.bilevel.data import Pair, Share, key_of
from ergodual.errors import ErgodualError
from ergodual.tensors import described


class Loaded:
    """As :class:`~ergodual.bilevel.Data`: the batches of a loader, each a pair (x̃, x†).

    What the loader, its sampler and its datasets draw from torch's generators is a function of the
    seed and the epoch, and leaves the state of those generators as it was (a generator that was
    given to the loader is seeded at every epoch); so a run that goes on from a checkpoint sees what
    it would have seen.

    Parameters
    ----------
    loader
        Gives pairs; the batches are its own.
    device
        Where they go.
    """

    def __init__(self, loader: DataLoader[Any], device: torch.device) -> None:
        self.loader, self._device = loader, device

    def __len__(self) -> int:
        """Its number of batches, or 0 if it does not know."""
        try:
            return len(self.loader)
        except TypeError:  # of an IterableDataset
            return 0

    def batches(self, size: int, seed: int, epoch: int, first: int, share: Share) -> Iterator[Pair]:
        """Its batches from number ``first`` on.

        Raises
        ------
        ErgodualError
            If a batch is no pair of tensors of one length, or there are fewer than the loader says.
        """
        key, done = key_of(seed, epoch), 0
        state = torch.Generator().manual_seed(key).get_state()
        if isinstance(self.loader.generator, torch.Generator):
            self.loader.generator.manual_seed(key)
        if hasattr(self.loader.sampler, "set_epoch"):
            self.loader.sampler.set_epoch(epoch)
        batches = None
        while True:
            outside = torch.get_rng_state()
            torch.set_rng_state(state)
            try:
                batches = iter(self.loader) if batches is None else batches
                batch = next(batches, None)
                state = torch.get_rng_state()
            finally:
                torch.set_rng_state(outside)
            if batch is None:
                break
            done += 1
            if done > first:
                yield self._pair(batch)
        if done < max(1, len(self)):
            raise ErgodualError(
                f"The loader ended after {done} of {max(1, len(self))} batches; give one whose "
                "length is right, and a new one if it can be read only once."
            )

    def chunks(self, share: Share) -> Iterator[Pair]:
        """All batches, once."""
        return self.batches(0, 0, 0, 0, share)

    def _pair(self, batch: Any) -> Pair:
        if not (
            isinstance(batch, list | tuple)
            and len(batch) == 2
            and all(isinstance(t, Tensor) for t in batch)
        ):
            given = [described(t) for t in batch] if isinstance(batch, list | tuple) else batch
            said = ", ".join(given) if isinstance(given, list) else described(given)
            raise ErgodualError(
                f"The loader gives {said}; each batch must be two tensors, observations and ground "
                "truths."
            )
        x_tilde, x_true = batch
        if len(x_tilde) != len(x_true):
            raise ErgodualError(
                f"The loader gives {len(x_tilde)} observations and {len(x_true)} ground truths; "
                "give as many of both."
            )
        return x_tilde.to(self._device), x_true.to(self._device)
