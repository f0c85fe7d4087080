"""Step sizes σ and τ of the iteration, and its extrapolation θ."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.functions.base import Number, hold, require
from ergodual.operators import Operator
from ergodual.operators.norms import NormBound

SAFETY = 0.99
"""σ τ ‖K‖² = SAFETY² < 1 for the rules that follow ‖K‖."""
ZERO = "The operator K is zero, so 0.99 / ‖K‖ does not exist; give StepSizes.fixed(sigma, tau)."


class Steps(NamedTuple):
    """The numbers of one unrolled run: σ and τ of shape ``(depth,)``, θ of shape ``()``."""

    sigma: Tensor
    tau: Tensor
    theta: Tensor


class StepSizes(nn.Module):
    """A rule for the step sizes; make one with :meth:`fixed`, :meth:`balanced`, :meth:`weighted` or :meth:`learned`.

    Calling it with an operator and a depth gives :class:`Steps`.
    """

    def __init__(self, theta: Number = 1.0) -> None:
        super().__init__()
        hold(self, "theta", theta)

    @staticmethod
    def fixed(sigma: Number, tau: Number, theta: Number = 1.0) -> StepSizes:
        """Given σ and τ: positive numbers or tensors of shape ``()`` or ``(depth,)``; an nn.Parameter is learned."""
        return _Fixed(sigma, tau, theta)

    @staticmethod
    def balanced(theta: Number = 1.0, differentiate_norm: bool = False) -> StepSizes:
        """σ = τ = 0.99 / ‖K‖ (Brauer, Lorenz 2019), where ‖K‖ follows K by a certified upper bound."""
        return _Relative(1.0, theta, differentiate_norm)

    @staticmethod
    def weighted(weight: float, theta: Number = 1.0, differentiate_norm: bool = False) -> StepSizes:
        """σ = w · 0.99 / ‖K‖ and τ = 0.99 / (w ‖K‖).

        The gradient takes ‖K‖ as a constant unless ``differentiate_norm``; then every call needs the exact norm, by a
        singular value decomposition.
        """
        return _Relative(weight, theta, differentiate_norm)

    @staticmethod
    def learned(
        weight: float = 1.0,
        per_iteration: bool = False,
        theta: Number = 1.0,
        relative: bool = False,
    ) -> StepSizes:
        """log σ and log τ are parameters, one pair or a pair per iteration, and start as :meth:`weighted` does.

        With ``relative``, the parameters are log(σ‖K‖) and log(τ‖K‖) instead: the steps follow ‖K‖ while K is learned (the
        gradient takes it as a constant), so that σ τ ‖K‖², on which convergence hangs, moves by learning alone.
        """
        return _Learned(weight, per_iteration, theta, relative)

    def prepare(self, K: Operator, depth: int) -> None:
        """Make the parameters that depend on the operator or the depth; ``Unrolled`` calls this once."""

    def refresh(self, K: Operator) -> None:
        """Forget what was learned about ‖K‖ on the way here and take its exact value."""

    def forward(self, K: Operator, depth: int) -> Steps:
        """σ, τ and θ for this operator and depth."""
        raise NotImplementedError

    def _steps(self, sigma: Number, tau: Number, K: Operator, depth: int) -> Steps:
        like = K.tensors()[0]
        theta = torch.as_tensor(self.theta, dtype=like.dtype, device=like.device)
        pair = [
            torch.as_tensor(step, dtype=like.dtype, device=like.device) for step in (sigma, tau)
        ]
        for step in pair:
            if step.ndim > 1 or (step.ndim == 1 and len(step) != depth):
                raise ErgodualError(
                    f"The step sizes have shape {tuple(step.shape)}; give one number or one per iteration, here {depth}."
                )
        return Steps(pair[0].expand(depth), pair[1].expand(depth), theta)


class _Fixed(StepSizes):
    sigma: Number
    tau: Number

    def __init__(self, sigma: Number, tau: Number, theta: Number) -> None:
        super().__init__(theta)
        for name, step in (("sigma", sigma), ("tau", tau)):
            require(step > 0, f"The step size {name} is {step}; it must be positive.")
            hold(self, name, step)

    def forward(self, K: Operator, depth: int) -> Steps:
        return self._steps(self.sigma, self.tau, K, depth)


class _Relative(StepSizes):
    def __init__(self, weight: float, theta: Number, differentiate_norm: bool) -> None:
        super().__init__(theta)
        _check_weight(weight)
        self.weight = weight
        self.differentiate_norm = differentiate_norm
        self._bound = NormBound()

    def refresh(self, K: Operator) -> None:
        self._bound.refresh(K)

    def forward(self, K: Operator, depth: int) -> Steps:
        norm: Number = K.norm() if self.differentiate_norm else self._bound(K)
        require(norm > 0, ZERO)
        return self._steps(self.weight * SAFETY / norm, SAFETY / (self.weight * norm), K, depth)


class _Learned(StepSizes):
    log_sigma: Tensor
    log_tau: Tensor

    def __init__(self, weight: float, per_iteration: bool, theta: Number, relative: bool) -> None:
        super().__init__(theta)
        _check_weight(weight)
        self.weight = weight
        self.per_iteration = per_iteration
        self.relative = relative
        self._bound = NormBound()
        self.register_parameter("log_sigma", None)
        self.register_parameter("log_tau", None)

    def prepare(self, K: Operator, depth: int) -> None:
        if isinstance(self.log_sigma, Tensor):
            return
        like, norm = K.tensors()[0], 1.0 if self.relative else NormBound().refresh(K)
        start = torch.zeros(
            depth if self.per_iteration else (), dtype=like.dtype, device=like.device
        )
        self.log_sigma = nn.Parameter(start + math.log(self.weight * SAFETY / norm))
        self.log_tau = nn.Parameter(start + math.log(SAFETY / (self.weight * norm)))

    def refresh(self, K: Operator) -> None:
        if self.relative:
            self._bound.refresh(K)

    def forward(self, K: Operator, depth: int) -> Steps:
        self.prepare(K, depth)
        norm = self._bound(K) if self.relative else 1.0
        require(norm > 0, ZERO)
        return self._steps(self.log_sigma.exp() / norm, self.log_tau.exp() / norm, K, depth)


def _check_weight(weight: float) -> None:
    require(weight > 0, f"The step weight is {weight}; it must be positive (1 is balanced).")
