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
# Geometric: Huber's total variation, and an elastic net
# ------------------------------------------------------
# Both are strongly convex with γ = 1, and so are the conjugates, with δ = 0.05/0.15 that of Huber's
# function, and 1 that of ‖Ax − b‖²/2. With μ = 2√δ/‖K‖, σ = μ/2δ, τ = μ/2 and θ = 1/(1 + μ) the
# error falls by about θ an iteration, and the average weighs iterate k by θ^−k.


def geometric(problem, observed, norm, delta):
    mu = 2 * delta**0.5 / norm
    theta = 1 / (1 + mu)
    fixed = mu / (2 * delta) * ones, mu / 2 * ones, theta * ones
    return theta, excess(problem, observed, fixed, theta ** -torch.arange(130), range(10, 130, 10))


smooth = ed.Problem(F=ed.Huber(0.15, 0.05, dim=1), G=ed.SquaredL2(), K=ed.Gradient())
A = torch.randn(60, 100)
b = A[:, :5].sum(1, keepdim=True).T + 0.1 * torch.randn(1, 60)
net = ed.InverseProblem(A=ed.Dense(A), data=ed.SquaredL2(), G=ed.ElasticNet(2.0, 1.0))
theta = {}
for name, posed in {
    "Huber's total variation": (smooth, noisy, 8**0.5, 0.05 / 0.15),
    "elastic net": (net, b, float(torch.linalg.matrix_norm(A, 2)), 1.0),
}.items():
    theta[name], errors[name] = geometric(*posed)

# %%
# What came out
# -------------
# As proved, in all four. The last iterate, of which the theorems say less, is ahead of the average
# where something is strongly convex, and level with it in this game. Slopes are fitted from N = 80
# on; of the other two it is the factor of an iteration, beside θ.

figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
for axis, (name, error) in zip(axes, errors.items(), strict=True):
    N = np.arange(10, 130, 10) if name in theta else np.array(depths)
    draw = axis.semilogy if name in theta else axis.loglog
    for kind, column in zip(("last iterate", "average"), error.T, strict=True):
        draw(N, column, "o-", label=kind)
        if name in theta:
            seen = column > 1e-9 * column[0]
            factor = np.exp(np.polyfit(N[seen], np.log(column[seen]), 1)[0])
            print(f"{name}, {kind}: {factor:.3f} an iteration; θ is {theta[name]:.3f}")
        else:
            slope = np.polyfit(np.log(N[N >= 80]), np.log(column[N >= 80]), 1)[0]
            print(f"{name}, {kind}: slope {slope:.2f}")
    axis.set(title=name, xlabel="iterations N")
axes[0].set_ylabel("energy above the optimum")
axes[0].legend()
plt.show()

# %%
# For longer
# ----------
# On three sets of data, to 5,120 iterations (``make relatives``): the exponent of N, or the factor
# of an iteration. In games the last iterate falls faster at last, once it knows the support.
#
# .. measured:: relatives/ergodic_rates.json
#    :by: problem
#
#    problem | problem
#    proved | proved | .3f | output=average
#    average | found | .3f | output=average
#    last iterate | found | .3f | output=last iterate
