"""[15] over three seeds: depth maps made larger with the help of a picture, by a network alone, by
one with a fixed model after it, and by one that learned together with the model's iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from skimage import data as packaged
from torch import Tensor, nn

import ergodual as ed

SIZE, STEPS, BATCH = 48, 1000, 4
FACTORS = (4, 8)
WIDTH, ITERATIONS = 0.01, 20
OFFSETS = [(0, 1), (0, 2), *((a, b) for a in (1, 2) for b in range(-2, 3))]
NOTES = [
    "½‖u − g‖² + Σ w_ij φ(u_i − u_j) over 24 neighbours, φ Huber's function; 20 iterations of "
    "Chambolle-Pock from g on. network: three layers of 24 channels and one for g and 12 weights "
    f"a pixel. Scenes of planes, {SIZE} × {SIZE}, {BATCH} new ones a step: {STEPS} steps of Adam "
    "for g alone, then as many again alone or through the iterations. fixed: weights that fall "
    "with the guide's differences, both numbers chosen on 32 other scenes.",
    "motorcycle: root mean squared error in pixels of disparity on every second pixel of "
    "scikit-image's stereo pair where it is known, the left picture as guide. scenes: on 64 made "
    "scenes, of a depth range of about one. coarse: means of factor × factor pixels.",
]
SEEDS = (0, 1, 2)
Method = Callable[[Tensor, Tensor], Tensor]
"""Of a coarse map and its guide, the finer one."""


class Depth(NamedTuple):
    """Depth maps with guides.

    Attributes
    ----------
    truth, guide
        ``(count, height, width)``.
    known
        Where the truth counts.
    span
        What one unit of depth is.
    """

    truth: Tensor
    guide: Tensor
    known: Tensor
    span: float


class Network(nn.Module):
    """An estimate g, and the energy's weights, of a coarse map and its guide.

    Parameters
    ----------
    jointly
        Whether what comes out is the iterations' result.
    """

    def __init__(self, jointly: bool) -> None:
        super().__init__()
        layers = [nn.Conv2d(inputs, 24, 3, padding=1) for inputs in (2, 24, 24)]
        self.layers = nn.Sequential(*(part for one in layers for part in (one, nn.PReLU())))
        self.last = nn.Conv2d(24, 1 + len(OFFSETS), 3, padding=1)
        nn.init.normal_(self.last.weight, std=1e-2)
        self.jointly = jointly

    def forward(self, s: Tensor, guide: Tensor) -> Tensor:
        found = self.last(self.layers(torch.stack([s, guide], 1)))
        g: Tensor = s + found[:, 0]
        if not self.jointly:
            return g
        return iterated(g, ed.Huber(nn.functional.softplus(found[:, 1:] - 5), WIDTH))


def run(_data: Path, seed: int) -> Iterator[dict[str, object]]:
    """A row for each factor and method; the pictures are packaged."""
    for factor in FACTORS:
        yield from rows(factor, seed, motorcycle(factor), methods)


def rows(
    factor: int, seed: int, real: Depth, methods: Callable[[int], dict[str, Method]]
) -> Iterator[dict[str, object]]:
    """One for each method, on the motorcycle and on scenes."""
    made = scenes(64)
    for name, method in methods(factor).items():
        if name != "bilinear" or seed == 0:  # of the motorcycle nothing is random there
            yield {
                "factor": factor,
                "method": name,
                "motorcycle": error(method, real, factor),
                "scenes": error(method, made, factor),
            }


def trained(make: Callable[[bool], nn.Module], factor: int) -> tuple[nn.Module, nn.Module]:
    """A network that learned alone, and one that went on through the iterations, as long."""

    def score(network: nn.Module) -> Tensor:
        one = scenes(BATCH)
        error: Tensor = network(coarse(one.truth, factor), one.guide) - one.truth
        return error.square().mean()

    alone = learned(make(False), score, STEPS)
    together = make(True)
    together.load_state_dict(alone.state_dict(), strict=False)  # without steps of its own
    return learned(alone, score, STEPS), learned(together, score, STEPS)


def methods(factor: int) -> dict[str, Method]:
    """Of a coarse map and its guide, the finer one."""
    alone, jointly = trained(Network, factor)
    others, differences = scenes(32), ed.Differences(OFFSETS)

    def fixed(weight: float, scale: float) -> Method:
        def method(s: Tensor, guide: Tensor) -> Tensor:
            weights = weight * torch.exp(-((differences(guide) / scale) ** 2))
            return iterated(alone(s, guide), ed.Huber(weights, WIDTH))

        return method

    pairs = [(weight, scale) for weight in (3e-3, 1e-2, 3e-2, 0.1) for scale in (0.03, 0.1, 0.3)]
    best = min(pairs, key=lambda pair: error(fixed(*pair), others, factor))
    return {
        "bilinear": lambda s, guide: s,
        "network": alone,
        "fixed": fixed(*best),
        "jointly": jointly,
    }


def iterated(g: Tensor, F: ed.Function) -> Tensor:
    """After so many iterations from g on."""
    problem = ed.Problem(ed.Huber(0.0, WIDTH), ed.SquaredL2(), ed.Differences(OFFSETS))
    found: Tensor = ed.Unrolled(problem, ITERATIONS, output=ed.Last())(g, F=F)
    return found


def learned(network: nn.Module, score: Callable[[nn.Module], Tensor], steps: int) -> nn.Module:
    """The same network after so many steps of Adam."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        score(network).backward()
        optimizer.step()
        schedule.step()
    return network


