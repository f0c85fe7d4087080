"""Step sizes σ and τ of the iteration, and its extrapolation θ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Size, Tensor, nn

from ergodual.autocast import let_none_cast
from ergodual.errors import ErgodualError, NotFiniteError
from ergodual.instance import Instance
from ergodual.operators import Operator, Stack
from ergodual.tensors import Number, hold, real, require, revealed, shown

SAFETY = 0.99
"""σ τ ‖K‖² = SAFETY² < 1 for the rules that follow ‖K‖."""
LEAST = 1e-6
"""What a learned step may not fall below, relative to where it began."""
Operators = Operator | Sequence[Operator]
"""One operator for all iterations, or one for each."""


class Steps(NamedTuple):
    """The numbers of one unrolled run, for each iteration.

    Attributes
    ----------
    sigma
        ``(depth,)``, or ``(depth, parts)`` where the parts of a stack have dual steps of their own,
        or, of each coordinate, what broadcasts against ``(depth, *codomain)``.
    tau
        ``(depth,)``, or what broadcasts against ``(depth, *domain)``.
    theta
        ``(depth,)``: θ_k extrapolates from r^k.
    rho
        ``(depth,)``: ρ_k, how far an iteration goes along its step; None for 1, all the way.
    """

    sigma: Tensor
    tau: Tensor
    theta: Tensor
    rho: Tensor | None = None


class StepSizes(nn.Module):
    """A rule for the step sizes.

    Make one with :meth:`fixed`, :meth:`balanced`, :meth:`weighted`, :meth:`accelerated` or
    :meth:`learned`. Calling it with an operator, or one for each iteration, and a depth gives
    :class:`Steps`.

    Examples
    --------
    >>> steps = ed.StepSizes.weighted(10)(ed.Dense.dct(8), depth=2)
    >>> steps.sigma, steps.tau
    (tensor([9.8901, 9.8901]), tensor([0.0989, 0.0989]))
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(8))
    >>> model = ed.Unrolled(problem, depth=8, steps=ed.StepSizes.learned(relative=True))
    """

    theta: Number
    entropic: ClassVar[bool] = False

    def __init__(self, theta: Number = 1.0) -> None:
        super().__init__()
        theta = real("The extrapolation theta", theta)
        _require_theta(theta)
        hold(self, "theta", theta)

    @staticmethod
    def fixed(sigma: Number, tau: Number, theta: Number = 1.0) -> StepSizes:
        """Given σ and τ: positive numbers or tensors; an nn.Parameter is learned.

        Parameters
        ----------
        sigma
            Of shape ``()`` or ``(depth,)``; for the parts of a stack ``(depth, parts)``; for each
            coordinate, where F is a sum over them, ``(depth, *codomain)``. Any axis may be 1, so
            that ``(1, channels, 1, 1)`` is a step for each filter of a ``Conv``.
        tau
            Of shape ``()`` or ``(depth,)``, or ``(depth, *domain)`` where G is a sum over
            coordinates.
        theta
            Of shape ``()`` or ``(depth,)``; θ > −1.
        """
        return Fixed(sigma, tau, theta)

    @staticmethod
    def balanced(
        theta: Number = 1.0, differentiate_norm: bool = False, by_part: bool = False
    ) -> StepSizes:
        """σ = τ = 0.99 / ‖K‖ (Brauer, Lorenz 2019), with an upper bound of ‖K‖; see `weighted`."""
        return Relative(1.0, theta, differentiate_norm, by_part)

    @staticmethod
    def weighted(
        weight: float,
        theta: Number = 1.0,
        differentiate_norm: bool = False,
        by_part: bool = False,
    ) -> StepSizes:
        """σ = w · 0.99 / ‖K‖ and τ = 0.99 / (w ‖K‖), of each iteration's own K.

        Parameters
        ----------
        weight
            w > 0.
        theta
            Of shape ``()`` or ``(depth,)``.
        differentiate_norm
            Whether the gradient goes through ‖K‖, which then is the exact one. Else ‖K‖ counts as a
            constant, and the gradient in K is that at the given steps.
        by_part
            Whether the parts of a stack have σ_i = w · 0.99 / ‖K_i‖ and τ = 0.99 / (w Σ ‖K_i‖) (in
            the manner of Pock, Chambolle, ICCV 2011): better where the parts' norms differ much.
        """
        return Relative(weight, theta, differentiate_norm, by_part)

    @staticmethod
    def accelerated(strong_convexity: float, weight: float = 1.0) -> StepSizes:
        """Steps that change, for a strongly convex G, as of a squared data term.

        σ_1 = w · 0.99 / ‖K‖, τ_1 = 0.99 / (w ‖K‖), then θ_k = 1/√(1 + 2γτ_k), τ_{k+1} = θ_k τ_k and
        σ_{k+1} = σ_k / θ_k (Chambolle, Pock 2011, Algorithm 2): the distance to the solution falls
        like 1/d, and the energy of the average with weights ∝ σ_k like 1/d² (Chambolle, Pock 2016).
        ‖K‖ counts as a constant in gradients.

        Parameters
        ----------
        strong_convexity
            γ > 0 of G, so that G − γ‖·‖²/2 is convex: 1 for ``SquaredL2()``.
        weight
            w > 0.
        """
        return Accelerated(strong_convexity, weight)

    @staticmethod
    def learned(
        weight: float = 1.0,
        per_iteration: bool = False,
        theta: Number = 1.0,
        relative: bool = False,
    ) -> StepSizes:
        """log σ and log τ are parameters, one pair or a pair per iteration.

        They start as :meth:`weighted` does. With ``relative``, the parameters are log(σ‖K‖) and
        log(τ‖K‖) instead: the steps follow ‖K‖ while K is learned (the gradient takes it as a
        constant), so that σ τ ‖K‖², on which convergence hangs, moves by learning alone.
        """
        return Learned(weight, per_iteration, theta, relative)

    def prepare(self, K: Operators, depth: int) -> None:
        """Make the parameters that depend on K or the depth; ``Unrolled`` calls this once."""

    def given(self) -> bool:
        """Whether σ and τ are numbers that follow nothing, neither ‖K‖ nor a gradient."""
        return False

    def project_(self) -> None:
        """Move learned numbers that have left their range to its border."""

    def measured(self, instances: Sequence[Instance]) -> Sequence[Instance]:
        """The same problems, whose functions say what measures the steps if squares do not."""
        return instances

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        """σ, τ and θ.

        Parameters
        ----------
        K
            One operator, or one for each iteration.
        depth
            The number of iterations.
        domain
            The shape of a sample, where norms depend on it.
        like
            A tensor of the type and device that they are to have; K's if None.
        """
        raise NotImplementedError

    def _steps(
        self, sigma: Number, tau: Number, K: Operators, depth: int, like: Tensor | None
    ) -> Steps:
        like = _like(K) if like is None else like
        found = []
        for name, value in (("sigma", sigma), ("tau", tau), ("theta", self.theta)):
            found.append(of_iterations(name, value, depth, like, several=name != "theta"))
        return Steps(*found)


class Fixed(StepSizes):
    """See :meth:`StepSizes.fixed`."""

    sigma: Number
    tau: Number

    def __init__(self, sigma: Number, tau: Number, theta: Number) -> None:
        super().__init__(theta)
        self._least: dict[str, float] = {}
        for name, step in (("sigma", sigma), ("tau", tau)):
            step = real(f"The step size {name}", step)
            ends = (step > 0) & (step < math.inf)
            require_in_range(ends, f"The step size {name}", step, "positive and finite")
            hold(self, name, step)
            self._least[name] = LEAST * float(revealed(torch.as_tensor(step)).detach().min())

    def extra_repr(self) -> str:
        return f"sigma={shown(self.sigma)}, tau={shown(self.tau)}, theta={shown(self.theta)}"

    def given(self) -> bool:
        return not any(isinstance(t, Tensor) and t.requires_grad for t in (self.sigma, self.tau))

    def project_(self) -> None:
        """Keep learned steps positive: at least a millionth of the smallest given one."""
        for name, least in self._least.items():
            held = self._parameters.get(name)
            if held is not None:
                held.data.clamp_(min=least)

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        return self._steps(self.sigma, self.tau, K, depth, like)


class Relative(StepSizes):
    """See :meth:`StepSizes.weighted`."""

    def __init__(
        self, weight: float, theta: Number, differentiate_norm: bool, by_part: bool
    ) -> None:
        super().__init__(theta)
        _check_weight(weight)
        self.weight, self.differentiate_norm, self.by_part = weight, differentiate_norm, by_part

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        if self.by_part:
            norms = torch.as_tensor(_per_operator(K, lambda one: self._norms_of_parts(one, domain)))
            dual: Number = norms if norms.ndim == 2 else norms[None]
            primal: Number = norms.sum(-1)
        else:
            dual = primal = _per_operator(K, lambda one: self._norm(one, domain))
        require(dual > 0, _ZERO)
        sigma, tau = self.weight * SAFETY / dual, SAFETY / (self.weight * primal)
        return self._steps(sigma, tau, K, depth, like)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}, theta={shown(self.theta)}, by_part={self.by_part}"

    def _norm(self, K: Operator, domain: Size | None) -> Number:
        return let_none_cast(K.norm(domain)) if self.differentiate_norm else _bound(K, domain)

    def _norms_of_parts(self, K: Operator, domain: Size | None) -> Tensor:
        if not isinstance(K, Stack):
            raise ErgodualError(
                f"Steps by part need an operator that is a Stack, and this is {type(K).__name__}; "
                "leave by_part out."
            )
        norms = [self._norm(part, domain) for part in K.operators()]
        return torch.stack([torch.as_tensor(n, dtype=torch.float64) for n in norms])


class Accelerated(StepSizes):
    """See :meth:`StepSizes.accelerated`."""

    def __init__(self, strong_convexity: float, weight: float) -> None:
        super().__init__()
        _check_weight(weight)
        ends = 0 < strong_convexity < math.inf
        require(ends, f"The strong convexity of G is {strong_convexity}; it must be positive.")
        self.strong_convexity, self.weight = strong_convexity, weight

    def extra_repr(self) -> str:
        return f"accelerated, strong_convexity={self.strong_convexity:g}, weight={self.weight:g}"

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        norms = _per_operator(K, lambda one: _bound(one, domain))
        require(norms > 0, _ZERO)
        each = norms.unbind() if isinstance(norms, Tensor) and norms.ndim else [norms] * depth
        ratio: Number = self.weight
        rows = []
        for norm in each:
            sigma, tau = SAFETY * ratio / norm, SAFETY / (ratio * norm)
            theta = (1 + 2 * self.strong_convexity * tau) ** -0.5
            rows += [sigma, tau, theta]
            ratio = ratio / theta
        numbers = torch.stack([torch.as_tensor(number) for number in rows]).view(depth, 3)
        like = _like(K) if like is None else like
        return Steps(*numbers.to(like).unbind(1))


class Learned(StepSizes):
    """See :meth:`StepSizes.learned`."""

    log_sigma: Tensor
    log_tau: Tensor

    def __init__(self, weight: float, per_iteration: bool, theta: Number, relative: bool) -> None:
        super().__init__(theta)
        _check_weight(weight)
        self.weight = weight
        self.per_iteration = per_iteration
        self.relative = relative
        self.register_parameter("log_sigma", None)
        self.register_parameter("log_tau", None)

    def extra_repr(self) -> str:
        each = ", per_iteration" if self.per_iteration else ""
        return f"learned from weight={self.weight:g}{each}, theta={shown(self.theta)}"

    def prepare(self, K: Operators, depth: int) -> None:
        if isinstance(self.log_sigma, Tensor):
            return
        try:
            norms = torch.as_tensor(1.0 if self.relative else _per_operator(K, _bound))
        except NotFiniteError:
            raise
        except ErgodualError as error:
            raise ErgodualError(
                "Learned steps start at the operator's norm, which depends on the shape of a "
                "sample here; take StepSizes.learned(relative=True)."
            ) from error
        require(norms > 0, _ZERO)
        if not self.per_iteration:
            norms = norms.max()
        logs, like = norms.double().log().expand(depth if self.per_iteration else ()), _like(K)
        sigma = math.log(self.weight * SAFETY) - logs
        tau = math.log(SAFETY / self.weight) - logs
        self.log_sigma, self.log_tau = (nn.Parameter(t.to(like)) for t in (sigma, tau))

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        self.prepare(K, depth)
        norm: Number = 1.0
        if self.relative:
            norm = _per_operator(K, lambda one: _bound(one, domain))
            require(norm > 0, _ZERO)
        return self._steps(self.log_sigma.exp() / norm, self.log_tau.exp() / norm, K, depth, like)


_ZERO = "The operator K is zero, so 0.99 / ‖K‖ does not exist; give StepSizes.fixed(sigma, tau)."


def _bound(K: Operator, domain: Size | None = None) -> Number:
    # a graph for export holds no numbers that are read to the host
    exporting = torch.compiler.is_exporting()
    return K.norm_bound_in_graph(domain) if exporting else K.norm_bound(domain)


def _per_operator(K: Operators, norm: Callable[[Operator], Number]) -> Number:
    """A number, or, for one operator an iteration, a tensor of theirs; each is asked once."""
    if isinstance(K, Operator):
        return norm(K)
    found = {id(one): one for one in K}
    known = {key: torch.as_tensor(norm(one), dtype=torch.float64) for key, one in found.items()}
    return torch.stack([known[id(one)] for one in K])


def _like(K: Operators) -> Tensor:
    some = [K] if isinstance(K, Operator) else K
    tensors = (t for one in some for t in one.tensors() if t.is_floating_point())
    return next(tensors, torch.zeros(()))


def of_iterations(
    name: str, value: Number, depth: int, like: Tensor, several: bool = False
) -> Tensor:
    """Numbers of every iteration, of the type and device of ``like``, from one or as many.

    Raises
    ------
    ErgodualError
        If there are others, or several in each iteration where there is one.
    """
    step = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    if (step.ndim > 1 and not several) or (step.ndim and len(step) not in (1, depth)):
        raise ErgodualError(
            f"The step sizes {name} have shape {tuple(step.shape)}; give one number or one per "
            f"iteration, here {depth}."
        )
    return step.expand(depth, *step.shape[1:])


def _check_weight(weight: float) -> None:
    ends = 0 < weight < math.inf
    require(ends, f"The step weight is {weight}; it must be positive (1 is balanced).")


def _require_theta(theta: Number) -> None:
    ends = (theta > -1) & (theta < math.inf)
    require_in_range(ends, "The extrapolation theta", theta, "above -1 (1 is usual)")


def require_in_range(condition: bool | Tensor, said: str, value: Number, expected: str) -> None:
    def message() -> str:
        number = revealed(value) if isinstance(value, Tensor) else value
        return f"{said} is {number}; it must be {expected}."

    require(condition, message)
