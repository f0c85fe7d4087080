"""
Weights that a network predicts
===============================

One weight of total variation has to do for what is smooth and for what is not. A small network
that sees the noisy picture predicts a weight for each pixel; the problem stays convex and can be
solved and certified for every picture.

:Application: images, denoising
:Regulariser: total variation, predicted weights
:Algorithm: unrolled, last iterate, solve, Adam
"""

import matplotlib.pyplot as plt
import torch
from skimage import data
from torch import nn

import ergodual as ed
from ergodual.bilevel import fit

# %%

torch.manual_seed(0)
SIGMA = 25 / 255


def photograph(image: object) -> torch.Tensor:
    gray = torch.as_tensor(image).float() / 255
    return gray.mean(-1) if gray.ndim == 3 else gray


pieces = torch.cat(
    [
        photograph(image).unfold(0, 32, 32).unfold(1, 32, 32).reshape(-1, 1, 32, 32)
        for image in (data.coins(), data.astronaut(), data.chelsea(), data.coffee())
    ]
)
noisy_pieces = pieces + SIGMA * torch.randn_like(pieces)
image = photograph(data.camera())[None, None, 100:292, 130:322]
noisy = image + SIGMA * torch.randn_like(image)


def psnr(x: torch.Tensor) -> float:
    return float(-10 * (x - image).square().mean().log10())


class Denoiser(nn.Module):
    """Total variation with one learned weight, or with a map of weights that is predicted."""

    def __init__(self, predicted: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.08))
        problem = ed.Problem(F=ed.L21(0.08, dim=1), G=ed.SquaredL2(), K=ed.Gradient(axes=(-2, -1)))
        self.layer = ed.Unrolled(problem, depth=24, output=ed.Last())
        self.network = None
        if predicted:
            first, last = nn.Conv2d(1, 16, 7, padding=3), nn.Conv2d(16, 1, 7, padding=3)
            self.network = nn.Sequential(first, nn.ReLU(), last)

    def function(self, x: torch.Tensor) -> ed.L21:
        if self.network is None:
            return ed.L21(self.weight, dim=1)
        return ed.L21(self.weight * self.network(x).exp().unsqueeze(1), dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x, F=self.function(x))


# %%
# The obvious way is one weight, learned; then a map. The gradient flows through the iterations into
# the weights and on into the network.

results = {}
for name, predicted in {"one weight": False, "predicted": True}.items():
    model = Denoiser(predicted)
    fit(model, noisy_pieces, pieces, epochs=3, batch_size=16, optimizer="adam", lr=3e-3)
    with torch.no_grad():
        results[name] = model(noisy)
    print(f"{name:<10} {psnr(results[name]):.2f} dB")

# %%
# The lower level is still total variation: it can be solved to the end, with a certificate.

with torch.no_grad():
    weights = model.function(noisy)
problem = model.layer.problem.with_functions(F=weights)
print(f"solved to a relative gap of {float(ed.solve(problem, noisy, tol=1e-4).error):.0e}")

figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
pictures = {"noisy": noisy[0, 0], **{name: x[0, 0] for name, x in results.items()}}
for axis, (title, x) in zip(axes, pictures.items(), strict=False):
    axis.imshow(x, cmap="gray", vmin=0, vmax=1)
    axis.set(title=title)
drawn = axes[3].imshow(weights.weight.detach()[0].squeeze(), cmap="magma")
figure.colorbar(drawn, ax=axes[3], shrink=0.7)
axes[3].set(title="the weights")
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()
