"""The lower level solved to a tolerance, with a certificate for each sample."""

from __future__ import annotations

import math
import warnings
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ergodual.autocast import in_own_type
from ergodual.consistency import probe
from ergodual.errors import ErgodualError, NotConvergedWarning
from ergodual.functions.learned_prox import require_functions
from ergodual.instance import Instance
from ergodual.operators.unmatched import require_adjoint
from ergodual.problem import LowerLevel
from ergodual.solving.certificates import EVERY, Pending, best
from ergodual.solving.methods import Method, default_method
from ergodual.solving.newton import within
from ergodual.solving.rays import Watch
from ergodual.solving.scales import scales_of
from ergodual.solving.solution import Found, Solution, Start, said
from ergodual.tensors import require, transformed

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


@in_own_type
def solve(
    problem: LowerLevel,
    observation: Tensor,
    tol: float | None = None,
    method: Method[Any] | None = None,
    max_iterations: int = 100_000,
    start: Solution | Start | Tensor | None = None,
    norm: float | None = None,
) -> Solution:
    """The lower level (1) of Brauer, Lorenz 2019, for every sample of a batch, to a relative gap.

    Samples have step weights, restarts and a stopping of their own, and leave the batch when they
    are solved.

    Parameters
    ----------
    problem
        A :class:`~ergodual.Problem` or an :class:`~ergodual.InverseProblem`.
    observation
        x̃ or b, ``(batch, *sample)``.
    tol
        Of the error, see :class:`Solution`; 1e-6 in float64 and 1e-4 in float32 if None.
    method
        :class:`Restarted` or :class:`ChambollePock`; if None, the former, or, where both G and F*
        are strongly convex and no Newton step can be taken, the latter accelerated.
    max_iterations
        Where it ends in any case.
    start
        What to start from: an earlier solution of the same samples, for instance with a slightly
        different K; or an estimate of x, ``(batch, *domain)``, as ``Unrolled`` gives it.
    norm
        An upper bound of the operator's norm where one is known; the operator's own if None.

    Raises
    ------
    ErgodualError
        If the observations do not fit the problem or are not finite, an argument is out of its
        range, or the iterates show that the adjoint or the norm of the operator is wrong.

    Warns
    -----
    NotConvergedWarning
        If a sample has not reached the tolerance.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(0.3), G=ed.SquaredL2(), K=ed.Gradient())
    >>> solution = ed.solve(problem, torch.tensor([[0.1, -0.1, 0.0, 1.1, 0.9, 1.0]]))
    >>> solution.x
    tensor([[0.1000, 0.1000, 0.1000, 0.9000, 0.9000, 0.9000]])
    >>> solution.converged
    tensor([True])
    """
    require(
        not transformed(),
        "solve needs numbers and gives no derivative, so that torch.func and forward mode do not "
        "get through; give it the whole batch outside, or take Unrolled.",
    )
    if not isinstance(problem, LowerLevel):
        raise ErgodualError(
            f"solve got a {type(problem).__name__}; give one Problem or InverseProblem (the "
            "problems of a network's iterations have no common solution)."
        )
    one = problem.to_solve(observation)
    return solve_instance(one, tol, method, max_iterations, start, norm)


def solve_instance(
    one: Instance,
    tol: float | None,
    method: Method[Any] | None,
    max_iterations: int,
    start: Solution | Start | Tensor | None,
    norm: float | None,
) -> Solution:
    """:func:`solve` of what was posed already."""
    _check(one)
    # so that all scales are those of Kx − b
    one = one.detached().untranslated().detached()
    tol = TOLERANCE[one.like.dtype] if tol is None else tol
    require(tol >= 0, f"The tolerance is {tol}; it must not be negative.")
    require(
        0 <= max_iterations < math.inf,
        f"The number of iterations is {max_iterations}; it must be a whole number, at least 0.",
    )
    require(
        norm is None or 0 <= norm < math.inf,
        f"The norm is {norm}; give an upper bound of the operator's norm, or leave it out.",
    )
    method = default_method(one, start) if method is None else method
    if isinstance(method, type) or not hasattr(method, "advance"):
        raise ErgodualError(
            f"The method is {method!r}; give ed.Restarted(...) or ed.ChambollePock(...)."
        )
    with torch.no_grad():
        solution = _solve(one, tol, method, int(max_iterations), start, norm)
    if not bool(solution.converged.all()):
        warnings.warn(said(solution, tol, max_iterations), NotConvergedWarning, stacklevel=3)
    return solution


