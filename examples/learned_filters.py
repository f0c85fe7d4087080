"""
Learned filters against total variation
=======================================

Total variation asks for small differences between neighbours. Filters that are learned from pieces
of photographs, in eight iterations, ask better questions of a photograph that they have not seen.

:Application: images, denoising
:Regulariser: total variation, learned filters, ℓ1 analysis
:Algorithm: unrolled, last iterate, solve, Adam
"""

import matplotlib.pyplot as plt
import torch
from skimage import data

import ergodual as ed
from ergodual.bilevel import fit

# %%
# Pieces of four photographs to learn from, and a part of a fifth to measure on; σ = 25/255.

torch.manual_seed(0)
SIGMA = 25 / 255


def photograph(image: object) -> torch.Tensor:
    gray = torch.as_tensor(image).float() / 255
    return gray.mean(-1) if gray.ndim == 3 else gray


learned_from = [data.camera(), data.coins(), data.astronaut(), data.coffee()]
pieces = torch.cat(
    [
        photograph(image).unfold(0, 32, 32).unfold(1, 32, 32).reshape(-1, 1, 32, 32)
        for image in learned_from
    ]
)
noisy_pieces = pieces + SIGMA * torch.randn_like(pieces)
image = photograph(data.chelsea())[None, None, 50:242, 100:292]
noisy = image + SIGMA * torch.randn_like(image)
print(f"{len(pieces)} pieces of 32 × 32")


def psnr(x: torch.Tensor) -> float:
    return float(-10 * (x - image).square().mean().log10())


# %%
# The obvious way: total variation with the best weight of a grid
# ---------------------------------------------------------------

found = {}
for weight in (0.04, 0.06, 0.08, 0.1, 0.12):
    tv = ed.Problem(F=ed.L21(weight, dim=1), G=ed.SquaredL2(), K=ed.Gradient(axes=(-2, -1)))
    found[weight] = ed.solve(tv, noisy, tol=1e-4).x
    print(f"weight {weight:<5} {psnr(found[weight]):.2f} dB")
best = max(found.values(), key=psnr)

# %%
# The better way: 24 filters of 5 × 5
# -----------------------------------
# They start as the cosine transform without its mean. ``Last`` is the output for a squared data
# term.

cosines = ed.Dense.dct(5).matrix.detach()
kernel = torch.einsum("ai,bj->abij", cosines, cosines).reshape(25, 1, 5, 5)[1:]
problem = ed.Problem(F=ed.L1(0.05), G=ed.SquaredL2(), K=ed.Conv(0.3 * kernel))
steps = ed.StepSizes.learned(relative=True)
model = ed.Unrolled(problem, depth=8, steps=steps, output=ed.Last())
options = {"batch_size": 8, "optimizer": "adam", "lr": 1e-2, "schedule": "cosine"}
fit(model, noisy_pieces, pieces, epochs=4, **options)
with torch.no_grad():
    learned = model(noisy)
pictures = {"noisy": noisy, "total variation": best, "learned": learned}
for name, x in pictures.items():
    print(f"{name:<15} {psnr(x):.2f} dB")

# %%

figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
tiles = problem.K.kernel.detach().view(4, 6, 5, 5)
sheet = torch.nn.functional.pad(tiles, (0, 1, 0, 1)).permute(0, 2, 1, 3).reshape(24, 36)
for axis, (title, x) in zip(axes, pictures.items(), strict=False):
    axis.imshow(x[0, 0], cmap="gray", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])
axes[3].imshow(sheet, cmap="gray")
axes[3].set(title="the filters", xticks=[], yticks=[])
plt.show()
