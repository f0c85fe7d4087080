"""
[9] Rates of averages: the last iterate beside the average
==========================================================

Chambolle and Pock ("On the ergodic convergence rates of a first-order primal-dual algorithm", Math.
Prog. 2016) prove how fast the energy of an *average* of the iterates falls: like 1/N for any convex
problem, like 1/N² where one of its functions is strongly convex, and geometrically where both are.
The paper that this library began with averages for the same reason. Here are the three rates, and
beside each average the last iterate, of which they prove less.

:Application: matrix games, denoising, regression
:Regulariser: none, total variation, elastic net
:Algorithm: unrolled, averages, accelerated steps, certificates
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import ergodual as ed

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

# %%
# What is measured
# ----------------
# The energy above the optimum, of the last iterate and of an average, after N iterations: an
# ``Unrolled`` of depth N, with steps of each iteration's own. The optimum comes from ``solve``,
# whose gap says how well it is known.


def excess(problem, observed, steps, weights, depths):
    """Energy − optimum of the last iterate and of the average, for each depth."""
    solution = ed.solve(problem, observed, tol=1e-11, max_iterations=200_000)
    one = problem.instance(observed)
    shift = 0 if one.shift is None else one.shift
    solution_energy = one.primal(solution.x - shift)
    found = []
    with torch.no_grad():
        for N in depths:
            outputs = ed.Last(), ed.Ergodic(weights[:N] / weights[:N].sum())
            given = ed.StepSizes.fixed(*(numbers[:N] for numbers in steps[:3]))
            x = [ed.Unrolled(problem, N, given, output)(observed) for output in outputs]
            found.append([float(one.primal(r - shift) - solution_energy) for r in x])
    print(f"optimum known to {float(solution.gap):.0e}")
    return np.array(found)


depths = [10, 20, 40, 80, 160, 320, 640, 1280]

# %%
# 1/N: a matrix game
# ------------------
# min over x in the simplex of max_i (Kx)_i; its function is the conjugate of the simplex'
# indicator. Nothing here is strongly convex, and θ = 1.

K = 2 * torch.rand(100, 100) - 1
game = ed.InverseProblem(A=ed.Dense(K), data=ed.Conjugate(ed.Simplex()), G=ed.Simplex())
ones = torch.ones(max(depths))
step = 0.99 / torch.linalg.matrix_norm(K, 2)
equal = step * ones, step * ones, ones
errors = {"matrix game": excess(game, torch.zeros(1, 100), equal, ones, depths)}

# %%
# 1/N²: total variation denoising, with steps that change
# -------------------------------------------------------
# G = ‖r‖²/2 is strongly convex with γ = 1; the average weighs iterate k by σ_k.

x = torch.zeros(1, 48, 48)
x[:, 12:36, 12:30] = 1.0
noisy = x + 0.1 * torch.randn(x.shape)
rof = ed.Problem(F=ed.L21(0.15, dim=1), G=ed.SquaredL2(), K=ed.Gradient())
steps = ed.StepSizes.accelerated(strong_convexity=1.0)(rof.K, max(depths), x.shape[1:], x)
errors["total variation"] = excess(rof, noisy, steps, steps.sigma, depths)

# %%
# Geometric: an elastic net
# -------------------------
# The elastic net is strongly convex, and so is the conjugate of ‖Ax − b‖²/2, both with a constant
# of 1. With σ = τ = 1/‖A‖ and θ = 1/(1 + 2/‖A‖) the error falls by about θ an iteration, and the
# average weighs iterate k by θ^−k.

A = torch.randn(60, 100)
b = A[:, :5].sum(1, keepdim=True).T + 0.1 * torch.randn(1, 60)
net = ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2(), G=ed.ElasticNet(2.0, 1.0))
norm = float(torch.linalg.matrix_norm(A, 2))
theta = 1 / (1 + 2 / norm)
weights = theta ** -torch.arange(max(depths))
fixed = ones / norm, ones / norm, theta * ones
errors["elastic net"] = excess(net, b, fixed, weights, range(10, 130, 10))

# %%
# What came out
# -------------
# As proved, in all three. The last iterate, of which the theorems say less, is level with the
# average in the game, and ahead of it where something is strongly convex. Slopes are fitted from N
# = 80 on; for the elastic net it is the factor of an iteration, beside θ.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for axis, (name, error) in zip(axes, errors.items(), strict=True):
    N = np.arange(10, 130, 10) if name == "elastic net" else np.array(depths)
    draw = axis.semilogy if name == "elastic net" else axis.loglog
    for kind, column in zip(("last iterate", "average"), error.T, strict=True):
        draw(N, column, "o-", label=kind)
        if name == "elastic net":
            factor = np.exp(np.polyfit(N[N <= 80], np.log(column[N <= 80]), 1)[0])
            print(f"{name}, {kind}: {factor:.3f} an iteration; θ is {theta:.3f}")
        else:
            slope = np.polyfit(np.log(N[N >= 80]), np.log(column[N >= 80]), 1)[0]
            print(f"{name}, {kind}: slope {slope:.2f}")
    axis.set(title=name, xlabel="iterations N")
axes[0].set_ylabel("energy above the optimum")
axes[0].legend()
plt.show()
