"""Whether given steps let the iteration converge."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Size, Tensor

from ergodual.errors import StepSizeWarning
from ergodual.functions.learned_prox import learned_in
from ergodual.instance import Instance
from ergodual.operators import Diagonal, Operator, Stack
from ergodual.operators.norms import MARGIN, lanczos_bound
from ergodual.operators.unmatched import is_unmatched
from ergodual.primal_dual.plan import as_met
from ergodual.primal_dual.steps import Steps

LIMIT = 4 / 3
"""Up to this σ τ ‖K‖² the iteration with θ = 1 converges (He, Ma, Xu, Yuan, "A generalized
primal-dual algorithm with improved convergence condition", 2022)."""


def warn_of_steps(instances: Sequence[Instance], steps: Steps) -> None:
    """Warn where σ τ ‖K‖² of an iteration is above 4/3, or 1 where iterations are relaxed.

    Of steps by part, where that of a part is; of each coordinate, where ‖diag(σ)^½ K diag(τ)^½‖² is
    (Pock, Chambolle, ICCV 2011). The norms are estimates that lie below. Of operators whose way
    back is not their adjoint, and of modules in the place of proxes, nothing is said: no steps let
    their iterations converge.
    """
    limit = LIMIT if steps.rho is None else 1.0
    with torch.no_grad():
        sigma, tau, parts = as_met(instances, steps)
        if tau.ndim == 1 and parts is not None:
            sigma = steps.sigma
        pairs = {
            id(one.K): one.K
            for one in instances
            if not is_unmatched(one.K) and not learned_in((one.F, one.G))
        }
        # the largest product of each operator's iterations
        of = {key: [k for k, one in enumerate(instances) if id(one.K) == key] for key in pairs}
        products = [
            found
            for key, K in pairs.items()
            for found in _products(K, sigma[of[key]], tau[of[key]], instances[0].domain, limit)
        ]
    worst = max(products, default=0.0)
    if worst > limit:
        warnings.warn(
            f"sigma tau |K|^2 of the given steps is {worst:.3g}, and above {limit:.3g} the "
            "iteration may diverge; take smaller ones, or StepSizes.balanced(), which follow |K|.",
            StepSizeWarning,
            stacklevel=2,
        )


def _products(K: Operator, sigma: Tensor, tau: Tensor, domain: Size, limit: float) -> list[float]:
    if sigma.ndim == tau.ndim == 1:
        return [_product(K, float((sigma * tau).max()), domain, limit)]
    parts = K.operators() if isinstance(K, Stack) else []
    if tau.ndim > 1 or sigma.shape[1:] != (len(parts),):
        return [_between(K, *each, domain) for each in _different(sigma, tau)]
    largest = (sigma * tau[:, None]).amax(0).tolist()
    return [_product(part, s, domain, limit) for part, s in zip(parts, largest, strict=False)]


def _different(sigma: Tensor, tau: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The steps of iterations that do not repeat those before."""
    found: list[tuple[Tensor, Tensor]] = []
    for pair in zip(sigma, tau, strict=True):
        if not found or not all(map(torch.equal, pair, found[-1])):
            found.append(pair)
    return found


def _between(K: Operator, sigma: Tensor, tau: Tensor, domain: Size) -> float:
    """‖diag(σ)^½ K diag(τ)^½‖², from below."""
    scaled = Diagonal(sigma.sqrt()) @ K @ Diagonal(tau.sqrt())
    return (lanczos_bound(scaled, domain) / MARGIN) ** 2


def _product(K: Operator, steps: float, domain: Size, limit: float) -> float:
    """σ τ ‖K‖² with an estimate from below of the norm, where it may matter."""
    above = steps * K.norm_bound(domain) ** 2
    if above <= limit:
        return above
    return steps * (lanczos_bound(K, domain) / MARGIN) ** 2
