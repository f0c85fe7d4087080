"""
[9] Rates of averages: the last iterate beside the average
==========================================================

Chambolle and Pock ("On the ergodic convergence rates of a first-order primal-dual algorithm", Math.
Prog. 2016) prove how fast the energy of an *average* of the iterates falls: like 1/N for any convex
problem, like 1/N² where one of its functions is strongly convex, and geometrically where both are.
The paper that this library began with averages for the same reason. Here are the three rates, and
beside each average the last iterate, of which they prove less; for a game, with entropies in the
place of squares too.

:Application: matrix games, denoising, regression
:Regulariser: none, total variation, elastic net
:Algorithm: unrolled, averages, accelerated steps, Bregman steps, certificates
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
# ``Unrolled`` of depth N. The optimum comes from ``solve``, whose gap says how well it is known.


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
            x = [ed.Unrolled(problem, N, steps, output)(observed) for output in outputs]
            found.append([float(one.primal(r - shift) - solution_energy) for r in x])
    print(f"optimum known to {float(solution.gap):.0e}")
    return np.array(found)


depths = [10, 20, 40, 80, 160, 320, 640, 1280]

# %%
# 1/N: a matrix game
# ------------------
# min over x in the simplex of max_i (Kx)_i; its function is the conjugate of the simplex'
# indicator. Nothing here is strongly convex, and θ = 1. Steps are 0.99/‖K‖; Bregman steps with
# entropies are 0.99/L with the norm from ℓ1 to ℓ∞, L = max_ij abs(K_ij), which does not grow with
# the game. The bounds of what is left are much alike, ‖K‖/N and L · 2 log 100/N: 11.4/N and 9.2/N.

K = 2 * torch.rand(100, 100) - 1
game = ed.InverseProblem(A=ed.Dense(K), data=ed.Conjugate(ed.Simplex()), G=ed.Simplex())
ones = torch.ones(max(depths))
euclidean, mirror = 0.99 / torch.linalg.matrix_norm(K, 2), 0.99 / K.abs().max()
rules = {
    "matrix game": ed.StepSizes.fixed(euclidean, euclidean),
    "matrix game, entropy": ed.Entropy(ed.StepSizes.fixed(mirror, mirror)),
}
start = torch.zeros(1, 100)
errors = {name: excess(game, start, rule, ones, depths) for name, rule in rules.items()}

# %%
# 1/N²: total variation denoising, with steps that change
# -------------------------------------------------------
# G = ‖r‖²/2 is strongly convex with γ = 1; the average weighs iterate k by σ_k.

x = torch.zeros(1, 48, 48)
x[:, 12:36, 12:30] = 1.0
noisy = x + 0.1 * torch.randn(x.shape)
rof = ed.Problem(F=ed.L21(0.15, dim=1), G=ed.SquaredL2(), K=ed.Gradient())
faster = ed.StepSizes.accelerated(strong_convexity=1.0)
sigma = faster(rof.K, max(depths), x.shape[1:], x).sigma
errors["total variation"] = excess(rof, noisy, faster, sigma, depths)

# %%
# Geometric: Huber's total variation, and an elastic net
# ------------------------------------------------------
# Both are strongly convex with γ = 1, and so are the conjugates, with δ = 0.05/0.15 that of Huber's
# function, and 1 that of ‖Ax − b‖²/2. With μ = 2√δ/‖K‖, σ = μ/2δ, τ = μ/2 and θ = 1/(1 + μ) the
# error falls by about θ an iteration, and the average weighs iterate k by θ^−k.


def geometric(problem, observed, norm, delta):
    mu = 2 * delta**0.5 / norm
    theta = 1 / (1 + mu)
    fixed = ed.StepSizes.fixed(mu / (2 * delta), mu / 2, theta)
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
# As proved, in all five. The last iterate, of which the theorems say less, is ahead of the average
# where something is strongly convex, level with it in this game, and far behind with entropies.
# **Entropies are behind squares here**, about five times, though their bound is the better one.
# Slopes are fitted from N = 80 on; of the other two it is the factor of an iteration, beside θ.

figure, axes = plt.subplots(1, 4, figsize=(12, 3.5), layout="constrained")
for place, (name, error) in zip([0, 0, 1, 2, 3], errors.items(), strict=True):
    axis, measured = axes[place], ", entropy" if name.endswith("entropy") else ""
    N = np.arange(10, 130, 10) if name in theta else np.array(depths)
    draw = axis.semilogy if name in theta else axis.loglog
    for kind, color, column in zip(("last iterate", "average"), ("C0", "C1"), error.T, strict=True):
        draw(N, column, "s--" if measured else "o-", color=color, label=kind + measured)
        if name in theta:
            seen = column > 1e-9 * column[0]
            factor = np.exp(np.polyfit(N[seen], np.log(column[seen]), 1)[0])
            print(f"{name}, {kind}: {factor:.3f} an iteration; θ is {theta[name]:.3f}")
        else:
            slope = np.polyfit(np.log(N[N >= 80]), np.log(column[N >= 80]), 1)[0]
            print(f"{name}, {kind}: slope {slope:.2f}")
    axis.set(title=name.removesuffix(", entropy"), xlabel="iterations N")
axes[0].set_ylabel("energy above the optimum")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
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
