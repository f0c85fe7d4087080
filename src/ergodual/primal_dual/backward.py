"""Lemma 1: the reverse sweep (7)–(10) of Brauer, Lorenz 2019 over stored iterates.

With (10) corrected to use y^k, and for an operator K_k, functions and an extrapolation θ_k of each
iteration. With S^k = σ_k δ_D^k, P^k = τ_k δ_P^k and V^k = K_kᵀ S^k, all 0 beyond d,

    δ_P^k = prox'_{τG}(δ_P^{k+1} + (1 + θ_k) V^{k+1} − θ_{k+1} V^{k+2} + α_k g)            (7)
    δ_D^k = prox'_{σF*}(δ_D^{k+1} − K_k P^k)                                              (8)
    ∂L/∂K_k = S^k ⊗ (shift + r̄^{k−1}) − y^k ⊗ P^k                                        (10)
    ∂L/∂offset = Σ S^k,  ∂L/∂shift = g + Σ V^k,  ∂L/∂θ_k = ⟨V^{k+1}, r^k − r^{k−1}⟩.

Four things keep everything but the products small:

- In a stretch of iterations with one operator, (7) needs one product, KᵀS̄^{k+1} with
  S̄^{k+1} = (1 + θ_k) S^{k+1} − θ_{k+1} S^{k+2} (9); where V is wanted,
  V^{k+1} = (KᵀS̄^{k+1} + θ_{k+1} V^{k+2}) / (1 + θ_k) takes none. Where the operator changes, the
  later stretch hands on what it has for r^s and r^{s−1}, s being the iteration before it.
- S̄ is also what r meets in (10): Σ_k S^k ⊗ r̄^{k−1} = Σ_k S̄^k ⊗ r^{k−1} but for the ends of the
  stretch. So a matrix joins the outer products of several iterations into long ones; for other
  operators, whose dual variable is large, S̄ takes the place of what is no longer needed.
- The gradients in the steps need no product: by (z − prox(z))/τ ∈ ∂g(prox(z)), moving z along with
  τ leaves the prox where it is, so ∂L/∂τ_k = ⟨δ_P^k, r^k − r^{k−1}⟩/τ_k and
  ∂L/∂σ_k = ⟨δ_D^k, y^k − y^{k−1}⟩/σ_k, whatever F and G.
- Functions whose prox derivative can be read off the prox need no z.

Iterations are counted from 0 here: iteration k makes y[k + 1] and r[k + 1] of y[k], r[k], r[k − 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ergodual.functions.base import ProxGradient
from ergodual.primal_dual.forward import Trajectory
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.primal_dual.plan import Plan
from ergodual.tensors import dot

BLOCK_ROWS = 2048
"""Rows (iterations × batch) that one joined outer product of (10) spans."""


class Segment(NamedTuple):
    """Iterations start + 1 .. stop, with their iterates."""

    start: int
    stop: int
    iterates: Trajectory


def block_length(iterations: int, batch: int) -> int:
    """Iterations whose outer products are joined; blocks are counted from the last iteration."""
    return min(iterations, max(1, BLOCK_ROWS // max(1, batch)))


def blocks(plan: Plan, first: int) -> list[tuple[int, int]]:
    """Where the iterations from ``first`` on are cut into joined ones, from the last block down."""
    found = []
    for start, stop in reversed(plan.stretches):
        start = max(start, first)
        if start >= stop:
            break
        batch = plan.instances[0].batch
        rows = block_length(stop - start, batch) if plan.joins[start] else 1
        found += [(max(start, end - rows), end) for end in range(stop, start, -rows)]
    return found


def sweep_backward(
    plan: Plan, segments: Iterable[Segment], first: int, g: Tensor, wanted: Wanted
) -> Gradients:
    """The gradients that are wanted.

    Parameters
    ----------
    plan
        What was iterated.
    segments
        From the last one down to the one that starts at ``first``; they meet where blocks do. What
        lies before counts as constant.
    first
        Where the earliest segment starts.
    g
        The gradient in x̂.
    wanted
        What is asked for.
    """
    cuts = blocks(plan, first)
    ring = max((end - begin for begin, end in cuts), default=1)
    sweep, cuts_left = _Backward(plan, first, ring, g.contiguous(), wanted), iter(cuts)
    for segment in segments:
        sweep.enter(segment)
        done = segment.stop
        while done > segment.start:
            begin, end = next(cuts_left)
            for k in range(end - 1, begin - 1, -1):
                sweep.step(k, k - end)
            sweep.outer(begin, end, segment)
            done = begin
    found = sweep.found
    if "shift" in wanted.names:
        found.add_named("shift", g)
    return found


class _Backward:
    """The state of the sweep between two iterations."""

    def __init__(self, plan: Plan, first: int, ring: int, g: Tensor, wanted: Wanted) -> None:
        self.plan, self.first, self.g, self.wanted = plan, first, g, wanted
        self.tau = cast(Sequence[float], plan.tau)  # tensors take the general sweep
        self.found = Gradients(wanted)
        one = plan.instances[0]
        self.P_block = g.new_empty((ring, *g.shape))
        self.S_bar_block = g.new_empty((ring, len(g), *one.codomain))
        self.P, self.S_bar = list(self.P_block.unbind()), list(self.S_bar_block.unbind())
        # of the iteration after the present one
        self.P_later, self.S_bar_later = self.P[0], self.S_bar[0]
        self.S_later, self.S = torch.empty_like(self.S_bar[0]), self.S_bar[0]
        if ring > 1:
            self.S = torch.empty_like(self.S)
        self.V_later: Tensor | None = None
        self.S_total: Tensor | None = None
        self.handed: dict[int, Tensor] = {}
        different = {id(f): f for one in plan.instances for f in (one.F, one.G)}
        # of each function, whether it is handed its argument, and whether it has gradients to give
        self.asked = {key: (f.keeps_input(), key in wanted.modules) for key, f in different.items()}
        self.measured = bool(wanted.names & {"sigma", "tau", "weights", "offset"})
        self.moved = torch.empty_like(self.S) if "sigma" in wanted.names else None
        # V is wanted where a stretch hands gradients on, and where θ or the shift has one
        self.tracks = [
            plan.start_of[k] > first
            or "theta" in wanted.names
            or ("shift" in wanted.names and not plan.joins[k])
            for k in range(plan.depth)
        ]
        for name in ("tau", "theta", "weights"):
            if name in wanted.names:
                self.found.named[name] = g.new_zeros(plan.depth)
        if "sigma" in wanted.names:
            # of the parts of a stack where each has a step of its own
            parts = () if plan.parts is None else (len(plan.parts),)
            self.found.named["sigma"] = g.new_zeros((plan.depth, *parts))

    def enter(self, segment: Segment) -> None:
        """This segment's iterates from here on: y[i] is y[k], r[i + 1] is r[k], i = k − start."""
        self.start, iterates = segment.start, segment.iterates
        self.y, self.r = iterates.y.unbind(), iterates.r.unbind()
        self.dual = self.y[1:] if iterates.z_dual is None else iterates.z_dual.unbind()
        self.primal = self.r[2:] if iterates.z_primal is None else iterates.z_primal.unbind()

    def step(self, k: int, at: int) -> None:
        """(7)–(9) for iteration k, at place ``at`` of the ring, and what hangs on them alone."""
        P = self._primal(k, at)
        S = self._dual(k, P)
        if self.measured:
            self._measure(k, P, S)
        S_bar = self._extrapolated(k, at, S)
        # in a ring of one, S̄ was written over S_later, and the next S goes over it
        self.S = S_bar if len(self.S_bar) == 1 else self.S_later
        self.P_later, self.S_later, self.S_bar_later = P, S, S_bar

    def outer(self, begin: int, end: int, segment: Segment) -> None:
        """(10) for a block of iterations, and what is left where a stretch begins."""
        plan, K = self.plan, self.plan.instances[begin].K
        iterates, i, count = segment.iterates, begin - segment.start, end - begin
        in_K = self.found.totals(K) if id(K) in self.wanted.modules else None
        if in_K is not None:
            y, P = iterates.y[i + 1 : i + 1 + count], self.P_block[-count:]
            K.way_back_gradients_onto(in_K, y.flatten(0, 1), P.flatten(0, 1), -1.0)
        if plan.joins[begin]:
            # in a ring of one, S̄ changes places with S
            alone = len(self.S_bar) == 1
            S_bar = self.S_bar_later[None] if alone else self.S_bar_block[-count:]
            moved = int(begin == 0)  # r[0] = 0
            if in_K is not None and count > moved:
                r = iterates.r[i + 1 + moved : i + 1 + count]
                K.gradients_onto(in_K, S_bar[moved:].flatten(0, 1), r.flatten(0, 1), 1.0)
            if in_K is not None or self.wanted.names & {"shift", "offset"}:
                summed = S_bar.sum(0)
                self.S_total = summed if self.S_total is None else self.S_total.add_(summed)
        elif in_K is not None:
            u = self._extrapolation(begin, iterates.r[i], iterates.r[i + 1])
            if u is not None:
                K.gradients_onto(in_K, self.S_later, u, 1.0)
        if begin == self.first or plan.begins[begin]:
            self._leave(begin, iterates.r[i], iterates.r[i + 1], in_K)

    def _primal(self, k: int, at: int) -> Tensor:
        """P, by (7)."""
        plan, i = self.plan, k - self.start
        one, tau, alpha, out, base = (
            plan.instances[k],
            self.tau[k],
            plan.alpha[k],
            self.P[at],
            self.P_later,
        )
        if k + 1 == plan.depth:
            torch.mul(self.g, tau * alpha, out=out)
        else:
            after = self.tau[k + 1]
            if alpha:
                base = torch.add(base, self.g, alpha=after * alpha, out=out)
            if self.handed and k in self.handed:
                base = torch.add(base, self.handed.pop(k), alpha=after, out=out)
            if plan.ends[k]:
                torch.mul(base, tau / after, out=out)
            elif self.tracks[k]:
                W = plan.reversed[k].adjoint(self.S_bar_later, one.domain)
                torch.mul(base, tau / after, out=out).add_(W, alpha=tau)
                self._note(self._V(k + 1, W), k, self.r[i + 2] - self.r[i + 1])
            else:
                plan.reversed[k].adjoint_onto(
                    base, self.S_bar_later, tau, out=out, keep=tau / after
                )
        G = one.G
        keeps_input, wanted = self.asked[id(G)]
        kept = self.primal[i] if keeps_input else self.r[i + 2]
        found = _written(G.prox_vjp(kept, tau, out, wanted), out)
        if found:
            self.found.add(G, found, 1 / tau)
        return out

    def _dual(self, k: int, P: Tensor) -> Tensor:
        """S, by (8)."""
        plan, i, S = self.plan, k - self.start, self.S
        one, sigma = plan.instances[k], plan.sigma[k]
        keep = 0.0 if k + 1 == plan.depth else sigma / plan.sigma[k + 1]
        plan.reversed[k].forward_onto(self.S_later, P, -sigma, out=S, keep=keep)
        by_coordinate = isinstance(sigma, Tensor)
        if by_coordinate:  # δ itself, as its parts have other factors
            S.div_(sigma)
        F = one.F
        keeps_input, wanted = self.asked[id(F)]
        kept = self.dual[i] if keeps_input else self.y[i + 1]
        found = _written(F.prox_conjugate_vjp(kept, sigma, S, wanted), S)
        if found:
            self.found.add(F, found, 1.0 if isinstance(sigma, Tensor) else 1 / sigma)
        return S.mul_(sigma) if by_coordinate else S

    def _measure(self, k: int, P: Tensor, S: Tensor) -> None:
        """The gradients in the steps, weights and offset that iteration k brings."""
        plan, named, i = self.plan, self.found.named, k - self.start
        if "sigma" in named:
            self._in_sigma(k, S, torch.sub(self.y[i + 1], self.y[i], out=self.moved))
        if "tau" in named:
            named["tau"][k] = dot(P, self.r[i + 2] - self.r[i + 1]) / self.tau[k] ** 2
        if "weights" in named:
            named["weights"][k] = dot(self.r[i + 2], self.g)
        if not plan.joins[k]:
            self.found.add_named("offset", S)

    def _extrapolated(self, k: int, at: int, S: Tensor) -> Tensor:
        """S̄, by (9)."""
        before, after = self.plan.lead[k], self.plan.theta[k]
        out = self.S_later if len(self.S_bar) == 1 else self.S_bar[at]
        if self.plan.ends[k]:
            return torch.mul(S, 1 + before, out=out)
        if before == after:
            return torch.lerp(self.S_later, S, 1 + before, out=out)
        return torch.mul(self.S_later, -after, out=out).add_(S, alpha=1 + before)

    def _leave(
        self, k: int, older: Tensor, newer: Tensor, in_K: list[Tensor | None] | None
    ) -> None:
        """What a stretch that begins with iteration k leaves; r[k − 1] and r[k] are given."""
        plan, one, S = self.plan, self.plan.instances[k], self.S_later
        if plan.joins[k] and self.S_total is not None:
            total, self.S_total = self.S_total.sub_(S, alpha=self.plan.lead[k]), None
            if in_K is not None:
                if one.shift is not None:
                    one.K.gradients_onto(in_K, total, one.shift, 1.0)
                if k > 1:
                    one.K.gradients_onto(in_K, S, older, -self.plan.lead[k])
            self.found.add_named("offset", total)
            if "shift" in self.wanted.names:
                self.found.add_named("shift", plan.reversed[k].adjoint(total, one.domain))
        if k > self.first:
            W = plan.reversed[k].adjoint(self.S_bar_later, one.domain)
            V = self._V(k, W)
            self._hand(k - 1, W)
            self._hand(k - 2, -plan.theta[k - 1] * V)
            self._note(V, k - 1, newer - older)
        elif ("theta" in self.wanted.names and k > 0) or (
            "shift" in self.wanted.names and not plan.joins[k]
        ):
            self._note(plan.reversed[k].adjoint(S, one.domain), k - 1, newer - older)
        self.V_later = None

    def _V(self, k: int, W: Tensor) -> Tensor:
        """V of iteration k, from W = KᵀS̄ of it and V of the next one."""
        plan = self.plan
        before, after = 1 + plan.lead[k], plan.theta[k]
        if before < 0.5:  # the recursion would amplify rounding by |θ|/(1 + θ) > 1 every time
            V = plan.reversed[k].adjoint(self.S_later, plan.instances[k].domain)
        else:
            V = W / before
            if self.V_later is not None:
                V.add_(self.V_later, alpha=after / before)
        self.V_later = V
        return V

    def _note(self, V: Tensor, k: int, moved: Tensor) -> None:
        """The gradients that V of iteration k + 1 brings: in θ[k], and in the shift."""
        if "theta" in self.wanted.names and k >= 0:
            self.found.named["theta"][k] = dot(V, moved)
        if not self.plan.joins[k + 1]:
            self.found.add_named("shift", V)

    def _hand(self, k: int, gradient: Tensor) -> None:
        if k >= self.first:
            old = self.handed.get(k)
            self.handed[k] = gradient if old is None else old + gradient

    def _in_sigma(self, k: int, S: Tensor, moved: Tensor) -> None:
        sigma, parts = self.plan.sigma[k], self.plan.parts
        if parts is None:
            self.found.named["sigma"][k] = dot(S, moved) / sigma**2
        else:
            slopes = torch.split((S * moved / sigma**2).sum(0), parts)
            self.found.named["sigma"][k] = torch.stack([part.sum() for part in slopes])

    def _extrapolation(self, k: int, older: Tensor, newer: Tensor) -> Tensor | None:
        """shift + r̄ before iteration k, from r[k − 1] and r[k]; None for 0."""
        shift = self.plan.instances[k].shift
        if k == 0:
            return shift
        r_bar = torch.lerp(older, newer, 1 + self.plan.lead[k])
        return r_bar if shift is None else r_bar.add_(shift)


def _written(product: ProxGradient, grad: Tensor) -> tuple[Tensor | None, ...]:
    """A vector–Jacobian product over ``grad``, whether or not the function wrote it there."""
    result, found = product
    if result is not grad:
        grad.copy_(result)
    return found
