"""The lower level solved to a tolerance, with a certificate for each sample."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ergodual.errors import ErgodualError, NotConvergedWarning
from ergodual.functions.base import require
from ergodual.operators import Dense
from ergodual.operators.norms import NormBound
from ergodual.problem import Problem
from ergodual.solving.certificates import Lower, Point, Scales, best
from ergodual.solving.methods import ChambollePock, Method, Restarted
from ergodual.solving.newton import applies, within

EVERY = 32
"""Iterations between two looks at the error, each of which costs as much as one or two iterations."""
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


@dataclass(frozen=True)
class Solution:
    """What :func:`solve` found, for each sample of the batch.

    Attributes
    ----------
    x
        x̂ = x̃ + r, ``(batch, n)``.
    r, y
        The primal and the dual solution, ``(batch, n)`` and ``(batch, m)``; r is exact where x̂ − x̃ would be rounded.
    gap
        F(Kx̂) + G(r) − (⟨Kx̃, y⟩ − F*(y) − G*(−Kᵀy)) ≥ 0, ``(batch,)``: no r has an objective lower by more than this. Infinite where
        F or G* is ∞ beside the solution.
    error
        What was compared with the tolerance: the gap over F(Kx̃) + G(0) (the gap itself where that is 0 or infinite), or, where the gap
        is infinite, the relative fixed-point residual of a primal-dual step.
    iterations
        How many it took, in steps of 32.
    converged
        Whether error ≤ tolerance.
    weight
        The primal weight ω ∼ ‖y‖/‖r‖ that the method ended with, ``(batch, 1)``.
    """

    x: Tensor
    r: Tensor
    y: Tensor
    gap: Tensor
    error: Tensor
    iterations: Tensor
    converged: Tensor
    weight: Tensor


def solve(
    problem: Problem,
    x_tilde: Tensor,
    tol: float | None = None,
    method: Method[Any] | None = None,
    max_iterations: int = 100_000,
    start: Solution | None = None,
    norm: float | None = None,
) -> Solution:
    """min_r F(K(x̃ + r)) + G(r) for every sample of a batch, to a relative duality gap: (1) of Brauer, Lorenz 2019.

    Samples have step weights, restarts and a stopping of their own, and leave the batch when they are solved.

    Parameters
    ----------
    problem
        F, G and K.
    x_tilde
        Observations, ``(batch, n)``.
    tol
        Of the error, see :class:`Solution`; 1e-6 in float64 and 1e-4 in float32 if None.
    method
        :class:`Restarted` or :class:`ChambollePock`; if None, the former, or, where both G and F* are strongly convex and no Newton
        step can be taken, the latter accelerated.
    max_iterations
        Where it ends in any case.
    start
        An earlier solution to start from, for instance with a slightly different K.
    norm
        An upper bound of ‖K‖ where one is known; by singular values if None.

    Raises
    ------
    ErgodualError
        If x̃ does not fit the problem or is not finite, or an argument is out of its range.

    Warns
    -----
    NotConvergedWarning
        If a sample has not reached the tolerance.
    """
    problem.check(x_tilde)
    _check(problem, x_tilde)
    tol = TOLERANCE[x_tilde.dtype] if tol is None else tol
    require(tol >= 0, f"The tolerance is {tol}; it must not be negative.")
    require(
        0 <= max_iterations < math.inf,
        f"The number of iterations is {max_iterations}; it must be a whole number, at least 0.",
    )
    require(
        norm is None or 0 <= norm < math.inf,
        f"The norm is {norm}; give an upper bound of the operator's norm, or leave it out.",
    )
    method = _default(problem) if method is None else method
    if isinstance(method, type) or not hasattr(method, "advance"):
        raise ErgodualError(
            f"The method is {method!r}; give ed.Restarted(...) or ed.ChambollePock(...)."
        )
    with torch.no_grad():
        solution = _solve(problem, x_tilde, tol, method, int(max_iterations), start, norm)
    left = int((~solution.converged).sum())
    if left:
        warnings.warn(
            f"{left} of {len(x_tilde)} problems did not reach {tol:g} within {max_iterations} iterations; the largest error is "
            f"{float(solution.error.max()):.2g}.",
            NotConvergedWarning,
            stacklevel=2,
        )
    return solution


def _solve(
    problem: Problem,
    x_tilde: Tensor,
    tol: float,
    method: Method[Any],
    limit: int,
    start: Solution | None,
    norm: float | None,
) -> Solution:
    norm = NormBound().refresh(problem.K) if norm is None else norm
    lower = Lower(
        problem, x_tilde, norm or 1.0, tol, _scales(problem) if method.precondition else None
    )
    state = method.start(lower, *_first(lower, start))
    thins = problem.F.per_sample is not None and problem.G.per_sample is not None
    rows = torch.arange(len(x_tilde), device=x_tilde.device)
    open_ = torch.ones_like(rows, dtype=torch.bool)
    found = _Found(lower, state.weight)
    done = 0
    while True:
        state, point = method.offer(lower, state, done)
        through = open_ & ((point.error <= tol) | (done >= limit))
        open_ = open_ & ~through
        if bool(through.any()) or not len(rows):
            found.take(rows, point, state.weight, done, through)
            if not open_.any():
                return found.solution(x_tilde, tol)
            if thins:
                left = open_.nonzero()[:, 0]
                rows, open_, lower, state = (
                    rows[left],
                    open_[left],
                    lower.at(left),
                    type(state)._make(t[left] for t in state),
                )
        step = min(EVERY, limit - done)
        state = method.advance(lower, state, step)
        done += step


class _Found:
    """The solutions so far."""

    def __init__(self, lower: Lower, weight: Tensor) -> None:
        self.r, self.y = torch.zeros_like(lower.x_tilde), torch.zeros_like(lower.Kx)
        self.gap, self.error = (
            torch.full_like(lower.unit, math.inf),
            torch.full_like(lower.unit, math.inf),
        )
        self.iterations, self.weight = (
            torch.zeros(len(self.r), dtype=torch.long, device=self.r.device),
            weight.clone(),
        )

    def take(self, rows: Tensor, point: Point, weight: Tensor, done: int, which: Tensor) -> None:
        """The points of those samples that are through."""
        rows = rows[which]
        for to, of in zip(
            (self.r, self.y, self.gap, self.error, self.weight), (*point, weight), strict=True
        ):
            to[rows] = of[which]
        self.iterations[rows] = done

    def solution(self, x_tilde: Tensor, tol: float) -> Solution:
        """All of them."""
        r, y = self.r, self.y
        return Solution(
            x_tilde + r, r, y, self.gap, self.error, self.iterations, self.error <= tol, self.weight
        )


def _first(lower: Lower, start: Solution | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """r, y and ω to begin with: those of an earlier solution; else r = 0 with y = 0 or the dual that answers it, if that is nearer."""
    if start is None:
        r = torch.zeros_like(lower.x_tilde)
        point = best(
            lower.judge(r, torch.zeros_like(lower.Kx)), lower.judge(r, lower.nearest_dual())
        )
        return point.r, point.y, None
    for name, given, like in (
        ("r", start.r, lower.x_tilde),
        ("y", start.y, lower.Kx),
        ("weight", start.weight, lower.natural),
    ):
        if not given.isfinite().all():
            raise ErgodualError(
                f"The solution to start from has an entry of {name} that is not finite; leave start out."
            )
        if given.shape != like.shape or given.dtype != like.dtype or given.device != like.device:
            raise ErgodualError(
                f"The solution to start from has {name} of shape {tuple(given.shape)}, {given.dtype} on {given.device}; this batch needs "
                f"{tuple(like.shape)}, {like.dtype} on {like.device}: leave start out."
            )
    return *within(lower.problem, start.r, start.y), start.weight


def _scales(problem: Problem) -> Scales:
    """1/‖row‖ and 1/‖column‖."""
    K = problem.K
    if not isinstance(K, Dense) or not (problem.F.separable and problem.G.separable):
        raise ErgodualError(
            "Preconditioning needs a Dense operator and functions that are sums over coordinates; leave it out."
        )
    matrix = K.matrix.detach()
    rows, columns = (
        torch.where(norms > 0, 1 / norms, 1.0) for norms in (matrix.norm(dim=1), matrix.norm(dim=0))
    )
    return Scales(
        rows,
        columns,
        NormBound().refresh(Dense(rows.sqrt()[:, None] * matrix * columns.sqrt())) or 1.0,
    )


def _check(problem: Problem, x_tilde: Tensor) -> None:
    bad = (~x_tilde.isfinite()).any(-1).nonzero()[:, 0].tolist()
    if bad:
        raise ErgodualError(
            f"Sample {bad[0]} of the observations has an entry that is not finite; remove it."
        )
    if x_tilde.dtype not in TOLERANCE:
        raise ErgodualError(
            f"The observations are {x_tilde.dtype}; convert them and the problem to float32 or float64."
        )
    for f, size in ((problem.F, problem.K.m), (problem.G, problem.K.n)):
        for t in (t for t in f.tensors() if t.is_floating_point()):
            if (
                t.dtype != x_tilde.dtype
                or t.device != x_tilde.device
                or (t.ndim == 2 and f.per_sample and len(t) not in (1, len(x_tilde)))
            ):
                raise ErgodualError(
                    f"{type(f).__name__} has a tensor of shape {tuple(t.shape)}, {t.dtype} on {t.device}, and there are {len(x_tilde)} "
                    f"observations, {x_tilde.dtype} on {x_tilde.device}; make them alike, with a row for each."
                )
        try:
            f.prox(x_tilde.new_zeros(len(x_tilde), size), 1.0)
        except RuntimeError as error:
            shapes = ", ".join(str(tuple(t.shape)) for t in f.tensors())
            raise ErgodualError(
                f"{type(f).__name__}, with tensors of shape {shapes}, does not fit {len(x_tilde)} observations of {size} numbers; "
                f"make them (), ({size},), (batch, 1) or (batch, {size})."
            ) from error


def _default(problem: Problem) -> Method[Any]:
    mu, smooth = (
        torch.as_tensor(problem.G.strong_convexity()),
        torch.as_tensor(problem.F.smoothness()),
    )
    linear = bool((mu > 0).all() and smooth.isfinite().all())
    return ChambollePock(accelerated=True) if linear and not applies(problem) else Restarted()