def _solve(
    one: Instance,
    tol: float,
    method: Method[Any],
    limit: int,
    start: Solution | Start | Tensor | None,
    norm: float | None,
) -> Solution:
    # a norm that was given is of the whole domain
    probed = one.K.alike(one.domain) if norm is None else one.domain
    norm = _norm(one) if norm is None else norm
    probe(one.K, probed, one.like, norm)
    pending = Pending.of(one, norm or 1.0, tol, scales_of(one, method.precondition))
    state = method.start(pending, *_first(pending, start))
    leave = one.F.per_sample is not None and one.G.per_sample is not None
    rows = torch.arange(one.batch, device=one.like.device)
    unsolved = torch.ones_like(rows, dtype=torch.bool)
    found = Found(pending, state.weight)
    watch, done = None, 0
    while True:
        state, point = method.candidate(pending, state, done)
        ended = unsolved & ((point.error <= tol) | (done >= limit))
        watch = Watch(pending, point) if watch is None else watch
        rays = watch.look(pending, point, done)
        if rays is not None:
            without = unsolved & ~ended & (rays.infeasible | rays.unbounded)
            found.show(rows, rays, without)
            ended = ended | without
        unsolved = unsolved & ~ended
        if bool(ended.any()) or not len(rows):
            found.take(rows, point, state.weight, done, ended)
            if not unsolved.any():
                return found.solution()
            if leave:
                left = unsolved.nonzero()[:, 0]
                rows, unsolved, pending = rows[left], unsolved[left], pending.at(left)
                state = type(state)._make(t[left] for t in state)
                watch.at(left)
        step = min(EVERY, limit - done)
        state = method.advance(pending, state, step)
        done += step


def _first(
    pending: Pending, start: Solution | Start | Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """r, y and ω to begin with.

    Those of an earlier solution; or r of an estimate, or r = 0, with y = 0 or the dual that answers
    it, whichever is nearer.
    """
    one = pending.instance
    if start is None or isinstance(start, Tensor):
        r = one.zeros_primal()
        points = [pending.judge(r, y) for y in (one.zeros_dual(), pending.nearest_dual())]
        if start is not None:
            r = _of_estimate(one, start)
            answer = pending.nearest_dual(pending.c + one.K(r))
            points += [pending.judge(r, y) for y in (one.zeros_dual(), answer)]
        point = reduce(best, points)
        return point.r, point.y, None
    likes = {"r": one.zeros_primal(), "y": pending.c, "weight": pending.unit}
    for name, like in likes.items():
        given = getattr(start, name)
        if not given.isfinite().all():
            raise ErgodualError(
                f"The solution to start from has an entry of {name} that is not finite; leave "
                "start out."
            )
        if given.shape != like.shape or given.dtype != like.dtype or given.device != like.device:
            raise ErgodualError(
                f"The solution to start from has {name} of shape {tuple(given.shape)}, "
                f"{given.dtype} on {given.device}; this batch needs {tuple(like.shape)}, "
                f"{like.dtype} on {like.device}: leave start out."
            )
    return *within(one, start.r, start.y), start.weight


def _of_estimate(one: Instance, x: Tensor) -> Tensor:
    """r of an estimate, in the domain of G."""
    like = one.zeros_primal()
    if x.shape != like.shape or x.dtype != like.dtype or x.device != like.device:
        raise ErgodualError(
            f"The estimate to start from has shape {tuple(x.shape)}, {x.dtype} on {x.device}; this "
            f"batch needs {tuple(like.shape)}, {like.dtype} on {like.device}: leave start out."
        )
    if not x.isfinite().all():
        raise ErgodualError(
            "The estimate to start from has an entry that is not finite; leave start out."
        )
    r = x.detach() if one.shift is None else x.detach() - one.shift
    return within(one, r, one.zeros_dual())[0]


def _norm(one: Instance) -> float:
    """Exact where that is one decomposition of a matrix, so that no scale of K matters."""
    if one.K.joins_products:
        return float(one.K.norm(one.domain)) * (1 + 1e-6)
    return one.K.norm_bound(one.domain)


def _check(one: Instance) -> None:
    require_adjoint(one.K)
    require_functions(one.F, one.G)
    seen = one.shift if one.shift is not None else one.offset
    if seen is None or seen.dtype not in TOLERANCE:
        raise ErgodualError(
            f"The observations are {one.like.dtype}; convert them and the problem to float32 or "
            "float64."
        )
    # what is observed, even where it is in the functions alone
    bad = (~one.like.isfinite()).flatten(1).any(1).nonzero()[:, 0].tolist()
    if bad:
        raise ErgodualError(
            f"Sample {bad[0]} of the observations has an entry that is not finite; remove it."
        )
