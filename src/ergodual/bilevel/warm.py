"""Where each sample's lower level ended in the last epoch, which is where it starts in the next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ergodual.solving import Solution, Start


class Memory:
    """r, y and ω of all samples of some data, as far as they were solved.

    Parameters
    ----------
    count
        How many samples there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: tuple[Tensor, ...] = ()
        self._known = torch.zeros(count, dtype=torch.bool)

    def of(self, rows: Any) -> Start | None:
        """Of these samples; None unless all of them are known."""
        if not self._held or not bool(self._known[rows].all()):
            return None
        return Start(*(t[rows] for t in self._held))

    def keep(self, rows: Any, solution: Solution) -> None:
        """The solution of these samples."""
        new = solution.r, solution.y, solution.weight
        if not self._held:
            self._held = tuple(t.new_zeros((self._count, *t.shape[1:])) for t in new)
        for held, t in zip(self._held, new, strict=True):
            held[rows] = t
        self._known[rows] = solution.r.flatten(1).isfinite().all(1).cpu()

    def state(self) -> list[Tensor]:
        """For a checkpoint."""
        return [self._known, *self._held]

    def load(self, state: list[Tensor]) -> None:
        """The inverse of :meth:`state`."""
        self._known, *held = state
        self._held = tuple(held)
