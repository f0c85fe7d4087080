"""Restoring one channel of any length, block by block: overlapping frames, averaged under a window,
never outside of a cell.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions import Box
from ergodual.primal_dual import Unrolled
from ergodual.speech.cells import Cells
from ergodual.speech.frames import window
from ergodual.speech.half_steps import Estimator, in_half_steps
from ergodual.speech.model import ModelSpec
from ergodual.speech.quantizers import MidRise

FRAMES_AT_ONCE = 512


class Stream:
    """One channel, block by block.

    Frames of n samples begin every hop; each estimate is a point of its frame's cells, and so is
    their average under a window, which has positive weights that sum to one. Before the first
    sample and behind the last, frames reach into copies of these with cells without bounds, so that
    every sample lies in as many frames.

    Parameters
    ----------
    estimator
        For frames whose samples are divided by half a step.
    n
        Samples a frame.
    cells
        The intervals that the samples lay in.
    overlap
        The share of a frame that it has in common with the next one, 0 ≤ overlap < 1.
    centre
        An offset of the recording, which estimators are spared.
    share
        Of the step from the middle of a cell to the estimate, so much is taken.
    """

    def __init__(
        self,
        estimator: Estimator,
        n: int,
        cells: Cells,
        overlap: float,
        centre: float = 0.0,
        share: float = 1.0,
    ) -> None:
        if not 0 <= overlap < 1:
            raise ErgodualError(f"The overlap is {overlap}; it must be at least 0 and below 1.")
        self._estimator, self._n, self._cells = estimator, n, cells
        self._centre, self._share = centre, share
        self._hop = max(1, round(self._n * (1 - overlap)))
        self._window = (
            window(self._n) if self._hop < self._n else torch.ones(self._n, dtype=torch.float64)
        )
        self._lead = self._n - self._hop
        self._waiting = torch.empty(
            3, 0, dtype=torch.float64
        )  # middle, lower, upper from the next frame's first sample on
        self._summed = torch.zeros(
            2, self._lead, dtype=torch.float64
        )  # of estimates and of weights, from there on
        self._dropped = 0  # samples before the first one that are still to be dropped
        self._last: Tensor | None = None  # the last sample that was taken

    def push(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take samples, give those that are final by now."""
        if not len(block):
            return np.empty(0)
        cells = self._cells.intervals(torch.as_tensor(block, dtype=torch.float64))
        if self._last is None:
            self._dropped = self._lead
            cells = torch.cat([_unbounded(cells[0, 0], self._lead), cells], dim=1)
        self._last = cells[0, -1]
        self._waiting = torch.cat([self._waiting, cells], dim=1)
        return self._advance()

    def finish(self) -> NDArray[np.float64]:
        """The rest."""
        if self._last is None:
            return np.empty(0)
        left = self._waiting.shape[1]
        beyond = -left % self._hop
        self._waiting = torch.cat(
            [self._waiting, _unbounded(self._last, beyond + self._lead)], dim=1
        )
        restored = self._advance()
        return restored[: len(restored) - beyond]

    def _advance(self) -> NDArray[np.float64]:
        count = (self._waiting.shape[1] - self._lead) // self._hop
        if count <= 0:
            return np.empty(0)
        done = count * self._hop
        sums = torch.cat([self._summed, torch.zeros(2, done, dtype=torch.float64)], dim=1)
        for first in range(0, count, FRAMES_AT_ONCE):
            some = min(FRAMES_AT_ONCE, count - first)
            start, stop = first * self._hop, (first + some - 1) * self._hop + self._n
            with torch.no_grad():
                frames = self._restored(self._waiting[:, start:stop].unfold(1, self._n, self._hop))
            estimates = frames * self._window
            places = torch.arange(start, start + some * self._hop, self._hop)[
                :, None
            ] + torch.arange(self._n)
            sums[0].index_add_(0, places.reshape(-1), estimates.reshape(-1))
            sums[1].index_add_(0, places.reshape(-1), self._window.repeat(some))
        final, cells = sums[:, :done], self._waiting[:, :done]
        self._summed, self._waiting = sums[:, done:], self._waiting[:, done:]
        estimate = final[0] / final[1]
        if self._share < 1:
            estimate = cells[0] + self._share * (estimate - cells[0])
        restored = torch.clamp(estimate, cells[1], cells[2])  # what rounding moved out of a cell
        drop = min(self._dropped, done)
        self._dropped -= drop
        return restored[drop:].numpy()

    def _restored(self, cells: Tensor) -> Tensor:
        """The estimates of frames, ``(3, count, n)``; where all samples are known, themselves."""
        middle, lower, upper = cells.unbind()
        unknown = ((upper > lower) & (lower.isfinite() | upper.isfinite())).any(1)
        frames = torch.clone(middle)
        x_tilde, below, above = (cells[:, unknown] - self._centre).unbind()
        frames[unknown] = self._centre + in_half_steps(
            self._estimator, x_tilde, below, above, self._cells.wider
        )
        return frames


def _unbounded(value: Tensor, count: int) -> Tensor:
    """Copies of a sample about which nothing is known."""
    cells = torch.empty(3, count, dtype=torch.float64)
    cells[0], cells[1], cells[2] = value, -torch.inf, torch.inf
    return cells


def estimator_of(model: Unrolled, spec: ModelSpec, bits: int) -> Estimator:
    """The model itself, or, where it was trained in units of the signal for this word length, its
    like for half steps.
    """
    if spec.units == "half-steps":
        return model
    radius = MidRise(bits).radius

    def estimate(x_tilde: Tensor, G: Box) -> Tensor:
        found: Tensor = model(
            x_tilde * radius, G=Box(lower=G.lower * radius, upper=G.upper * radius)
        )
        return found / radius

    return estimate


def restore_channel(
    estimator: Estimator,
    n: int,
    samples: NDArray[np.floating],
    cells: Cells,
    overlap: float = 0.75,
) -> NDArray[np.float64]:
    """The estimate of a whole channel, ``(length,)``; see :class:`Stream`."""
    stream = Stream(estimator, n, cells, overlap)
    return np.concatenate([stream.push(samples.astype(np.float64)), stream.finish()])
