"""
[13, 14] Segmentation: gradients of a nonsmooth problem, without kinks and without smoothing
============================================================================================

Ochs, Ranftl, Brox and Pock ("Bilevel optimization with nonsmooth lower level problems", SSVM 2015;
"Techniques for gradient-based bilevel optimization with non-smooth lower level problems", JMIV
2016) learn the labels of pixels, u in the simplex of each, by the convex relaxation

    minimise ⟨c, u⟩ + λ Σ ‖∇u‖₁,   c = −(Wf + b) of features f of the picture.

The solution has no derivative in c where bounds begin or cease to be met. They differentiate a
fixed number of primal-dual iterations, with *Bregman* steps: entropies keep u^k in the simplex,
u^k ∝ u^{k−1} exp(−τ(c + Kᵀy^k)), and y^k in its bounds. Nothing meets a bound, all is smooth.

:Application: segmentation
:Regulariser: total variation
:Algorithm: unrolled, Bregman steps, implicit, Adam
"""

import copy
import warnings

import matplotlib.pyplot as plt
import torch
from skimage import data
from torch import nn
from torch.nn import functional

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.images.networks import cosines

torch.manual_seed(0)
warnings.simplefilter("ignore", ed.NotDifferentiableWarning)  # at 1e-6 slopes are right to 1e-5

# %%
# Twenty iterations with squares or with entropies, and Lemma 1's exact gradient; or the *solution*
# of a smoothed energy, Huber's function in place of ‖∇u‖₁ and ‖u‖²/4 besides, and its derivative.


def relaxed(costs, weight, steps=None):
    labels, *size = costs.shape[1:]
    pixels = torch.arange(size[0] * size[1]).view(1, *size).expand(labels, *size)
    G, K = ed.Tilted(ed.GroupSum(ed.Simplex(), pixels), costs), ed.Gradient(axes=(-2, -1))
    b, rest = costs.new_zeros(len(costs), 2, *costs.shape[1:]), {"A": K, "G": G}
    if steps is None:
        smoothed = ed.InverseProblem(data=ed.Huber(weight, 0.1), F=ed.SquaredL2(0.5), **rest)
        return ed.Solved(smoothed, 1e-6, ed.Implicit(solver=ed.Minres(1e-6, 300)))(b)
    return ed.Unrolled(ed.InverseProblem(data=ed.L1(weight), **rest), 20, steps, ed.Last())(b)


# %%
# The derivative of ½‖u − u†‖², 6 × 6 pixels and 3 labels, in a number t added to the costs of one:

truth = functional.one_hot(torch.arange(6) // 2).T[None, :, None].expand(1, 3, 6, 6).double()
costs = 0.6 * torch.randn(1, 3, 6, 6, dtype=torch.float64) - truth
inside = ed.Entropy(ed.StepSizes.fixed(0.6, 0.6))
ways = {"squares": ed.StepSizes.fixed(0.35, 0.35), "entropies": inside, "implicit, smoothed": None}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for axis, (way, steps) in zip(axes, ways.items(), strict=True):
    t = torch.linspace(-1, 1, 150, dtype=torch.float64, requires_grad=True)
    u = relaxed(costs + t.view(-1, 1, 1, 1) * torch.eye(3)[:1, :, None, None], 0.3, steps)
    (slopes,) = torch.autograd.grad((u - truth).square().sum() / 2, t)
    axis.plot(t.detach(), slopes, linewidth=1)
    axis.set(title=way, xlabel="t")
plt.show()

# %%
# Mosaics of three textures, whose labels are known exactly
# ---------------------------------------------------------
# From left halves to learn, from right ones to measure; features are local energies of 24 filters.


def mosaics(count, half):
    textures = []
    for each in (data.brick(), data.grass(), data.gravel()):
        t = functional.avg_pool2d(torch.tensor(each).float()[None], 3)[0]
        t = ((t - t.mean()) / t.std()).chunk(2, dim=1)[half]
        textures.append(t.unfold(0, 48, 1).unfold(1, 48, 1).flatten(0, 1))
    grid = torch.stack(torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij"), -1)
    cells = (grid[:, :, None] - 48 * torch.rand(count, 1, 1, 6, 2)).norm(dim=-1).argmin(-1)
    pieces = torch.stack([t[torch.randint(len(t), (count,))] for t in textures], 1)
    pictures = pieces.gather(1, cells[:, None] % 3)
    filtered = functional.conv2d(functional.pad(pictures, [2] * 4, "reflect"), cosines(24, 5, 0, 0))
    local = functional.avg_pool2d(functional.pad(filtered.square(), [2] * 4, "reflect"), 5, 1)
    return pictures, (local + 0.01).log(), cells % 3


(_, f, labels), (pictures, g, right) = mosaics(32, half=0), mosaics(16, half=1)
scale = nn.BatchNorm2d(24, affine=False, momentum=1.0)
f, g = scale(f), scale.eval()(g)
onehot = functional.one_hot(labels, 3).movedim(-1, 1).float()
options = {"batch_size": 4, "optimizer": "adam", "schedule": "cosine", "lr": 0.05}
models = {"pixels alone": nn.Conv2d(24, 3, 1)}
fit(models["pixels alone"], f, onehot, epochs=20, **options)


class Segmentation(nn.Module):  # W, b and λ are learned
    def __init__(self, steps):
        super().__init__()
        self.scores, self.steps = copy.deepcopy(models["pixels alone"]), steps
        self.log_weight = nn.Parameter(torch.tensor(-1.5))

    def forward(self, features):
        return relaxed(-self.scores(features), self.log_weight.exp(), self.steps)


for way in ("squares", "entropies"):
    models[way] = Segmentation(ways[way])
    fit(models[way], f, onehot, epochs=6, **options)

# %%
# What came out
# -------------
# As they say, **with squares the derivative jumps, with entropies it does not**; the smoothed one
# does. By ``make relatives``, how much neighbours differ on finer grids, relative to the range:
#
# .. measured:: relatives/segmentation.json
#    :where: what=kinks
#    :by: points
#
#    points | points
#    squares | jump | .4f | method=squares
#    entropies | jump | .4f | method=entropies
#    implicit, smoothed | jump | .4f | method=implicit
#
# **Kinks did no harm** to labels; an implicit step takes eight times as long as an unrolled one.
#
# .. measured:: relatives/segmentation.json
#    :where: what=segmentation
#    :by: labels
#
#    labels | labels
#    pixels alone | right | .3f | method=pixels
#    squares | right | .3f | method=squares
#    entropies | right | .3f | method=entropies
#    implicit, smoothed | right | .3f | method=implicit

with torch.no_grad():
    found = {way: model(g).argmax(1) for way, model in models.items()}
shown = {"mosaic": pictures[:, 0], "truth": right, **found}
figure, axes = plt.subplots(3, 5, figsize=(9, 5.6), layout="constrained")
for column, (name, images) in zip(axes.T, shown.items(), strict=True):
    column[0].set_title(
        name + (f"\n{(images == right).double().mean():.1%}" if name in found else "")
    )
    for axis, image in zip(column, images[:3], strict=True):
        axis.imshow(image, cmap="gray" if name == "mosaic" else "viridis")
        axis.axis("off")
plt.show()
