"""Restoring one channel by a model of whole recordings, block by block: in long windows that
overlap as far as the model sees.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ergodual.products import rounded_products, rounding_pays
from ergodual.speech.cells import Cells
from ergodual.speech.half_steps import in_half_steps
from ergodual.speech.network import Network

WINDOW = 81_920
"""Samples, rounded down to whole hops."""


class WindowStream:
    """One channel, block by block.

    Windows lie at the same places whatever the blocks, and of each only the samples are taken for
    which all that the model sees lies in the window: what comes out is what the model makes of the
    whole recording between silence, up to the rounding of products of another size, and bit for bit
    the same however the samples were cut into blocks. It lags behind by :attr:`latency`.

    Parameters
    ----------
    network
        The model.
    cells
        The intervals that the samples lay in.
    centre
        An offset of the recording, which the model is spared.
    share
        Of the step from the middle of a cell to the estimate, so much is taken.
    shifts
        The estimate is the average of those of so many grids of frames, evenly shifted.
    """

    def __init__(
        self,
        network: Network,
        cells: Cells,
        centre: float = 0.0,
        share: float = 1.0,
        shifts: int = 1,
    ) -> None:
        self._network, self._cells, self._centre, self._share = network, cells, centre, share
        hop = network.spec.hop
        reach = -(-network.reach // hop) * hop
        self._window = max(WINDOW // hop * hop, 3 * reach)
        self._shifts = [hop * i // shifts for i in range(shifts)]
        self._lead = reach + hop
        self._core = self._window - self._lead - reach
        # middle, lower and upper bound from the next window's first sample on; before the first
        # sample and behind the last it is known to be silent
        self._waiting = torch.full((3, self._lead), centre, dtype=torch.float64)

    @property
    def latency(self) -> int:
        """Samples that must follow one at most before it comes out."""
        return self._span - self._lead

    @property
    def _span(self) -> int:
        """Samples that windows of all shifts take."""
        return self._window + self._shifts[-1]

    def push(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take samples, give those that are final by now."""
        if not len(block):
            return np.empty(0)
        cells = self._cells.intervals(torch.as_tensor(block, dtype=torch.float64))
        self._waiting = torch.cat([self._waiting, cells], dim=1)
        return self._advance()

    def finish(self) -> NDArray[np.float64]:
        """The rest."""
        left, hop = self._waiting.shape[1] - self._lead, self._network.spec.hop
        if not left:
            return np.empty(0)
        core = -(-left // hop) * hop  # as short a window as does
        beyond = core - left + self._span - self._lead - self._core
        cells = torch.nn.functional.pad(self._waiting, (0, beyond), value=self._centre)
        self._waiting = self._waiting[:, left:]
        return self._estimate(cells, core)[:left].numpy()

    def _advance(self) -> NDArray[np.float64]:
        found = []
        while self._waiting.shape[1] >= self._span:
            found.append(self._estimate(self._waiting[:, : self._span], self._core))
            self._waiting = self._waiting[:, self._core :]
        return torch.cat(found).numpy() if found else np.empty(0)

    def _estimate(self, cells: Tensor, core: int) -> Tensor:
        """Of so many samples in the middle of a window."""
        middle, lower, upper = cells[:, self._lead : self._lead + core].unbind()
        known = upper - lower == 0
        if bool((known | ~(lower.isfinite() | upper.isfinite())).all()):
            return middle
        with torch.no_grad(), self._precision():
            total = sum(self._shifted(cells, shift, core) for shift in self._shifts)
        estimate = middle + self._share * (total / len(self._shifts) - middle)
        # what rounding moved out of a cell
        return torch.clamp(estimate, lower, upper)

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        """In bfloat16 where that is faster, which costs 0.001 dB; not what is to converge."""
        if self._network.spec.model == "convex" or not rounding_pays():
            yield
            return
        with rounded_products(), torch.autocast("cpu", torch.bfloat16):
            yield

    def _shifted(self, cells: Tensor, shift: int, core: int) -> Tensor:
        rows = cells[:, None, shift : shift + self._window - self._core + core] - self._centre
        estimate = in_half_steps(self._network, rows[0], rows[1], rows[2], self._cells.wider)[0]
        return estimate[self._lead - shift : self._lead - shift + core] + self._centre
