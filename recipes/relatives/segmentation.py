"""[13] and [14] on mosaics of textures: gradients with and without kinks, and what they learn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from skimage import data
from torch import Tensor, nn
from torch.nn import functional

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.images.networks import cosines

NOTES = [
    "u ∈ simplex in each pixel, min ⟨c, u⟩ + λ Σ ‖∇u‖₁; squares and entropies: 20 iterations of "
    "Chambolle-Pock with the steps that either measures, by Reverse; implicit: the solution with "
    "Huber's function (width 0.1) in place of ‖∇u‖₁ and ‖u‖²/4 besides, by Implicit with MINRES.",
    "kinks: derivative of ½‖u − u†‖² in a number t that is added to all costs of one label, for t "
    "on a grid of [−1, 1]; 6 × 6 pixels, 3 labels, λ = 0.3, float64. jump: the largest difference "
    "of neighbours on the grid, relative to the range of all.",
    "segmentation: mosaics of 48 × 48 pixels and two cells for each label, of scikit-image's "
    "brick, grass and gravel, a third as large, and, as a fourth, the brick turned; 32 from the "
    "left halves to learn from and 16 from the right ones. c is linear in the logarithms of the "
    "local energies (5 × 5) of 24 cosine filters, and begins at a logistic regression of pixels. "
    "right: share of pixels. Adam, mini-batches of 4, 6 epochs, of the implicit method 2, which "
    "take as long or longer; seconds: of training, one core.",
]
SEEDS = (0, 1, 2)
SIZE, DEPTH = 48, 20
EPOCHS = {"squares": 6, "entropies": 6, "implicit": 2}
GRIDS = {"squares": (50, 500, 5000), "entropies": (50, 500, 5000), "implicit": (50, 500)}


def run(_data: Path, _seed: int) -> Iterator[dict[str, object]]:
    """A row for each grid, and for each number of labels and method."""
    yield from kinks()
    for labels in (3, 4):
        yield from segmented(labels)


def relaxed(method: str, costs: Tensor, weight: float | Tensor, rule: ed.StepSizes) -> Tensor:
    """u of these costs, ``(batch, labels, rows, columns)``, and λ."""
    labels, *size = costs.shape[1:]
    pixels = torch.arange(size[0] * size[1]).view(1, *size).expand(labels, *size)
    G = ed.Tilted(ed.GroupSum(ed.Simplex(), pixels), costs)
    K, domain = ed.Gradient(axes=(-2, -1)), (labels, *size)
    b = costs.new_zeros((len(costs), 2, *domain))
    if method == "implicit":
        huber, square = ed.Huber(weight, 0.1), ed.SquaredL2(0.5)
        smoothed = ed.InverseProblem(A=K, data=huber, F=square, G=G, domain=domain)
        tol, minres = (1e-9, (1e-9, 2000)) if costs.dtype == torch.float64 else (1e-2, (0.1, 20))
        layer: nn.Module = ed.Solved(smoothed, tol, ed.Implicit(solver=ed.Minres(*minres)))
    else:
        problem = ed.InverseProblem(A=K, data=ed.L1(weight), G=G, domain=domain)
        layer = ed.Unrolled(problem, DEPTH, rule, ed.Last())
    u: Tensor = layer(b)
    return u


def kinks() -> Iterator[dict[str, object]]:
    """How large the jumps of the derivative are, on finer and finer grids."""
    truth = functional.one_hot(torch.arange(6) // 2).T[None, :, None].expand(1, 3, 6, 6).double()
    costs = 0.6 * torch.randn(1, 3, 6, 6, dtype=torch.float64) - truth
    first = torch.eye(3, dtype=torch.float64)[:1, :, None, None]
    rules = {
        "squares": ed.StepSizes.fixed(0.35, 0.35),
        "entropies": ed.Entropy(ed.StepSizes.fixed(0.6, 0.6)),
    }
    for method, grids in GRIDS.items():
        rule = rules.get(method, ed.StepSizes.balanced())
        for points in grids:
            t = torch.linspace(-1, 1, points, dtype=torch.float64, requires_grad=True)
            u = relaxed(method, costs + t.view(-1, 1, 1, 1) * first, 0.3, rule)
            (slopes,) = torch.autograd.grad((u - truth).square().sum() / 2, t)
            jump = slopes.diff().abs().max() / (slopes.max() - slopes.min())
            yield {"what": "kinks", "method": method, "points": points, "jump": float(jump)}


class Segmentation(nn.Module):
    """Labels of pixels from features, by costs that are linear in them, λ and steps."""

    def __init__(self, method: str, logits: nn.Conv2d) -> None:
        super().__init__()
        self.method, self.costs = method, nn.Conv2d(logits.in_channels, logits.out_channels, 1)
        for mine, theirs in zip(self.costs.parameters(), logits.parameters(), strict=True):
            mine.data = -theirs.data
        self.log_weight = nn.Parameter(torch.zeros(()))
        self.rule = ed.StepSizes.learned(relative=True)
        self.rule.prepare(ed.Gradient(axes=(-2, -1)), DEPTH)
        if method == "entropies":
            self.rule = ed.Entropy(self.rule)

    def forward(self, features: Tensor) -> Tensor:
        return relaxed(self.method, self.costs(features), self.log_weight.exp(), self.rule)


def segmented(labels: int) -> Iterator[dict[str, object]]:
    """The share of pixels that are right, of pixels alone and by each method."""
    some, others = mosaics(labels, 32, 0), mosaics(labels, 16, 1)
    x, y = features(some[0]), features(others[0])
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    x, y = (x - mean) / std, (y - mean) / std
    logits = nn.Conv2d(x.shape[1], labels, 1)
    optimizer = torch.optim.Adam(logits.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(logits(x), some[1]).backward()
        optimizer.step()
    truth = functional.one_hot(some[1], labels).movedim(-1, 1).float()
    row: dict[str, object] = {"what": "segmentation", "labels": labels}
    yield {**row, "method": "pixels", "right": right(logits, y, others[1]), "seconds": 0.0}
    for method, epochs in EPOCHS.items():
        model, begun = Segmentation(method, logits), time.process_time()
        fit(
            model,
            x,
            truth,
            epochs=epochs,
            batch_size=4,
            optimizer="adam",
            lr=0.05,
            schedule="cosine",
        )
        seconds = time.process_time() - begun
        yield {**row, "method": method, "right": right(model, y, others[1]), "seconds": seconds}


@torch.no_grad()
def right(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    """The share of pixels whose largest label is the true one."""
    return float((model(x).argmax(1) == labels).float().mean())


def mosaics(labels: int, count: int, half: int) -> tuple[Tensor, Tensor]:
    """Images ``(count, 1, 48, 48)`` and the label of each pixel, of one half of each texture."""
    textures = []
    for each in (data.brick(), data.grass(), data.gravel(), data.brick().T)[:labels]:
        t = functional.avg_pool2d(torch.tensor(each.copy()).float()[None], 3)[0]
        textures.append(((t - t.mean()) / t.std()).chunk(2, 1)[half])
    grid = torch.stack(torch.meshgrid(*[torch.arange(SIZE)] * 2, indexing="ij"), -1).float()
    images, found = [], []
    for _ in range(count):
        centres = SIZE * torch.rand(2 * labels, 2)
        nearest = (grid[..., None, :] - centres).norm(dim=-1).argmin(-1)
        found.append(nearest % labels)
        image = torch.zeros(SIZE, SIZE)
        for label, texture in enumerate(textures):
            top, left = (int(torch.randint(n - SIZE + 1, ())) for n in texture.shape)
            piece = texture[top : top + SIZE, left : left + SIZE]
            image = torch.where(found[-1] == label, piece, image)
        images.append(image)
    return torch.stack(images)[:, None], torch.stack(found)


def features(images: Tensor) -> Tensor:
    """Logarithms of local energies of cosine filters, ``(count, 24, 48, 48)``."""
    kernels = cosines(24, 5, seed=0, noise=0.0)
    padded = functional.pad(images, [2] * 4, mode="reflect")
    energies = functional.conv2d(padded, kernels).square()
    pooled = functional.avg_pool2d(functional.pad(energies, [2] * 4, mode="reflect"), 5, 1)
    return (pooled + 1e-2).log()
