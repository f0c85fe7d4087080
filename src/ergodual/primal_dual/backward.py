"""Lemma 1: the reverse sweep (7)–(10) of Brauer, Lorenz 2019 over stored iterates, with (10) corrected to use y^k.

The sweep carries S^k = σ_k δ_D^k and P^k = τ_k δ_P^k instead of δ_D and δ_P, so that a pair of steps per iteration costs
nothing. Three things keep everything but the matrix products small:

- The outer products of (10) are joined over blocks of iterations into long ones.
- S̄^k = S^k + θ (S^k − S^(k+1)), which (7) needs anyway, is what r^(k−1) meets in (10):
  Σ_k S^k ⊗ (x̃ + r̄^(k−1)) = (Σ_k S^k) ⊗ x̃ + Σ_k S̄^k ⊗ r^(k−1), so no r̄ is computed again.
- The gradients in the steps need no product: by (z − prox(z))/τ ∈ ∂g(prox(z)), moving z along with τ leaves the prox where it
  is, so ∂L/∂τ_k = ⟨δ_P^k, r^k − r^(k−1)⟩/τ_k and ∂L/∂σ_k = ⟨δ_D^k, y^k − y^(k−1)⟩/σ_k, whatever F and G.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ergodual.operators import Operator
from ergodual.primal_dual.forward import Numbers, Trajectory
from ergodual.problem import Problem

BLOCK_ROWS = 2048
"""Rows (iterations × batch) that one joined outer product of (10) spans."""


class Wanted(NamedTuple):
    """Which gradients a backward call asks for; of K, F and G, whether any of their tensors'."""

    x_tilde: bool
    sigma: bool
    tau: bool
    theta: bool
    weights: bool
    K: bool
    F: bool
    G: bool


def wanted_of(problem: Problem, needed: Sequence[bool], tensors: Sequence[bool]) -> Wanted:
    """From what autograd needs: of x̃, σ, τ, θ and α, and of the problem's tensors."""
    in_K, in_F = len(problem.K.tensors()), len(problem.F.tensors())
    x_tilde, sigma, tau, theta, weights = needed
    return Wanted(
        x_tilde,
        sigma,
        tau,
        theta,
        weights,
        any(tensors[:in_K]),
        any(tensors[in_K : in_K + in_F]),
        any(tensors[in_K + in_F :]),
    )


class Segment(NamedTuple):
    """Iterations start + 1 .. stop, with their iterates."""

    start: int
    stop: int
    iterates: Trajectory


