"""Whether given steps let the iteration converge."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Size, Tensor

from ergodual.errors import StepSizeWarning
from ergodual.operators import Operator, Stack
from ergodual.operators.norms import MARGIN, lanczos_bound
from ergodual.primal_dual.steps import Steps

LIMIT = 4 / 3
"""Up to this σ τ ‖K‖² the iteration with θ = 1 converges (He, Ma, Xu, Yuan, "A generalized
primal-dual algorithm with improved convergence condition", 2022)."""


def warn_of_steps(operators: Sequence[Operator], steps: Steps, domain: Size) -> None:
    """Warn where σ τ ‖K‖² of an iteration is above 4/3, or 1 where iterations are relaxed.

    Of steps by part, where that of a part is. The norms are estimates that lie below.
    """
    limit = LIMIT if steps.rho is None else 1.0
    with torch.no_grad():
        sigma, tau = steps.sigma.detach(), steps.tau.detach()
        pairs = {id(K): K for K in operators}
        # the largest product of each operator's iterations
        of = {key: [k for k, K in enumerate(operators) if id(K) == key] for key in pairs}
        products = [
            found
            for key, K in pairs.items()
            for found in _products(K, sigma[of[key]], tau[of[key]], domain, limit)
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
    if sigma.ndim == 1:
        return [_product(K, float((sigma * tau).max()), domain, limit)]
    parts = K.operators() if isinstance(K, Stack) else []
    largest = (sigma * tau[:, None]).amax(0).tolist()
    return [_product(part, s, domain, limit) for part, s in zip(parts, largest, strict=False)]


def _product(K: Operator, steps: float, domain: Size, limit: float) -> float:
    """σ τ ‖K‖² with an estimate from below of the norm, where it may matter."""
    above = steps * K.norm_bound(domain) ** 2
    if above <= limit:
        return above
    return steps * (lanczos_bound(K, domain) / MARGIN) ** 2
