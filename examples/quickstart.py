"""
Quickstart: learn a regulariser
===============================

Signals were stored with 3 bits. We restore them by minimising the ℓ1 norm of Kx over the cells of
the quantizer, first with a K from the textbook, then with one that is learned from examples.
Beside the core it needs matplotlib (``pip install '.[report]'``).

:Application: 1-D signals, dequantization
:Regulariser: ℓ1 analysis, learned operator
:Algorithm: unrolled, averages
"""

import matplotlib.pyplot as plt
import torch

import ergodual as ed
from ergodual.bilevel import fit

# %%
# Data
# ----
# Signals of 64 samples that are straight between four corners, and what 3 bits leave of them: the
# true sample lies within half a step of the stored one.

torch.manual_seed(0)
step = 2 / 2**3


def signals(count: int) -> torch.Tensor:
    corners, slopes = torch.rand(count, 4, 1), torch.randn(count, 4, 1)
    x = (slopes * (torch.linspace(0, 1, 64) - corners).clamp(min=0)).sum(1)
    x = x - x.mean(1, keepdim=True)
    return 0.95 * x / x.abs().amax(1, keepdim=True)


def quantized(x: torch.Tensor) -> torch.Tensor:
    return ((x / step).floor() + 0.5) * step


def snr(estimate: torch.Tensor, x: torch.Tensor) -> float:
    ratio = x.square().sum(1) / (estimate - x).square().sum(1)
    return float((10 * ratio.log10()).mean())


x_true, held_out = signals(4000), signals(200)
x_tilde, stored = quantized(x_true), quantized(held_out)

# %%
# The problem, and a layer that solves it
# ---------------------------------------
# minimise ‖K(x̃ + r)‖₁ subject to ‖r‖_∞ ≤ step/2. ``Unrolled`` stops the Chambolle–Pock algorithm
# after 16 iterations and averages them with weights ∝ 1/k; K starts as the cosine transform.

problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=step / 2), K=ed.Dense.dct(64))
model = ed.Unrolled(problem, depth=16, steps=ed.StepSizes.weighted(10))
with torch.no_grad():
    with_cosines = model(stored)

# %%
# Learning
# --------
# ``fit`` is a training loop; the gradient in K is exact and comes from the adjoint iteration.

history = fit(model, x_tilde, x_true, epochs=15, optimizer="adam", lr=1e-3)
with torch.no_grad():
    learned = model(stored)
print(f"stored           {snr(stored, held_out):.2f} dB")
print(f"cosine transform {snr(with_cosines, held_out):.2f} dB")
print(f"learned K        {snr(learned, held_out):.2f} dB, on signals that it has not seen")

# %%
# A signal that it has not seen, and the loss of each epoch
# ---------------------------------------------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.step(range(64), stored[0], color="0.7", where="mid", label="stored")
left.plot(with_cosines[0], label="cosine transform")
left.plot(learned[0], label="learned")
left.plot(held_out[0], "k:", label="true")
left.legend()
losses = [epoch.train_loss for epoch in history.epochs]
right.semilogy(losses, "o-")
right.set(xlabel="epoch", ylabel="training loss")
plt.show()
