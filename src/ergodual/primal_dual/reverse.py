"""Gradients by the hand-written reverse sweep: all iterates kept, a few, or the last ones only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ergodual.autocast import in_own_type, let_none_cast
from ergodual.errors import ErgodualError
from ergodual.functions.learned_prox import require_replayable
from ergodual.instance import Instance
from ergodual.operators.unmatched import require_outermost
from ergodual.primal_dual.backward import Segment, blocks, sweep_backward
from ergodual.primal_dual.forward import Iteration, Trajectory, start_of_average
from ergodual.primal_dual.general import record, sweep_back
from ergodual.primal_dual.inputs import Inputs
from ergodual.primal_dual.plan import Plan, require_steps
from ergodual.primal_dual.steps import Steps
from ergodual.primal_dual.tape import Iterates, unroll
from ergodual.tensors import transformed


class Reverse:
    """Gradients by the reverse sweep (7)–(10) of Brauer, Lorenz 2019, with (10) corrected to y^k.

    Lemma 1, exact for any loss and any averaging weights, in the offsets, σ, τ, θ, α and the
    parameters of K, F and G, with an operator and functions of each iteration's own. It stores y^k
    and r^k and nothing else for functions whose prox derivative can be read off the prox (see
    ``Function.derivative_from``). Where ``create_graph`` is asked, the derivative comes from the
    tape, so that it has derivatives itself; so does all under the transforms of ``torch.func``, for
    batched gradients and in forward mode. ``torch.compile`` breaks its graph here and runs the
    sweep as it is.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> x_tilde = torch.tensor([[0.5, 1.5, 0.5, -0.5]])
    >>> gradients = []
    >>> for adjoint in (ed.Reverse(), ed.Tape()):  # by hand, and recorded
    ...     x_hat = ed.Unrolled(problem, depth=8, adjoint=adjoint)(x_tilde)
    ...     gradients += torch.autograd.grad(x_hat.square().sum(), problem.K.matrix)
    >>> torch.allclose(*gradients, atol=1e-5)
    True
    """

    def starts(self, plan: Plan) -> list[int]:
        """Where the segments start that the reverse sweep goes through."""
        return [0]

    def __call__(self, instances: Sequence[Instance], steps: Steps, weights: Tensor) -> Tensor:
        """x̂, with a gradient in everything that has one."""
        if transformed():
            self._require_whole()
            require_steps(steps)
            return unroll(instances, steps, weights)
        require_outermost(one.K for one in instances)
        functions = (f for one in instances for f in (one.F, one.G))
        require_replayable(functions, (steps.sigma, steps.tau))
        inputs = Inputs(instances, steps, weights)
        plan = inputs.plan()
        sweep = _GeneralSweep if plan.general else _Sweep
        return sweep.apply(self, inputs, plan, *inputs.tensors.values())  # type: ignore[no-any-return,no-untyped-call]

    def _require_whole(self) -> None:
        """Raise :class:`ErgodualError` unless the tape has this gradient too."""


class Checkpointed(Reverse):
    """The gradient of :class:`Reverse`, bit for bit, in the memory of about √d iterates.

    The iterations are cut into segments; only the iterates at their starts and those of the last
    segment are kept, and the others are computed again. That is one more forward sweep, 2d products
    more than the 6d − 1 of Reverse.

    Parameters
    ----------
    segments
        How many; by default about √(4d/3), where memory is least. They end where the blocks of
        joined outer products end (every ``2048 // batch`` iterations of a matrix), so that there
        may be fewer.

    Raises
    ------
    ErgodualError
        If ``segments`` is below 1.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> model = ed.Unrolled(problem, depth=1000, adjoint=ed.Checkpointed())
    """

    def __init__(self, segments: int | None = None) -> None:
        if segments is not None and not (isinstance(segments, int) and segments >= 1):
            raise ErgodualError(
                f"The number of segments is {segments}; it must be a whole number, at least 1."
            )
        self.segments = segments

    def starts(self, plan: Plan) -> list[int]:
        # a segment start takes three states to keep; a segment takes two for each iteration, and
        # two segments are alive at once
        segments = self.segments or max(1, round(math.sqrt(4 * plan.depth / 3)))
        begins = [begin for begin, _ in blocks(plan, 0)]
        each = math.ceil(len(begins) / segments)
        return [0, *reversed([begin for begin in begins[each - 1 :: each] if begin])]


class Truncated(Reverse):
    """The reverse sweep through the last b iterations alone.

    As if what lies before them did not depend on anything: the earlier iterates, and their share in
    the average, so that averaging weights of earlier iterations have the gradient 0. It keeps the
    iterates of those b iterations only. With b ≥ d it is :class:`Reverse`, bit for bit.

    Parameters
    ----------
    b
        The number of reverse steps.

    Raises
    ------
    ErgodualError
        If b is below 1.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> model = ed.Unrolled(problem, depth=128, output=ed.Last(), adjoint=ed.Truncated(8))
    """

    def __init__(self, b: int) -> None:
        if not isinstance(b, int) or b < 1:
            raise ErgodualError(
                f"The number of reverse steps is {b}; it must be a whole number, at least 1."
            )
        self.b = b

    def starts(self, plan: Plan) -> list[int]:
        return [max(0, plan.depth - self.b)]

    def _require_whole(self) -> None:
        raise ErgodualError(
            "Truncated leaves out a part of the derivative, which has no derivative itself and no "
            "transform of torch.func; take Reverse() or Tape() for those and for create_graph."
        )


class _Sweep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, adjoint: Reverse, inputs: Inputs, plan: Plan, *tensors: Tensor) -> Tensor:
        starts = adjoint.starts(plan)
        iteration, x_hat = Iteration(plan), start_of_average(plan.instances[0])
        last = Trajectory.empty(plan, plan.depth - starts[-1])
        kept: list[Tensor] = []
        if starts[-1] > 0:
            state, done = Trajectory.empty(plan, 0), 0
            for start in starts:
                state = iteration.skip(done, start, state, x_hat)
                done = start
                if start != starts[-1]:
                    kept += [state.y.clone(), state.r.clone()]
            _begin(last, state.y, state.r)
        iteration.record(starts[-1], plan.depth, last, x_hat)
        ctx.adjoint, ctx.inputs, ctx.plan, ctx.starts = adjoint, inputs, plan, starts
        ctx.whole = [t is not None for t in last]
        # saving the inputs too makes torch refuse a backward after they were changed in place
        ctx.save_for_backward(*kept, *(t for t in last if t is not None), *tensors)
        return x_hat

    @staticmethod
    @in_own_type
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        count = 2 * len(ctx.starts) - 2
        states, found = ctx.saved_tensors[:count], iter(ctx.saved_tensors[count:])
        needed = ctx.needs_input_grad[3:]
        # create_graph: the result needs derivatives of its own; batched gradients can be written to
        # no memory
        if torch.is_grad_enabled() or transformed(g):
            if ctx.starts[0]:
                ctx.adjoint._require_whole()
            return (
                None,
                None,
                None,
                *_taped(ctx.inputs, ctx.saved_tensors[-len(needed) :], g, needed),
            )
        last = Trajectory(*(next(found) if kept else None for kept in ctx.whole))  # type: ignore[arg-type]
        segments = _segments(ctx.plan, ctx.starts, states, last)
        wanted = ctx.inputs.wanted(needed)
        gradients = sweep_backward(ctx.plan, segments, ctx.starts[0], g, wanted)
        return None, None, None, *ctx.inputs.in_order(gradients)


class _GeneralSweep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, adjoint: Reverse, inputs: Inputs, plan: Plan, *tensors: Tensor) -> Tensor:
        if adjoint.starts(plan) != [0]:
            raise ErgodualError(
                f"{type(adjoint).__name__} serves no relaxed iterations, no entropy "
                "steps and no steps for each coordinate; take Reverse() or Tape(), or other steps."
            )
        x_hat, iterates = record(plan)
        ctx.inputs, ctx.plan = inputs, plan
        ctx.kept = [[t is not None for t in made] for made in iterates]
        whole = [t for made in iterates for t in made if t is not None]
        ctx.save_for_backward(*whole, *tensors)
        return x_hat

    @staticmethod
    @in_own_type
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled() or transformed(g):
            return (
                None,
                None,
                None,
                *_taped(ctx.inputs, ctx.saved_tensors[-len(needed) :], g, needed),
            )
        found = iter(ctx.saved_tensors)
        iterates = [Iterates(*(next(found) if t else None for t in made)) for made in ctx.kept]  # type: ignore[arg-type]
        gradients = sweep_back(ctx.plan, iterates, g, ctx.inputs.wanted(needed))
        return None, None, None, *ctx.inputs.in_order(gradients)


def _taped(
    inputs: Inputs, tensors: Sequence[Tensor], g: Tensor, needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of the tape, which has recorded nothing yet."""
    with torch.enable_grad():
        made, aliases = inputs.aliased(tensors)
        x_hat = _unrolled(made)
        wanted = [t for t, need in zip(aliases, needed, strict=True) if need]
        found = torch.autograd.grad(x_hat, wanted, g, create_graph=True, allow_unused=True)
        _require_reached(inputs, tensors, aliases, wanted, found)
    each = iter(t if t is None or transformed(g) else let_none_cast(t) for t in found)
    return [next(each) if need else None for need in needed]


def _unrolled(inputs: Inputs) -> Tensor:
    assert inputs.steps is not None
    assert inputs.weights is not None
    return unroll(inputs.instances, inputs.steps, inputs.weights)


def _require_reached(
    inputs: Inputs,
    tensors: Sequence[Tensor],
    aliases: Sequence[Tensor],
    wanted: Sequence[Tensor],
    found: Sequence[Tensor | None],
) -> None:
    """That no tensor is used but not where its module holds it, as by a bound method."""
    unused = {id(t) for t, slope in zip(wanted, found, strict=True) if slope is None}
    left = {id(t): t for t, alias in zip(tensors, aliases, strict=True) if id(alias) in unused}
    if not left:
        return
    cut = inputs.aliased([t.detach() for t in tensors])[0]  # so that nothing else leads there
    x_hat = _unrolled(cut)
    if x_hat.requires_grad and any(
        slope is not None
        for slope in torch.autograd.grad(x_hat.sum(), list(left.values()), allow_unused=True)
    ):
        raise ErgodualError(
            "An operator or a function uses a tensor of its own past the attribute that holds it, "
            "as a stored method or a list does; use the attribute, or take Tape()."
        )


def _begin(trajectory: Trajectory, y: Tensor, r: Tensor) -> None:
    trajectory.y[:1], trajectory.r[:2] = y, r


def _segments(
    plan: Plan, starts: list[int], states: Sequence[Tensor], last: Trajectory
) -> Iterator[Segment]:
    """From the last to the first; all but the last are computed again, into one piece of memory."""
    yield Segment(starts[-1], plan.depth, last)
    if len(starts) == 1:
        return
    iteration = Iteration(plan)
    longest = max(b - a for a, b in pairwise(starts))
    room = Trajectory.empty(plan, longest)
    for i in range(len(starts) - 2, -1, -1):
        start, stop = starts[i], starts[i + 1]
        spare = longest - (stop - start)
        again = Trajectory(*(None if t is None else t[: len(t) - spare] for t in room))  # type: ignore[arg-type]
        _begin(again, states[2 * i], states[2 * i + 1])
        iteration.record(start, stop, again)
        yield Segment(start, stop, again)
