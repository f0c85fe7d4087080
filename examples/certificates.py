"""
Certificates: when is a solution good enough?
=============================================

A fixed number of iterations is too many for most samples and too few for some, and nothing says
which. The duality gap does: no other point has an objective lower by more than it.

:Application: denoising, images
:Regulariser: total variation
:Algorithm: solve, unrolled
"""

import matplotlib.pyplot as plt
import torch
from skimage import data

import ergodual as ed

# %%
# 64 pieces of a photograph with noise, to be denoised by total variation.

torch.manual_seed(0)
photograph = torch.as_tensor(data.camera()).double() / 255
pieces = photograph.unfold(0, 32, 64).unfold(1, 32, 64).reshape(-1, 32, 32)
noisy = pieces + 0.1 * torch.randn_like(pieces)
tv = ed.Problem(F=ed.L21(0.1, dim=1), G=ed.SquaredL2(), K=ed.Gradient())


def objective(x: torch.Tensor) -> torch.Tensor:
    return tv.F.value(tv.K(x)) + tv.G.value(x - noisy)


# %%
# The obvious way: 200 iterations, and hope
# -----------------------------------------

with torch.no_grad():
    hoped = ed.Unrolled(tv, depth=200, output=ed.Last())(noisy)

# %%
# The better way: until the gap says so
# -------------------------------------
# Each sample is a problem of its own and leaves the batch when its gap, relative to the cost of
# doing nothing, is below the tolerance.

solution = ed.solve(tv, noisy, tol=1e-6)
print(f"solved: {int(solution.converged.sum())} of {len(noisy)}")
print(f"iterations: {int(solution.iterations.min())} to {int(solution.iterations.max())}")

# %%
# What 200 iterations were off by is known only now: no point has an objective below that of the
# solution less its gap.

lowest = objective(solution.x) - solution.gap  # no point is below
off = (objective(hoped) - lowest) / objective(noisy)
proven = solution.gap / objective(noisy)
print(f"after 200 iterations {float(off.max()):.1e} above the lowest possible in the worst piece")
print(f"after solve          {float(proven.max()):.1e}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.hist(solution.iterations.tolist(), bins=20)
left.set(xlabel="iterations that a piece needed", ylabel="pieces")
order = off.argsort()
right.semilogy(off[order].clamp(min=1e-12), label="200 iterations")
right.semilogy(proven[order].clamp(min=1e-12), label="solve, tol = 1e-6")
right.set(xlabel="piece", ylabel="gap, relative")
right.legend()
plt.show()
