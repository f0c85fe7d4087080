"""
[15] Depth super-resolution: a network gives the energy, 20 iterations minimise it
==================================================================================

Riegler, Ferstl, Rüther and Bischof ("A deep primal-dual network for guided depth super-resolution",
BMVC 2016) let a network look at a coarse depth map, made larger, and at a picture, its guide. It
gives a depth estimate g and affinities w of each pixel and 24 around it, and 20 primal-dual
iterations what comes out, with φ Huber's function:

    minimise ½‖u − g‖² + Σ_{i, j} w_ij φ(u_i − u_j).

:Application: images, depth super-resolution
:Regulariser: Huber of neighbours, predicted weights
:Algorithm: unrolled, solve, Adam
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from skimage import data
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import fit

# %%
# Planes to learn from, and a stereo pair to measure on
# -----------------------------------------------------
# A scene is half-planes and ellipses, each a plane in depth and of one grey value, with noise in
# the picture. What is measured on is every second pixel of scikit-image's motorcycle, where its
# disparity is known. Coarse are means of 4 × 4 pixels, and between them bilinear.

torch.manual_seed(0)
SIZE, FACTOR = 48, 4


def coarse(depth: Tensor) -> Tensor:
    means = nn.functional.avg_pool2d(depth[:, None], FACTOR)
    return nn.functional.interpolate(means, scale_factor=FACTOR, mode="bilinear")[:, 0]


def scenes(count: int) -> tuple[Tensor, Tensor]:
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
    return torch.stack([coarse(depth), guide + 0.03 * torch.randn_like(guide)], 1), depth


left, _, disparity = (np.asarray(t)[4:500:2, 4:740:2] for t in data.stereo_motorcycle())
seen = np.isfinite(disparity) & (disparity > 0)
filled = disparity[tuple(distance_transform_edt(~seen, return_indices=True)[1])]
low, span = float(filled.min()), float(np.ptp(filled))
truth = torch.as_tensor((filled - low) / span)[None].float()
picture = torch.as_tensor(left.mean(-1) / 255)[None].float()
given, known = torch.stack([coarse(truth), picture], 1), torch.as_tensor(seen)[None]

# %%
# The network, and the model
# --------------------------
# The 24 pixels around one are 12 offsets, as a pair has one weight. Weights with a row for each
# sample are given with the call, and g is what the problem observes.

offsets = [(0, 1), (0, 2), *((a, b) for a in (1, 2) for b in range(-2, 3))]
problem = ed.Problem(ed.Huber(0.0, 0.01), ed.SquaredL2(), ed.Differences(offsets))
iterations = ed.Unrolled(problem, depth=20, output=ed.Last())


class Network(nn.Module):
    through = False  # the iterations

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(inputs, 24, 3, padding=1) for inputs in (2, 24, 24)]
        self.layers = nn.Sequential(*(part for one in layers for part in (one, nn.PReLU())))
        self.last = nn.Conv2d(24, 1 + len(offsets), 3, padding=1)
        nn.init.normal_(self.last.weight, std=1e-2)

    def energy(self, z: Tensor) -> tuple[Tensor, ed.Huber]:
        found = self.last(self.layers(z))
        return z[:, 0] + found[:, 0], ed.Huber(nn.functional.softplus(found[:, 1:] - 5), 0.01)

    def forward(self, z: Tensor) -> Tensor:
        g, F = self.energy(z)
        return iterations(g, F=F) if self.through else g


# %%
# As there, the network learns alone first, and then with the iterations; beside it, as long alone,
# after which a fixed model has weights that fall with the guide's differences, its two numbers
# chosen on other scenes. Errors are of pixels of disparity, and on further scenes.

z, depth = scenes(800)
options = {"epochs": 5, "batch_size": 4, "optimizer": "adam", "lr": 2e-3, "schedule": "cosine"}
alone = Network()
fit(alone, z[:400], depth[:400], **options)
jointly = copy.deepcopy(alone)
jointly.through = True
for network in (alone, jointly):
    fit(network, z[400:], depth[400:], **options)


def fixed(z: Tensor, weight: float, scale: float) -> Tensor:
    weights = weight * torch.exp(-((problem.K(z[:, 1]) / scale) ** 2))
    return iterations(alone(z), F=ed.Huber(weights, 0.01))


(z, depth), (others, right) = scenes(32), scenes(32)
pairs = [(weight, scale) for weight in (3e-3, 1e-2, 3e-2, 1e-1) for scale in (0.03, 0.1, 0.3)]
methods = {"bilinear": lambda z: z[:, 0], "network alone": alone}
methods |= {"with a fixed model": lambda z: fixed(z, *pair), "learned jointly": jointly}
shown = {"guide": picture, "truth": truth}
with torch.no_grad():
    pair = min(pairs, key=lambda pair: (fixed(others, *pair) - right).norm())
    for name, method in methods.items():
        shown[name], on_scenes = method(given), (method(z) - depth).square().mean().sqrt()
        error = span * (shown[name] - truth)[known].square().mean().sqrt()
        print(f"{name:<18} {error:.3f}, scenes {on_scenes:.4f}")
    g, F = jointly.energy(given)
solution = ed.solve(problem.with_functions(F=F), g, tol=1e-3)
error = span * (solution.x - truth)[known].square().mean().sqrt()
print(f"solved to a gap of {float(solution.error.max()):.0e}: {error:.3f}")
_, axes = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
for axis, (name, image) in zip(axes.flat, shown.items(), strict=True):
    axis.imshow(image[0, 60:180, 120:280], cmap="gray", vmin=0, vmax=1)
    axis.set(title=name, xticks=[], yticks=[])
plt.show()

# %%
# Here joint training is level with the fixed model, and 20 iterations do as well as all. By ``make
# relatives``, with twice as many steps, new scenes in each of them, and three seeds:
#
# .. measured:: relatives/depth_super_resolution.json
#    :by: method
#
#    method | method
#    × 4 | motorcycle | .2f | factor=4
#    × 8 | motorcycle | .2f | factor=8
#
# **As in the paper, each step helps**, with every seed; joint training by 1 and 2 %.
