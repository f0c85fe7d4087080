"""
After the paper: networks with accelerated steps
================================================

Le, Repetti and Pustelnik ("Unfolded proximal neural networks for robust image Gaussian denoising",
IEEE TIP 2024) unfold denoising, min_x ½‖x − y‖² + F(Kx), in four ways, with an operator of each
layer. Two of them are Chambolle–Pock: with steps that stay (DCP), and with those that use the
strong convexity of ½‖x − y‖² (DScCP), θ_k = 1/√(1 + 2τ_k), τ_{k+1} = θ_k τ_k, σ_{k+1} = σ_k/θ_k.
They find the accelerated network ahead. Is it here?

:Application: images, denoising
:Regulariser: ℓ1 analysis, learned
:Algorithm: unrolled, accelerated steps, last iterate, Adam
"""

import matplotlib.pyplot as plt
import torch
from skimage import data
from torch import nn

import ergodual as ed
from ergodual.bilevel import fit
from ergodual.images import NoisyCrops, add_noise, denoise, psnr
from ergodual.images.loss import InteriorError
from ergodual.images.networks import Centred, cosines

# %%
# Four photographs to learn from, and a fifth to measure on
# ---------------------------------------------------------

SIGMA, DEPTH = 25 / 255, 10


def grey(image: object) -> torch.Tensor:
    pixels = torch.as_tensor(image).float() / 255
    return (pixels if pixels.ndim == 2 else pixels.mean(-1))[None]


names = (data.camera, data.coins, data.astronaut, data.coffee)
photographs = [grey(name()) for name in names]
image = grey(data.chelsea())[:, 40:232, 100:292]
noisy = add_noise(image, SIGMA)

# %%
# One operator: the algorithm
# ---------------------------
# Before anything is learned all layers are one problem, whose solution both kinds of steps tend to.
# Acceleration is for the long run.


def layer(seed: int) -> ed.Problem:
    K = ed.Conv(cosines(16, 5, seed), padding="none")
    return ed.Problem(ed.L1(nn.Parameter(torch.full((16, 1, 1), 0.25))), ed.SquaredL2(), K)


rules = {"plain": ed.StepSizes.balanced, "accelerated": lambda: ed.StepSizes.accelerated(1.0)}
one, b = layer(0).double(), (noisy - noisy.mean())[None].double() / SIGMA
solution = ed.solve(one, b, tol=1e-8).x
depths, courses = [2**k for k in range(10)], {}
for name, rule in rules.items():
    with torch.no_grad():
        found = [ed.Unrolled(one, d, rule(), ed.Last())(b) for d in depths]
    courses[name] = [float((x - solution).norm() / solution.norm()) for x in found]
    print(f"{name}: {courses[name][3]:.0e} after 8, {courses[name][-1]:.0e} after 512 iterations")

# %%
# An operator of each layer: networks
# -----------------------------------
# Ten layers, learned in the same way; the third learns all σ_k, τ_k and θ_k besides.

theta = nn.Parameter(torch.ones(DEPTH))
learned = ed.StepSizes.learned(per_iteration=True, theta=theta, relative=True)
crops = NoisyCrops(photographs, 40, SIGMA, batches_an_epoch=30, batch_size=4)
options = {"optimizer": "adam", "lr": 0.01, "lr_scale": 3.0, "schedule": "cosine", "clip": 1.0}
found = {"noisy": noisy}
for name, steps in {**{name: rule() for name, rule in rules.items()}, "learned": learned}.items():
    layers = [layer(k) for k in range(DEPTH)]
    model = Centred(ed.Unrolled(layers, steps=steps, output=ed.Last()))
    fit(model, crops, epochs=10, batch_size=4, loss=InteriorError(), warmup=20, **options)
    found[name] = denoise(model, noisy, SIGMA)
    print(f"{name:<11} {psnr(found[name], image):.2f} dB")

# %%

figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
for name, course in courses.items():
    axis.loglog(depths, course, ".-", label=name)
axis.set(xlabel="iterations with one operator", ylabel="relative distance to the solution")
axis.legend()
figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
for axis, (name, x) in zip(axes, found.items(), strict=True):
    axis.imshow(x[0], cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{name}, {psnr(x, image):.2f} dB", xticks=[], yticks=[])
plt.show()

# %%
# What came out
# -------------
# **Acceleration does not pay here**, neither for the algorithm, which is behind with it for the
# first hundred iterations with these filters, nor for networks. Learning the steps does, from ten
# layers on. Learned from 380 images and measured on Set12 (``make relatives``):
#
# .. measured:: relatives/accelerated_networks.json
#    :by: layers
#
#    layers | layers
#    plain steps, dB | set12 | .2f | steps=plain
#    accelerated | set12 | .2f | steps=accelerated
#    learned | set12 | .2f | steps=learned
#    learned, seconds of learning | seconds | .0f | steps=learned
#
# Their networks are larger, learned for longer, and for several levels of noise; that the order of
# theirs does not come out at this size says no more than that.
