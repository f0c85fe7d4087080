"""
A function of your own
======================

A quantile of a noisy series, as smooth as one likes: the pinball loss is not in the catalogue, and
takes two methods to add.

:Application: 1-D signals, regression
:Regulariser: second differences, ℓ1 analysis
:Algorithm: solve, own function
"""

import matplotlib.pyplot as plt
import torch

import ergodual as ed

# %%
# Noise that grows along the series. We want the curve that nine values in ten lie below.

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
time = torch.linspace(0, 1, 120)
series = (torch.sin(6 * time) + (0.1 + 0.6 * time) * torch.randn(120))[None, None]
curvature = ed.Conv(torch.tensor([[[1.0, -2.0, 1.0]]]), padding="none").requires_grad_(False)

# %%
# The obvious way: autograd and subgradients
# ------------------------------------------
# Write the objective down and let an optimizer descend. Both terms have kinks, so the steps must
# shrink, and nothing says when it has arrived.


def pinball(r: torch.Tensor, q: float) -> torch.Tensor:
    return torch.maximum(-q * r, (1 - q) * r).flatten(1).sum(1)  # r = x − series


def objective(x: torch.Tensor) -> torch.Tensor:
    return 5 * curvature(x).abs().sum() + pinball(x - series, 0.9).sum()


x = series.clone().requires_grad_()
optimizer = torch.optim.Adam([x], lr=0.05)
decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 / (1 + k / 100))
for _ in range(3000):
    optimizer.zero_grad()
    objective(x).backward()
    optimizer.step()
    decay.step()
descended = x.detach()

# %%
# The better way: a value and a prox
# ----------------------------------
# The prox of the pinball loss moves a number down by (1 − q)τ or up by qτ, but not across 0.
# Everything else follows from these two: the conjugate's prox, and all derivatives.


class Pinball(ed.Function):
    separable = True
    per_sample = ()

    def __init__(self, q: float) -> None:
        super().__init__()
        self.q = q

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return pinball(x, self.q)

    def prox(self, z: torch.Tensor, step: torch.Tensor | float) -> torch.Tensor:
        return torch.where(z > 0, (z - (1 - self.q) * step).relu(), -(-z - self.q * step).relu())


ed.check_function(Pinball(0.9), like=series)  # raises a sentence if something is wrong

solution = ed.solve(ed.Problem(F=ed.L1(5.0), G=Pinball(0.9), K=curvature), series)
print(f"descent {float(objective(descended)):.4f}, solved {float(objective(solution.x)):.4f}")
print(f"certified to {float(solution.error):.1e} in {int(solution.iterations)} iterations")
print(f"below the curve: {float((series <= solution.x).double().mean()):.1%}")

figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
axis.plot(time, series[0, 0], ".", color="0.7")
axis.plot(time, descended[0, 0], label="3000 steps of descent")
axis.plot(time, solution.x[0, 0], label="solved")
axis.legend()
plt.show()
