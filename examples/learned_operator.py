"""
Learning an analysis operator for 1-D signals
=============================================

Total variation is made for steps. These signals have ramps, steps and waves, and short filters that
are learned by the gradient through the iterations describe them better.

:Application: 1-D signals, denoising
:Regulariser: total variation, ℓ1 analysis, learned filters
:Algorithm: unrolled, last iterate, Adam
"""

import matplotlib.pyplot as plt
import torch

import ergodual as ed
from ergodual.bilevel import fit

# %%
# Each signal is a sum of a ramp, a step and a wave; the noise has a standard deviation of 0.2.

torch.manual_seed(0)
time = torch.linspace(0, 1, 128)


def signals(count: int) -> torch.Tensor:
    ramp, place, height, pitch = torch.randn(4, count, 1)
    step = height * (time > place.sigmoid())
    return (ramp * time + step + 0.5 * torch.sin(6 * (4 + pitch) * time)).unsqueeze(1)


truth, held_out = signals(1000), signals(200)
noisy, noisy_held_out = (
    truth + 0.2 * torch.randn_like(truth),
    held_out + 0.2 * torch.randn_like(held_out),
)


def error(estimate: torch.Tensor) -> float:
    return float((estimate - held_out).square().mean().sqrt())


# %%
# The obvious way: total variation, with the best weight of a grid
# ----------------------------------------------------------------
# Every weight is a problem that is solved for all signals. One number is all that a grid can find.

errors = {}
for weight in (0.02, 0.05, 0.1, 0.2, 0.4):
    tv = ed.Problem(F=ed.L1(weight), G=ed.SquaredL2(), K=ed.Gradient(axes=-1))
    errors[weight] = error(ed.solve(tv, noisy_held_out, tol=1e-4).x)
    print(f"weight {weight:<5} error {errors[weight]:.4f}")

# %%
# The better way: filters that are learned
# ----------------------------------------
# Sixteen filters of nine taps, 16 iterations, the last iterate: with a squared data term an average
# would hold a part of the noisy start. The gradient in all 144 numbers costs two more sweeps.

problem = ed.Problem(F=ed.L1(0.05), G=ed.SquaredL2(), K=ed.Conv(0.1 * torch.randn(16, 1, 9)))
steps = ed.StepSizes.learned(relative=True)
model = ed.Unrolled(problem, depth=16, steps=steps, output=ed.Last())
history = fit(model, noisy, truth, epochs=10, optimizer="adam", lr=3e-3, schedule="cosine")
with torch.no_grad():
    learned = model(noisy_held_out)
print(f"noisy                {error(noisy_held_out):.4f}")
print(f"best total variation {min(errors.values()):.4f}")
print(f"learned filters      {error(learned):.4f}")

# %%
# No learned filter has a mean to speak of: what is constant costs nothing, as with total variation.

filters = problem.K.kernel.detach().squeeze(1)
print(
    "sum of a filter over its size:",
    round(float((filters.sum(1) / filters.abs().sum(1)).abs().max()), 2),
)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot(time, noisy_held_out[0, 0], color="0.8", label="noisy")
left.plot(time, learned[0, 0], label="learned")
left.plot(time, held_out[0, 0], "k:", label="true")
left.legend()
strongest = filters.norm(dim=1).argsort(descending=True)[:5]
right.plot(filters[strongest].T, "o-")
right.set(title="the five strongest filters", xlabel="tap")
plt.show()