def error(method: Method, depth: Depth, factor: int) -> float:
    """Root mean squared."""
    with torch.no_grad():
        found = method(coarse(depth.truth, factor), depth.guide)
    return depth.span * float((found - depth.truth)[depth.known].square().mean().sqrt())


def coarse(depth: Tensor, factor: int) -> Tensor:
    """Means of factor × factor pixels, bilinear between them."""
    means = nn.functional.avg_pool2d(depth[:, None], factor)
    return nn.functional.interpolate(means, scale_factor=factor, mode="bilinear")[:, 0]


def scenes(count: int) -> Depth:
    """Half-planes and ellipses, each a plane in depth and of one grey value; noise in the guide."""
    v, u = torch.meshgrid(*[torch.linspace(-1, 1, SIZE)] * 2, indexing="ij")
    depth, guide = torch.zeros(2, count, SIZE, SIZE)
    for k in range(6):
        value, grey, a, b = torch.rand(4, count, 1, 1)
        slope = 0.6 * torch.rand(2, count, 1, 1) - 0.3
        centre, angle = 1.6 * torch.rand(2, count, 1, 1) - 0.8, 6.3 * torch.rand(count, 1, 1)
        x, y = u - centre[0], v - centre[1]
        x, y = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        inside = (x / (0.2 + a)) ** 2 + (y / (0.1 + b)) ** 2 < 1 if k % 2 else x > (k - 5) / 4
        depth = torch.where(inside, value + slope[0] * x + slope[1] * y, depth)
        guide = torch.where(inside, grey, guide)
    known = torch.ones_like(depth, dtype=torch.bool)
    return Depth(depth, guide + 0.03 * torch.randn_like(guide), known, 1.0)


def motorcycle(factor: int) -> Depth:
    """scikit-image's stereo pair, from Middlebury's, as one depth map of range one."""
    left, _, disparity = (np.asarray(t)[4:500:2, 4:740:2] for t in packaged.stereo_motorcycle())
    height, width = (length // factor * factor for length in disparity.shape)
    left, disparity = left[:height, :width], disparity[:height, :width]
    known = np.isfinite(disparity) & (disparity > 0)
    filled = disparity[tuple(distance_transform_edt(~known, return_indices=True)[1])]
    span = float(np.ptp(filled))
    return Depth(
        torch.as_tensor((filled - filled.min()) / span)[None].float(),
        torch.as_tensor(left.mean(-1) / 255)[None].float(),
        torch.as_tensor(known)[None],
        span,
    )