def block_length(iterations: int, batch: int) -> int:
    """Iterations whose outer products are joined; blocks are counted from the last iteration."""
    return min(iterations, max(1, BLOCK_ROWS // max(1, batch)))


def sweep_backward(
    problem: Problem,
    x_tilde: Tensor,
    numbers: Numbers,
    segments: Iterable[Segment],
    first: int,
    g: Tensor,
    wanted: Wanted,
) -> tuple[Tensor | None, ...]:
    """The gradients in x̃, σ, τ, θ, α and the problem's tensors, each None where it is not wanted.

    Parameters
    ----------
    problem, x_tilde, numbers
        What was iterated.
    segments
        From the last one down to the one that starts at ``first``; they meet where blocks do. What lies before counts as
        constant.
    first
        Where the earliest segment starts.
    g
        The gradient in x̂.
    wanted
        What is asked for.
    """
    F, G, K = problem.F, problem.G, problem.K
    sigma, tau, theta, alpha = numbers
    depth, g = len(sigma), g.contiguous()
    rows = block_length(depth - first, len(g))
    P_block, S_bar_block = g.new_empty((rows, *g.shape)), g.new_empty((rows, len(g), K.m))
    P, S_bar = P_block.unbind(), S_bar_block.unbind()
    S_later, S = torch.zeros_like(S_bar[0]), torch.empty_like(S_bar[0])
    S_total = torch.zeros_like(S)
    in_K, in_F, in_G = _Outer(K) if wanted.K else None, _Sum(F.tensors()), _Sum(G.tensors())
    in_sigma, in_tau, in_theta, in_weights = (
        g.new_zeros(depth),
        g.new_zeros(depth),
        g.new_zeros(()),
        g.new_zeros(depth),
    )

    for start, stop, iterates in segments:
        y, r = iterates.y.unbind(), iterates.r.unbind()
        dual = y[1:] if iterates.z_dual is None else iterates.z_dual.unbind()
        primal = r[2:] if iterates.z_primal is None else iterates.z_primal.unbind()
        for begin, end in _blocks(start, stop, rows):
            for k in range(end - 1, begin - 1, -1):
                # the block's buffers serve as rings: the iteration after the block lies where the block before it began
                at, i = rows - (end - k), k - start
                after = (at + 1) % rows
                if k + 1 == depth:
                    torch.mul(g, tau[k] * alpha[k], out=P[at])
                else:  # (7)
                    base = (
                        torch.add(P[after], g, alpha=tau[k + 1] * alpha[k], out=P[at])
                        if alpha[k]
                        else P[after]
                    )
                    K.adjoint_onto(base, S_bar[after], tau[k], out=P[at], keep=tau[k] / tau[k + 1])
                in_G.add(_through(G.prox_vjp, primal[i], tau[k], P[at], wanted.G), 1 / tau[k])
                keep = sigma[k] / sigma[k + 1] if k + 1 < depth else 1.0
                K.forward_onto(S_later, P[at], -sigma[k], out=S, keep=keep)  # (8)
                in_F.add(
                    _through(F.prox_conjugate_vjp, dual[i], sigma[k], S, wanted.F), 1 / sigma[k]
                )
                torch.lerp(S_later, S, 1 + theta, out=S_bar[at])  # (9)
                if wanted.sigma:
                    in_sigma[k] = _dot(S, y[i + 1] - y[i]) / sigma[k] ** 2
                if wanted.tau:
                    in_tau[k] = _dot(P[at], r[i + 2] - r[i + 1]) / tau[k] ** 2
                if wanted.theta and k:
                    in_theta += _dot(S, K(r[i + 1] - r[i]))
                if wanted.weights:
                    in_weights[k] = _dot(r[i + 2], g)
                S_later, S = S, S_later
            P_now, S_bar_now = P_block[rows - (end - begin) :], S_bar_block[rows - (end - begin) :]
            if in_K is not None:  # (10)
                in_K.add(iterates.y[begin - start + 1 : end - start + 1], P_now, -1.0)
                moved = int(begin == 0)  # r^0 = 0
                in_K.add(
                    S_bar_now[moved:], iterates.r[begin - start + 1 + moved : end - start + 1], 1.0
                )
            if in_K is not None or wanted.x_tilde:
                S_total += S_bar_now.sum(0)
        earlier = r[0]

    S_first = S_later
    S_total.sub_(S_first, alpha=theta)  # Σ S̄ = Σ S + θ S^first
    if in_K is not None:
        in_K.add(S_total, x_tilde, 1.0)
        if first > 1:
            in_K.add(S_first, earlier, -theta)
    return (
        g + K.adjoint(S_total) if wanted.x_tilde else None,
        in_sigma if wanted.sigma else None,
        in_tau if wanted.tau else None,
        in_theta if wanted.theta else None,
        in_weights if wanted.weights else None,
        *(in_K.totals if in_K is not None else [None] * len(K.tensors())),
        *in_F.totals,
        *in_G.totals,
    )


class _Outer:
    """Sums the gradients of Σ ⟨dual, K primal⟩ in K's tensors."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.totals: tuple[Tensor, ...] = ()

    def add(self, dual: Tensor, primal: Tensor, scale: float) -> None:
        """Of stacks ``(…, m)`` and ``(…, n)``."""
        first = not self.totals
        if not primal.numel() and not first:
            return
        if first:
            self.totals = tuple(torch.empty_like(t) for t in self._operator.tensors())
        flat = (dual.reshape(-1, dual.shape[-1]), primal.reshape(-1, primal.shape[-1]))
        self._operator.gradients_onto(self.totals, *flat, scale, keep=0.0 if first else 1.0)


class _Sum:
    """Sums tuples of gradients in given tensors as they come in; None where none came."""

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.totals: list[Tensor | None] = [None] * len(tensors)

    def add(self, found: tuple[Tensor | None, ...], scale: float) -> None:
        for i, t in enumerate(found):
            if t is not None:
                total = self.totals[i]
                self.totals[i] = t * scale if total is None else total.add_(t, alpha=scale)


def _through(
    vjp: Any, kept: Tensor, step: float, grad: Tensor, parameters: bool
) -> tuple[Tensor | None, ...]:
    """The vector–Jacobian product written over ``grad``, whether or not the function did so itself; the parameters' gradients."""
    result, found = vjp(kept, step, grad, parameters)
    if result is not grad:
        grad.copy_(result)
    return found  # type: ignore[no-any-return]


def _blocks(start: int, stop: int, rows: int) -> Iterator[tuple[int, int]]:
    for end in range(stop, start, -rows):
        yield max(start, end - rows), end


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.reshape(-1), b.reshape(-1))
