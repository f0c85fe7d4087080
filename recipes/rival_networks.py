"""What networks of whole recordings are compared with: baselines that know nothing of iterations.

Each takes recordings in half steps, ``(batch, length)``, to points of their cells x̃ ± 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from ergodual.operators import Framed
from ergodual.speech.thresholds import DilatedBlock

PACKED = 16
"""Samples that are channels of one point in time."""


class UNet(nn.Module):
    """Residual blocks on three scales, of which the finer ones are passed on to the way up (cf.
    Stoller, Ewert, Dixon, "Wave-U-Net", 2018).

    Parameters
    ----------
    scale
        Half steps from 0 to the largest level.
    widths
        Channels of the scales.
    """

    def __init__(self, scale: float, widths: tuple[int, ...] = (160, 256, 352)) -> None:
        super().__init__()
        self.scale, self.multiple = scale, PACKED << (len(widths) - 1)
        steps = list(zip(widths, widths[1:], strict=False))
        self.first = nn.Conv1d(PACKED, widths[0], 5, padding=2)
        self.down = nn.ModuleList(nn.Conv1d(a, b, 2, stride=2) for a, b in steps)
        self.up = nn.ModuleList(nn.ConvTranspose1d(b, a, 2, stride=2) for a, b in steps)
        self.going_down = nn.ModuleList(_Block(width) for width in widths)
        self.going_up = nn.ModuleList(_Block(width) for width in widths[:-1])
        self.last = nn.Conv1d(widths[0], PACKED, 5, padding=2)

    def forward(self, x_tilde: Tensor) -> Tensor:
        h = gelu(self.first(_packed(x_tilde / self.scale, self.multiple)))
        passed = []
        for down, block in zip(self.down, self.going_down, strict=False):
            passed.append(block(h))
            h = down(passed[-1])
        h = self.going_down[-1](h)
        for scale in reversed(range(len(self.up))):
            h = self.going_up[scale](passed[scale] + self.up[scale](h))
        return _within(x_tilde, self.last(h))


class Dilated(nn.Module):
    """Blocks that look further and further, each channel for itself, and mix the channels (cf. Luo,
    Mesgarani, "Conv-TasNet", 2019).

    Parameters
    ----------
    scale
        Half steps from 0 to the largest level.
    channels, blocks
        Of them; the i-th looks 2^(i mod 5) points to both sides.
    """

    def __init__(self, scale: float, channels: int = 256, blocks: int = 9) -> None:
        super().__init__()
        self.scale = scale
        self.first, self.last = nn.Linear(3 * PACKED, channels), nn.Linear(channels, PACKED)
        self.blocks = nn.ModuleList(DilatedBlock(channels, 2 ** (i % 5)) for i in range(blocks))

    def forward(self, x_tilde: Tensor) -> Tensor:
        points = pad(_packed(x_tilde / self.scale, PACKED).transpose(1, 2), (0, 0, 1, 1))
        h = self.first(torch.cat([points[:, :-2], points[:, 1:-1], points[:, 2:]], 2))
        for block in self.blocks:
            h = block(h)
        return _within(x_tilde, self.last(h).transpose(1, 2))


class Lista(nn.Module):
    """z⁺ = h_θ(Wₖx̃ + Sₖz), coefficients of overlapping frames, and x̂ = x̃ + tanh(Dz) (Gregor,
    LeCun, "Learning fast approximations of sparse coding", 2010).

    Parameters
    ----------
    n, m, depth
        Samples a frame, coefficients, and iterations.
    """

    def __init__(self, n: int = 320, m: int = 640, depth: int = 4) -> None:
        super().__init__()
        self.W = nn.ModuleList(Framed.dft(n, n // 2, m, 0.9) for _ in range(depth))
        self.S = nn.ParameterList(torch.zeros(m, m) for _ in range(depth - 1))
        self.log_thresholds = nn.Parameter(torch.full((depth, m), -1.0))
        self.D = Framed(torch.zeros(m, n), n // 2)

    def forward(self, x_tilde: Tensor) -> Tensor:
        thresholds = self.log_thresholds.exp()
        z = _shrunk(self.W[0](x_tilde), thresholds[0])
        for W, S, threshold in zip(self.W[1:], self.S, thresholds[1:], strict=True):
            z = _shrunk(W(x_tilde) + z @ S, threshold)
        return x_tilde + self.D.adjoint(z, x_tilde.shape[1:]).to(x_tilde.dtype).tanh()


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1), nn.GELU(), nn.Conv1d(width, width, 3, padding=1)
        )

    def forward(self, h: Tensor) -> Tensor:
        found: Tensor = h + self.layers(h)
        return found


def _packed(x: Tensor, multiple: int) -> Tensor:
    """``(batch, PACKED, points)``, with zeros behind the end."""
    x = pad(x, (0, -x.shape[1] % multiple))
    return x.view(len(x), -1, PACKED).transpose(1, 2)


def _within(x_tilde: Tensor, found: Tensor) -> Tensor:
    """x̃ and what was found, pressed into its cells."""
    offsets = found.transpose(1, 2).flatten(1)[:, : x_tilde.shape[1]]
    return x_tilde + offsets.to(x_tilde.dtype).tanh()


def _shrunk(z: Tensor, threshold: Tensor) -> Tensor:
    return z - torch.clamp(z, -threshold, threshold)
