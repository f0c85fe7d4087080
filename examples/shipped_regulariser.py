"""
A regulariser that was learned once
===================================

``natural-grey`` has learned to denoise nine photographs. It comes with the package, is convex, and
goes into other problems too: all that it has to be told is the noise.

:Application: images, denoising, inpainting
:Regulariser: total variation, learned filters
:Algorithm: solve
"""

import time

import matplotlib.pyplot as plt
import torch
from skimage import data

import ergodual as ed
from ergodual import images

# %%
# A part of a photograph that it has not seen, and two ways to spoil it: noise, or half of the
# pixels missing.

torch.manual_seed(0)
image = torch.from_numpy(data.camera() / 255).float()[None, None, 130:226, 200:296]
kept = ed.Diagonal((torch.rand(1, 96, 96) < 0.5).float())
tasks = {"noisy": (ed.Identity(), 25 / 255), "half of the pixels": (kept, 0.02)}
seen = {task: A(image) + noise * torch.randn_like(image) for task, (A, noise) in tasks.items()}


def psnr(x: torch.Tensor) -> float:
    return float(images.psnr(x[0, :, 8:-8, 8:-8], image[0, :, 8:-8, 8:-8]))


def solved(task: str, F: ed.Function, K: ed.Operator, tol: float = 1e-4) -> ed.Solution:
    problem = ed.InverseProblem(A=tasks[task][0], data=ed.SquaredL2(), F=F, K=K)
    return ed.solve(problem, seen[task], tol)


# %%
# The obvious way: total variation
# --------------------------------
# It has a weight for each task, here the best of a grid for this very image, which nobody can know
# who has not got the image already.

gradient = ed.Gradient(axes=(-2, -1))
variation: dict[str, ed.Solution] = {}
for task, (_, noise) in tasks.items():
    grid = [solved(task, ed.L21(c * noise, dim=1), gradient) for c in (0.03, 0.1, 0.4, 0.6, 0.8)]
    variation[task] = max(grid, key=lambda solution: psnr(solution.x))
    print(f"{task:<20} {psnr(variation[task].x):.2f} dB")

# %%
# The better way: filters that know photographs
# ---------------------------------------------
# Nothing is tuned. That each is solved as far as it should be, its certificate says.

regulariser = ed.load_regulariser("natural-grey")
learned: dict[str, ed.Solution] = {}
for task, (_, noise) in tasks.items():
    learned[task] = solved(task, *regulariser.terms(noise))
    print(f"{task:<20} {psnr(learned[task].x):.2f} dB, error {float(learned[task].error):.0e}")

# %%

figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained")
for row, task in zip(axes, tasks, strict=True):
    pictures = {task: seen[task], "total variation": variation[task].x}
    pictures |= {"natural-grey": learned[task].x, "as it was": image}
    for axis, (title, x) in zip(row, pictures.items(), strict=True):
        axis.imshow(x[0, 0], cmap="gray", vmin=0, vmax=1)
        axis.set(title=f"{title}, {psnr(x):.1f} dB" if x is not image else title)
        axis.set(xticks=[], yticks=[])
plt.show()

# %%
# What it has learned, and what accuracy costs
# --------------------------------------------
# The filters, the heaviest first; and how the certificate and the picture get better with time. The
# picture is there long before the last digits are, but only the certificate tells when.

order = regulariser.weight.flatten().argsort(descending=True)
tiles = regulariser.kernel[order].view(6, 8, 7, 7)
tiles = tiles / tiles.abs().amax((2, 3), keepdim=True)
sheet = torch.nn.functional.pad(tiles, (0, 1, 0, 1)).permute(0, 2, 1, 3).reshape(48, 64)
seconds, found = [], []
for tol in (1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5):
    begun = time.perf_counter()
    found.append(solved("half of the pixels", *regulariser.terms(0.02), tol))
    seconds.append(time.perf_counter() - begun)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
left.imshow(sheet, cmap="gray", vmin=-1, vmax=1)
left.set(title="48 filters", xticks=[], yticks=[])
middle.semilogy(seconds, [float(solution.error) for solution in found], "o-")
middle.set(xlabel="seconds", ylabel="certified error", xlim=0)
right.plot(seconds, [psnr(solution.x) for solution in found], "o-")
right.set(xlabel="seconds", ylabel="PSNR, dB", xlim=0)
plt.show()
