"""Thresholds predicted from a recording: a map of regularisation parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, pad

FLOOR = 1e-2
"""What is added to magnitudes, in half steps, before their logarithm."""


class ThresholdMap(nn.Module):
    """Offsets of the logarithms of thresholds, for every coefficient, from all magnitudes around.

    A network of the frames' log-magnitudes; it begins as the map to 0. After Kofler et al.,
    "Learning regularization parameter-maps for variational image reconstruction using deep neural
    networks and algorithm unrolling", 2023.

    Parameters
    ----------
    pairs
        Magnitudes a frame.
    outputs
        Offsets for each of them.
    channels
        Of what lies between.
    blocks
        Residual blocks; the i-th of them looks 2^i frames to both sides.
    """

    def __init__(self, pairs: int, outputs: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.first, self.last = nn.Linear(pairs, channels), nn.Linear(channels, pairs * outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.blocks = nn.ModuleList(DilatedBlock(channels, 2**i) for i in range(blocks))

    def forward(self, magnitudes: Tensor) -> Tensor:
        """``(batch, frames, pairs)`` to ``(batch, frames, outputs, pairs)``."""
        h = self.first(torch.log(magnitudes + FLOOR))
        for block in self.blocks:
            h = block(h)
        offsets: Tensor = self.last(h).to(magnitudes.dtype)  # under autocast it is another
        return offsets.view(*offsets.shape[:-1], self.outputs, -1)


class DilatedBlock(nn.Module):
    """``(batch, frames, channels)`` and what is found along the frames, each channel for itself,
    then along the channels.

    Parameters
    ----------
    channels
        Of them.
    distance
        Of the frames that are looked at, to both sides.
    """

    def __init__(self, channels: int, distance: int) -> None:
        super().__init__()
        self.distance = distance
        self.taps = nn.Parameter(torch.empty(3, channels).uniform_(-1, 1) / 3**0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.wide, self.narrow = (
            nn.Linear(channels, 2 * channels),
            nn.Linear(2 * channels, channels),
        )

    def forward(self, h: Tensor) -> Tensor:
        d, frames = self.distance, h.shape[1]
        around = pad(h, (0, 0, d, d))
        u = self.bias + sum(
            tap * around[:, j * d : j * d + frames] for j, tap in enumerate(self.taps.unbind())
        )
        u = layer_norm(u, u.shape[-1:])
        return h + self.narrow(gelu(self.wide(u)))  # type: ignore[no-any-return]
