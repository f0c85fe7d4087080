"""Chambolle–Pock's accelerated iteration between two restarts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.solving.certificates import Pending
from ergodual.tensors import as_step, column


class Stretch(NamedTuple):
    """r^k, y^k, r̄^k, and by what σ has grown and τ has shrunk since the restart, ``(batch,)``."""

    r: Tensor
    y: Tensor
    bar: Tensor
    growth: Tensor


def accelerated(pending: Pending, start: Stretch, weight: Tensor, iterations: int) -> Stretch:
    """So many iterations of Algorithm 2 of Chambolle, Pock, JMIV 2011, from what ω makes the steps
    of a restart: θ_k = (1 + 2μτ_k)^(−½), τ_{k+1} = θ_k τ_k, σ_{k+1} = σ_k/θ_k, with G − ½μ‖·‖²
    convex. Where coordinates have τ of their own, the least decides on θ.
    """
    F, G, K = pending.instance.F, pending.instance.G, pending.instance.K
    r, y, bar = (t.clone() for t in start[:3])
    sigma_0, tau_0 = pending.steps(weight)
    least, growth = tau_0.flatten(1).amin(1), start.growth
    r_next, v, Ku = torch.empty_like(r), torch.empty_like(r), torch.empty_like(y)
    for _ in range(iterations):
        sigma, tau = as_step(sigma_0 * column(growth, y)), as_step(tau_0 / column(growth, r))
        # not K(shift + r̄), where a large constant in the shift would cost r̄ its digits
        K.forward_onto(pending.c, bar, 1.0, out=Ku)
        F.prox_conjugate_(torch.addcmul(y, Ku, sigma, out=y), sigma)
        K.adjoint_onto(r, y, -1.0, out=v, keep=0.0)
        G.prox_(torch.addcmul(r, v, tau, out=r_next), tau)
        theta = (1 + 2 * pending.mu * least / growth).rsqrt()
        torch.lerp(r, r_next, column(1 + theta, r), out=bar)
        r, r_next, growth = r_next, r, growth / theta
    return Stretch(r, y, bar, growth)
