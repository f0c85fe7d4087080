"""Small convolutional networks: what predicts maps, and what we compare with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE = 0.1
"""What images in units of the noise are multiplied by, so that they are about of size 1."""


class Residual(nn.Module):
    """h + W₂ relu(W₁ h), with 3 × 3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, h: Tensor) -> Tensor:
        change: Tensor = self.second(self.first(h).relu()).relu()
        return h + change


class UNet(nn.Module):
    """A small U-Net (Ronneberger, Fischer, Brox, MICCAI 2015) on the 2 × 2 blocks of an image.

    Parameters
    ----------
    outputs
        Channels of the result, which is as high and wide as the image; None for a denoiser, that
        takes its one result from the image.
    widths
        Channels of the scales, from the finest down.
    seed
        Of the weights.
    """

    def __init__(
        self, outputs: int | None = None, widths: tuple[int, ...] = (32, 48, 56), seed: int = 0
    ) -> None:
        super().__init__()
        self.denoises, self.widths = outputs is None, widths
        steps = list(zip(widths, widths[1:], strict=False))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Conv2d(4, widths[0], 3, padding=1)
            self.down = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in steps])
            self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in steps])
            self.going_down = nn.ModuleList([Residual(width) for width in widths])
            self.going_up = nn.ModuleList([Residual(width) for width in widths[:-1]])
            self.last = nn.Conv2d(widths[0], 4 * (outputs or 1), 1)
            nn.init.normal_(self.last.weight, std=0.01)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, y: Tensor) -> Tensor:
        multiple = 2 ** len(self.widths)
        missing = [-n % multiple for n in y.shape[2:]]
        padded = functional.pad(y, (0, missing[1], 0, missing[0]), mode="replicate")
        h = functional.pixel_unshuffle(SCALE * padded, 2)
        h = self.first(h.contiguous(memory_format=torch.channels_last)).relu()
        passed = []
        for scale, block in enumerate(self.going_down):
            h = block(h)
            if scale < len(self.down):
                passed.append(h)
                h = self.down[scale](h)
        for scale in reversed(range(len(self.up))):
            h = self.going_up[scale](passed[scale] + self.up[scale](h))
        found = functional.pixel_shuffle(self.last(h), 2)[:, :, : y.shape[2], : y.shape[3]]
        return y - found if self.denoises else found


class DnCNN(nn.Module):
    """Convolutions and ReLUs that give the noise (Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian
    denoiser", 2017), without batch normalisation, as one noise level needs none.

    Parameters
    ----------
    width
        Channels.
    depth
        Convolutions of 3 × 3.
    seed
        Of the weights.
    """

    def __init__(self, width: int = 16, depth: int = 12, seed: int = 0) -> None:
        super().__init__()
        widths = [1, *[width] * (depth - 1), 1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            for a, b in zip(widths, widths[1:], strict=False):
                layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
                nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")  # type: ignore[arg-type]
                nn.init.zeros_(layers[-2].bias)  # type: ignore[arg-type]
            self.layers = nn.Sequential(*layers[:-1])
            nn.init.normal_(layers[-2].weight, std=0.01)  # type: ignore[arg-type]

    def forward(self, y: Tensor) -> Tensor:
        h = (SCALE * y).contiguous(memory_format=torch.channels_last)
        found: Tensor = self.layers(h)
        return y - found
