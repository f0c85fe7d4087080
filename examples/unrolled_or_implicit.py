"""
The gradient of a solution: unrolled or implicit
================================================

How good is a weight λ of a lasso? The derivative of a loss in λ can go back through the iterations,
or come from the linear system of the active set at the solution. Both are exact, of different
things.

:Application: regression
:Regulariser: ℓ1
:Algorithm: unrolled, implicit, solve
"""

import time

import matplotlib.pyplot as plt
import torch

import ergodual as ed

# %%
# A lasso with 60 rows and 100 columns, of which eight count.

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
A, x_true = torch.randn(60, 100) / 8, torch.zeros(1, 100)
x_true[0, :8] = torch.randn(8)
b = x_true @ A.T + 0.05 * torch.randn(1, 60)


def problem(weight: torch.Tensor) -> ed.InverseProblem:
    return ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2(), F=ed.L1(weight))


def slope(layer: torch.nn.Module, weight: torch.Tensor) -> float:
    loss = (layer(b) - x_true).square().sum()
    return float(torch.autograd.grad(loss, weight)[0])


def solved_loss(weight: float) -> float:
    found = ed.solve(problem(torch.tensor(weight)), b, tol=1e-13)
    return float((found.x - x_true).square().sum())


by_differences = (solved_loss(0.05 + 1e-6) - solved_loss(0.05 - 1e-6)) / 2e-6

# %%
# The obvious way: through the iterations
# ---------------------------------------
# The gradient of d iterations is exact for these d iterations. It becomes that of the solution only
# as they converge, and needs all of them kept.

weight = torch.nn.Parameter(torch.tensor(0.05))
depths, errors = [8, 32, 128, 512, 2048], []
for depth in depths:
    started = time.perf_counter()
    model = ed.Unrolled(problem(weight), depth=depth, output=ed.Last())
    errors.append(abs(slope(model, weight) / by_differences - 1))
    took = time.perf_counter() - started
    print(f"d = {depth:<5} relative error {errors[-1]:.1e}   {1e3 * took:.0f} ms")

# %%
# The better way here: at the solution
# ------------------------------------
# ``Solved`` solves until the gap proves it, keeps nothing on the way, and the derivative is one
# linear system. Take this where the solution is what will be used, and ``Unrolled`` where a few
# iterations are.

started = time.perf_counter()
implicit = slope(ed.Solved(problem(weight), adjoint=ed.Implicit()), weight)
took = time.perf_counter() - started
error = abs(implicit / by_differences - 1)
print(f"implicit  relative error {error:.1e}   {1e3 * took:.0f} ms")

figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
axis.loglog(depths, errors, "o-", label="through d iterations")
axis.axhline(max(error, 1e-12), color="C1", label="implicit, at the solution")
axis.set(xlabel="d", ylabel="relative error of dL/dλ")
axis.legend()
plt.show()
