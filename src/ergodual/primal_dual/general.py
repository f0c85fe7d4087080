"""The sweeps of iterations that are relaxed (see :class:`~ergodual.Relaxed`), that an entropy
measures, or whose coordinates have steps of their own: the plain ones, without the shortcuts that
need one number for all.

With a^k and b^k the gradients in r^k and y^k, S^k = σ_k δ_D^k, P^k = τ_k δ_P^k and V^k = K_kᵀ S^k,
all 0 beyond d,

    δ_P^k = prox'_{τG}(ρ_k a^k + (1 + θ_k) V^{k+1} + α_k g)
    a^{k−1} = δ_P^k + (1 − ρ_k) a^k − θ_k V^{k+1}
    δ_D^k = prox'_{σF*}(ρ_k c^k),   c^k = b^k − K_k P^k
    b^{k−1} = δ_D^k + (1 − ρ_k) c^k
    ∂L/∂K_k = S^k ⊗ (shift + r̄^{k−1}) − y^k ⊗ P^k
    ∂L/∂ρ_k = ⟨a^k, r̃^k − r^{k−1}⟩ + ⟨c^k, ỹ^k − y^{k−1}⟩

and the others as in :mod:`~ergodual.primal_dual.backward`, which this is for ρ = 1 and numbers.
With :class:`~ergodual.Entropy`, δ^k is the gradient in the logarithms of r^k, and of y^k, from
which the next step begins, and J^k is the derivative of the points in them:

    δ_P^k = δ_P^{k+1} + J_P^k ((1 + θ_k) V^{k+1} − θ_{k+1} V^{k+2} + α_k g)
    δ_D^k = δ_D^{k+1} − J_D^k K_k P^k
    ∂L/∂τ_k = −⟨δ_P^k, K_kᵀy^k + c⟩,   ∂L/∂σ_k = ⟨δ_D^k, K_k(shift + r̄^{k−1}) + offset⟩
"""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.functions import Function
from ergodual.primal_dual.entropy import Entropic
from ergodual.primal_dual.forward import start_of_average
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.primal_dual.plan import Plan
from ergodual.primal_dual.tape import Iterates, iterations, start
from ergodual.tensors import Number, dot


def record(plan: Plan) -> tuple[Tensor, list[Iterates]]:
    """x̂ and all iterates, without the arguments of proxes whose derivatives need none."""
    asked = {id(f): f.keeps_input() for one in plan.instances for f in (one.F, one.G)}
    x_hat, kept = start_of_average(plan.instances[0]), list[Iterates]()
    found = iterations(plan.instances, plan.sigma, plan.tau, plan.theta, plan.rho)
    for one, made, alpha in zip(plan.instances, found, plan.alpha, strict=True):
        x_hat.add_(made.primal, alpha=alpha)
        z_dual = made.z_dual if asked[id(one.F)] else None
        z_primal = made.z_primal if asked[id(one.G)] else None
        kept.append(made._replace(z_dual=z_dual, z_primal=z_primal))
    return x_hat, kept


def sweep_back(plan: Plan, iterates: list[Iterates], g: Tensor, wanted: Wanted) -> Gradients:
    """The gradients that are wanted, from g, that in x̂."""
    found, one = Gradients(wanted), plan.instances[0]
    iterates = [start(one), *iterates]
    b, V = one.zeros_dual(), torch.zeros_like(g)
    from_r, lead = torch.zeros_like(g), torch.zeros_like(g)  # their sum is a
    named: dict[str, list[Tensor]] = {
        name: [] for name in wanted.names & {"sigma", "tau", "theta", "rho", "weights"}
    }
    for k in range(plan.depth - 1, -1, -1):
        F, G, K, *_ = plan.instances[k]
        sigma, tau, theta = plan.sigma[k], plan.tau[k], plan.theta[k]
        rho = 1.0 if plan.rho is None else plan.rho[k]
        before, made, back = iterates[k], iterates[k + 1], plan.reversed[k]
        r_moved, y_moved = made.primal - before.r, made.dual - before.y

        a, into = from_r + lead, (1 + theta) * V + plan.alpha[k] * g
        if isinstance(G, Entropic):
            delta_P, of_G = G.step_vjp(made.z_primal, tau, from_r, into + lead, wanted)
        else:
            kept = made.primal if made.z_primal is None else made.z_primal
            delta_P, of_G = G.prox_vjp(kept, tau, into + rho * a, id(G) in wanted.modules)
        P = tau * delta_P
        KP = back(P)
        c = b - KP
        if isinstance(F, Entropic):
            delta_D, of_F = F.step_vjp(made.z_dual, sigma, b, -KP, wanted)
        else:
            kept = made.dual if made.z_dual is None else made.z_dual
            delta_D, of_F = F.prox_conjugate_vjp(kept, sigma, rho * c, id(F) in wanted.modules)
        S = sigma * delta_D

        found.add(G, of_G, 1.0)
        found.add(F, of_F, 1.0)
        if id(K) in wanted.modules:
            totals = found.totals(K)
            K.way_back_gradients_onto(totals, made.y, P, -1.0)
            K.gradients_onto(totals, S, _extrapolation(plan, iterates, k), 1.0)
        if "sigma" in named:
            way = _way(F, made.z_dual, before.z_dual, y_moved)
            named["sigma"].append(_in_step(sigma, delta_D * way, plan.parts))
        if "tau" in named:
            way = _way(G, made.z_primal, before.z_primal, r_moved)
            named["tau"].append(_in_step(tau, delta_P * way))
        if "theta" in named:
            named["theta"].append(dot(V, r_moved))
        if "rho" in named:
            named["rho"].append(dot(a, r_moved) + dot(c, y_moved))
        if "weights" in named:
            named["weights"].append(dot(made.primal, g))
        from_r, lead = delta_P + (1 - rho) * a, -theta * V
        b = delta_D + (1 - rho) * c
        V = back.adjoint(S, one.domain)
        found.add_named("offset", S)
        found.add_named("shift", V)
    if isinstance(G, Entropic):  # where it begins depends on the total
        begun, nothing = iterates[0].z_primal, torch.zeros_like(g)
        found.add(G, G.step_vjp(begun, 0.0, nothing, V + lead, wanted)[1], 1.0)
    found.add_named("shift", g)
    found.named |= {name: torch.stack(each[::-1]) for name, each in named.items()}
    return found


def _extrapolation(plan: Plan, iterates: list[Iterates], k: int) -> Tensor:
    """shift + r̄ before iteration k, of what is there before the first and after each."""
    one, newer = plan.instances[k], iterates[k].primal
    if k == 0:
        return one.estimate(newer)
    return one.estimate(torch.lerp(iterates[k - 1].r, newer, 1 + plan.theta[k - 1]))


def _way(f: Function, logs: Tensor | None, before: Tensor | None, moved: Tensor) -> Tensor:
    """How far a step has gone, in logarithms where an entropy measures it."""
    if not isinstance(f, Entropic):
        return moved
    assert logs is not None
    assert before is not None
    return logs - before


def _in_step(step: Number, slopes: Tensor, parts: list[int] | None = None) -> Tensor:
    """From δ ⊙ (what the prox gave − where it began), the gradient in the step."""
    if not isinstance(step, Tensor):
        return slopes.sum() / step
    each = (slopes / step).sum(0)
    return each if parts is None else torch.stack([t.sum() for t in torch.split(each, parts)])
