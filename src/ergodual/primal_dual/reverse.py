"""Gradients by the hand-written reverse sweep: with all iterates kept, with a few kept, and through the last iterations only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ergodual.errors import ErgodualError
from ergodual.primal_dual.backward import Segment, block_length, sweep_backward, wanted_of
from ergodual.primal_dual.forward import Iteration, Numbers, Trajectory
from ergodual.primal_dual.steps import Steps
from ergodual.problem import Problem


class Reverse:
    """Gradients by the reverse sweep (7)–(10) of Brauer, Lorenz 2019 (Lemma 1, with (10) corrected to use y^k).

    Exact, for any loss and any averaging weights, in K, x̃, σ, τ, θ, α and the parameters of F and G. It stores y^k and r^k
    and nothing else for functions whose prox derivative can be read off the prox (see ``Function.derivative_from``).
    Differentiable once. ``torch.compile`` breaks its graph here and runs the sweep as it is.
    """

    def starts(self, depth: int, batch: int) -> list[int]:
        """Where the segments start that the reverse sweep goes through."""
        return [0]

    def __call__(self, problem: Problem, x_tilde: Tensor, steps: Steps, weights: Tensor) -> Tensor:
        """x̂, with a gradient in everything that has one."""
        starts = self.starts(len(steps.sigma), len(x_tilde))
        return _Sweep.apply(problem, starts, x_tilde, *steps, weights, *problem.tensors())  # type: ignore[no-any-return,no-untyped-call]


class Checkpointed(Reverse):
    """The gradient of :class:`Reverse`, bit for bit, in the memory of about √d iterates: the others are computed again.

    The iterations are cut into segments; only the iterates at their starts and those of the last segment are kept. That is
    one more forward sweep, 2d products more than the 6d − 1 of Reverse.

    Parameters
    ----------
    segments
        How many; by default about √(4d/3), where memory is least. They end where the blocks of joined outer products end
        (every ``2048 // batch`` iterations), so that there may be fewer.

    Raises
    ------
    ErgodualError
        If ``segments`` is below 1.
    """

    def __init__(self, segments: int | None = None) -> None:
        if segments is not None and segments < 1:
            raise ErgodualError(f"The number of segments is {segments}; it must be at least 1.")
        self.segments = segments

    def starts(self, depth: int, batch: int) -> list[int]:
        # a segment start takes three states to keep; a segment takes two for each iteration, and two segments are alive at once
        segments = self.segments or max(1, round(math.sqrt(4 * depth / 3)))
        rows = block_length(depth, batch)
        length = rows * math.ceil(depth / rows / segments)
        return [0, *reversed(range(depth - length, 0, -length))]


class Truncated(Reverse):
    """The reverse sweep through the last b iterations alone, as if the iterates before them did not depend on anything.

    It keeps the iterates of those b iterations only. With b ≥ d it is :class:`Reverse`, bit for bit.

    Parameters
    ----------
    b
        The number of reverse steps.

    Raises
    ------
    ErgodualError
        If b is below 1.
    """

    def __init__(self, b: int) -> None:
        if b < 1:
            raise ErgodualError(f"The number of reverse steps is {b}; it must be at least 1.")
        self.b = b

    def starts(self, depth: int, batch: int) -> list[int]:
        return [max(0, depth - self.b)]


class _Sweep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        problem: Problem,
        starts: list[int],
        x_tilde: Tensor,
        sigma: Tensor,
        tau: Tensor,
        theta: Tensor,
        weights: Tensor,
        *tensors: Tensor,
    ) -> Tensor:
        numbers = Numbers.read(Steps(sigma, tau, theta), weights)
        depth = len(numbers.sigma)
        iteration, x_hat = Iteration(problem, x_tilde, numbers), x_tilde.clone()
        last = Trajectory.empty(problem, x_tilde, depth - starts[-1])
        kept: list[Tensor] = []
        if starts[-1] > 0:
            state, done = Trajectory.empty(problem, x_tilde, 0), 0
            for start in starts:
                state = iteration.skip(done, start, state, x_hat)
                done = start
                if start != starts[-1]:
                    kept += [state.y.clone(), state.r.clone()]
            _begin(last, state.y, state.r)
        iteration.record(starts[-1], depth, last, x_hat)
        ctx.problem, ctx.starts, ctx.numbers = problem, starts, numbers
        ctx.whole = [t is not None for t in last]
        # saving the parameters too makes torch refuse a backward after they were changed in place
        ctx.save_for_backward(x_tilde, *kept, *(t for t in last if t is not None), *tensors)
        return x_hat

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x_tilde, *saved = ctx.saved_tensors
        states, found = saved[: 2 * len(ctx.starts) - 2], iter(saved[2 * len(ctx.starts) - 2 :])
        last = Trajectory(*(next(found) if kept else None for kept in ctx.whole))  # type: ignore[arg-type]
        segments = _segments(ctx.problem, x_tilde, ctx.numbers, ctx.starts, states, last)
        wanted = wanted_of(ctx.problem, ctx.needs_input_grad[2:7], ctx.needs_input_grad[7:])
        return (
            None,
            None,
            *sweep_backward(ctx.problem, x_tilde, ctx.numbers, segments, ctx.starts[0], g, wanted),
        )


def _begin(trajectory: Trajectory, y: Tensor, r: Tensor) -> None:
    trajectory.y[:1], trajectory.r[:2] = y, r


def _segments(
    problem: Problem,
    x_tilde: Tensor,
    numbers: Numbers,
    starts: list[int],
    states: Sequence[Tensor],
    last: Trajectory,
) -> Iterator[Segment]:
    """From the last to the first; all but the last are computed again, into one piece of memory."""
    yield Segment(starts[-1], len(numbers.sigma), last)
    if len(starts) == 1:
        return
    iteration = Iteration(problem, x_tilde, numbers)
    longest = max(b - a for a, b in pairwise(starts))
    room = Trajectory.empty(problem, x_tilde, longest)
    for i in range(len(starts) - 2, -1, -1):
        start, stop = starts[i], starts[i + 1]
        spare = longest - (stop - start)
        again = Trajectory(*(None if t is None else t[: len(t) - spare] for t in room))  # type: ignore[arg-type]
        _begin(again, states[2 * i], states[2 * i + 1])
        iteration.record(start, stop, again)
        yield Segment(start, stop, again)
