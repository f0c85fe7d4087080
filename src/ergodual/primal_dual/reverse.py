"""Lemma 1: the gradient by one hand-written reverse sweep over the stored iterates.

The sweep carries S^k = σ_k δ_D^k and P^k = τ_k δ_P^k instead of δ_D and δ_P, so that a pair of steps per iteration costs
nothing, and joins the outer products of (10) over blocks of iterations into long ones. With the iterates at hand the
gradients in the steps need no product at all: by (z − prox(z))/τ ∈ ∂g(prox(z)), moving z along with τ leaves the prox where it is,
so ∂L/∂τ_k = ⟨δ_P^k, r^k − r^{k−1}⟩/τ_k and ∂L/∂σ_k = ⟨δ_D^k, y^k − y^{k−1}⟩/σ_k, whatever F and G.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ergodual.functions.base import ProxGradient
from ergodual.primal_dual.steps import Steps
from ergodual.problem import Problem

BLOCK_ROWS = 2048
"""Rows (iterations × batch) that one joined outer product of (10) spans."""


class Reverse:
    """Gradients by the reverse sweep (7)–(10) of Brauer, Lorenz 2019 (Lemma 1, with (10) corrected to use y^k).

    Exact, for any loss and any averaging weights, in K, x̃, σ, τ, θ, α and the parameters of F and G. It stores y^k and r^k
    and nothing else for functions whose prox derivative can be read off the prox (see ``Function.derivative_from``).
    Differentiable once.
    """

    def __call__(self, problem: Problem, x_tilde: Tensor, steps: Steps, weights: Tensor) -> Tensor:
        """x̂, with a gradient in everything that has one."""
        return _Sweep.apply(problem, x_tilde, *steps, weights, *problem.tensors())  # type: ignore[no-any-return,no-untyped-call]


class Trajectory(NamedTuple):
    """What the forward sweep leaves for the reverse one, stacked over the iterations: y^k, r^k, and z where it is needed."""

    y: Tensor
    r: Tensor
    z_dual: Tensor | None
    z_primal: Tensor | None

    def dual(self, k: int) -> Tensor:
        """What the derivative of prox_{σF*} is read off."""
        return (self.y if self.z_dual is None else self.z_dual)[k]

    def primal(self, k: int) -> Tensor:
        """What the derivative of prox_{τG} is read off."""
        return (self.r if self.z_primal is None else self.z_primal)[k]


def sweep_forward(problem: Problem, x_tilde: Tensor, sigma: list[float], tau: list[float], theta: float) -> Trajectory:
    """(3)–(5), every product and prox written in place."""
    F, G, K = problem.F, problem.G, problem.K
    depth, batch = len(sigma), x_tilde.shape[0]
    y, r = x_tilde.new_empty((depth, batch, K.m)), x_tilde.new_empty((depth, batch, K.n))
    z_dual = torch.empty_like(y) if F.derivative_from == "input" else None
    z_primal = torch.empty_like(r) if G.derivative_from == "input" else None
    u, zero_y, zero_r = x_tilde, x_tilde.new_zeros((batch, K.m)), torch.zeros_like(x_tilde)
    extrapolated = torch.empty_like(x_tilde)
    for k in range(depth):
        K.forward_onto(y[k - 1] if k else zero_y, u, sigma[k], out=y[k])
        if z_dual is not None:
            z_dual[k] = y[k]
        F.prox_conjugate_(y[k], sigma[k])
        K.adjoint_onto(r[k - 1] if k else zero_r, y[k], -tau[k], out=r[k])
        if z_primal is not None:
            z_primal[k] = r[k]
        G.prox_(r[k], tau[k])
        if k + 1 < depth:
            u = _extrapolate(x_tilde, r[k - 1] if k else zero_r, r[k], theta, extrapolated)
    return Trajectory(y, r, z_dual, z_primal)


def _extrapolate(x_tilde: Tensor, previous: Tensor, r: Tensor, theta: float, out: Tensor) -> Tensor:
    return torch.lerp(previous, r, 1 + theta, out=out).add_(x_tilde)


class _Sweep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        problem: Problem,
        x_tilde: Tensor,
        sigma: Tensor,
        tau: Tensor,
        theta: Tensor,
        weights: Tensor,
        *tensors: Tensor,
    ) -> Tensor:
        # one read of the steps before the sweep, none inside it
        ctx.steps = sigma.tolist(), tau.tolist(), float(theta)
        ctx.problem = problem
        trajectory = sweep_forward(problem, x_tilde, *ctx.steps)
        # saving the parameters too makes torch refuse a backward after they were changed in place
        ctx.save_for_backward(x_tilde, weights, *(t for t in trajectory if t is not None), *tensors)
        ctx.kept = [t is not None for t in trajectory]
        r = trajectory.r
        return torch.addmv(x_tilde.reshape(-1), r.reshape(len(r), -1).T, weights).view_as(x_tilde)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x_tilde, weights, *saved = ctx.saved_tensors
        found = iter(saved)
        trajectory = Trajectory(*(next(found) if kept else None for kept in ctx.kept))  # type: ignore[arg-type]
        wanted = Wanted(ctx.problem, *ctx.needs_input_grad)
        return None, *sweep_backward(ctx.problem, x_tilde, ctx.steps, weights, trajectory, g, wanted)


class Wanted:
    """Which gradients a backward call asks for."""

    def __init__(
        self,
        problem: Problem,
        _: bool,
        x_tilde: bool,
        sigma: bool,
        tau: bool,
        theta: bool,
        weights: bool,
        *tensors: bool,
    ) -> None:
        self.x_tilde, self.sigma, self.tau, self.theta, self.weights = x_tilde, sigma, tau, theta, weights
        in_k, in_f = len(problem.K.tensors()), len(problem.F.tensors())
        self.K, self.F, self.G = any(tensors[:in_k]), any(tensors[in_k : in_k + in_f]), any(tensors[in_k + in_f :])
        self.tensors = tensors


def sweep_backward(
    problem: Problem,
    x_tilde: Tensor,
    steps: tuple[list[float], list[float], float],
    weights: Tensor,
    trajectory: Trajectory,
    g: Tensor,
    wanted: Wanted,
) -> tuple[Tensor | None, ...]:
    """(7)–(10): the gradients in x̃, σ, τ, θ, α and the problem's tensors, each None where it is not wanted."""
    F, G, K = problem.F, problem.G, problem.K
    (sigma, tau, theta), alpha = steps, weights.tolist()
    y, r, depth, g = trajectory.y, trajectory.r, len(trajectory.y), g.contiguous()
    rows = min(depth, max(1, BLOCK_ROWS // max(1, g.shape[0])))
    # row `rows` holds the values of the iteration after the block
    S, P = y.new_zeros((rows + 1, *y.shape[1:])), r.new_zeros((rows + 1, *r.shape[1:]))
    S_bar = torch.zeros_like(S[0])
    in_K, in_F, in_G = _Sum(), _Sum(), _Sum()
    in_sigma, in_tau, in_theta = g.new_zeros(depth), g.new_zeros(depth), g.new_zeros(())
    S_total = torch.zeros_like(S[0]) if wanted.x_tilde else None

    for start, stop in _blocks(depth, rows):
        if stop < depth:
            S[rows], P[rows] = S[0], P[0]
        for k in range(stop - 1, start - 1, -1):
            at = rows - (stop - k)
            later = min(k + 1, depth - 1)
            if k + 1 < depth:  # (7); after the last iteration there is nothing but α_d g
                K.adjoint_onto(P[at + 1], S_bar, tau[k], out=P[at], keep=tau[k] / tau[later])
            if alpha[k]:
                P[at].add_(g, alpha=tau[k] * alpha[k])
            _, found = _through(G.prox_vjp, trajectory.primal(k), tau[k], P[at], wanted.G)
            in_G.add(found, 1 / tau[k])
            K.forward_onto(S[at + 1], P[at], -sigma[k], out=S[at], keep=sigma[k] / sigma[later])  # (8)
            _, found = _through(F.prox_conjugate_vjp, trajectory.dual(k), sigma[k], S[at], wanted.F)
            in_F.add(found, 1 / sigma[k])
            torch.lerp(S[at + 1], S[at], 1 + theta, out=S_bar)  # (9)
        block = slice(rows - (stop - start), rows)
        s, p = S[block], P[block]
        if wanted.K:  # (10)
            in_K.add(K.gradients(_rows(s), _rows(_inputs(x_tilde, r, theta, start, stop))), 1.0)
            in_K.add(K.gradients(_rows(y[start:stop]), _rows(p)), -1.0)
        if wanted.sigma:
            in_sigma[start:stop] = (s * _increments(y, start, stop)).sum((1, 2))
        if wanted.tau:
            in_tau[start:stop] = (p * _increments(r, start, stop)).sum((1, 2))
        if wanted.theta and stop > 1:
            moved = _increments(r, max(start, 1) - 1, stop - 1)
            in_theta += (_rows(s[len(s) - len(moved) :]) * K(_rows(moved))).sum()
        if S_total is not None:
            S_total += s.sum(0)

    squares = [torch.tensor(step, dtype=g.dtype, device=g.device).square() for step in (sigma, tau)]
    return (
        g + K.adjoint(S_total) if S_total is not None else None,
        in_sigma / squares[0] if wanted.sigma else None,
        in_tau / squares[1] if wanted.tau else None,
        in_theta if wanted.theta else None,
        r.reshape(depth, -1) @ g.reshape(-1) if wanted.weights else None,
        *_unless(problem.K.tensors(), in_K),
        *_unless(problem.F.tensors(), in_F),
        *_unless(problem.G.tensors(), in_G),
    )


class _Sum:
    """Sums tuples of gradients as they come in."""

    def __init__(self) -> None:
        self.value: tuple[Tensor | None, ...] | None = None

    def add(self, found: tuple[Tensor | None, ...], scale: float) -> None:
        if not found:
            return
        if self.value is None:
            self.value = tuple(None if t is None else t * scale for t in found)
            return
        for total, t in zip(self.value, found, strict=True):
            if total is not None and t is not None:
                total.add_(t, alpha=scale)


def _unless(tensors: tuple[Tensor, ...], total: _Sum) -> tuple[Tensor | None, ...]:
    return (None,) * len(tensors) if total.value is None else total.value


def _through(vjp: Any, kept: Tensor, step: float, grad: Tensor, parameters: bool) -> ProxGradient:
    """The vector–Jacobian product written over ``grad``, whether or not the function did so itself."""
    result, found = vjp(kept, step, grad, parameters)
    if result is not grad:
        grad.copy_(result)
    return grad, found


def _blocks(depth: int, rows: int) -> Iterator[tuple[int, int]]:
    for stop in range(depth, 0, -rows):
        yield max(0, stop - rows), stop


def _rows(stack: Tensor) -> Tensor:
    return stack.reshape(-1, stack.shape[-1])


def _increments(iterates: Tensor, start: int, stop: int) -> Tensor:
    """v^k − v^{k−1} for k in the block, with v^0 = 0."""
    if start:
        return iterates[start:stop] - iterates[start - 1 : stop - 1]
    return torch.diff(iterates[:stop], dim=0, prepend=torch.zeros_like(iterates[:1]))


def _inputs(x_tilde: Tensor, r: Tensor, theta: float, start: int, stop: int) -> Tensor:
    """x̃ + r̄^{k−1} for k in the block, as the forward sweep had them."""
    u = torch.empty_like(r[start:stop])
    zero = torch.zeros_like(x_tilde)
    for at, k in enumerate(range(start, stop)):
        if k == 0:
            u[at] = x_tilde
        else:
            _extrapolate(x_tilde, r[k - 2] if k > 1 else zero, r[k - 1], theta, u[at])
    return u
