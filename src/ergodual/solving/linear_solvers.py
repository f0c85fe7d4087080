"""What solves the linear systems of :class:`~ergodual.Implicit`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ergodual.instance import Instance
from ergodual.operators.norms import matrix_of
from ergodual.solving.active_set import least_norm, missed, residuals, solve_saddle
from ergodual.solving.linearised import Linearised, ProxDerivative
from ergodual.solving.minres import minres
from ergodual.solving.newton import LARGEST
from ergodual.tensors import require


class System(NamedTuple):
    """The solution of :class:`Linearised`'s system for one right-hand side.

    Attributes
    ----------
    P, S
        ``(batch, *domain)`` and ``(batch, *codomain)``; of a singular system those of least norm,
        and where it has no solution those that miss it least.
    residual
        By how much, relative to the right-hand side, ``(batch,)``.
    left_P, left_S
        Where the system has no solution, what is left of the right-hand side: of the kernel.
    """

    P: Tensor
    S: Tensor
    residual: Tensor
    left_P: Tensor
    left_S: Tensor


Solve = Callable[[Tensor, Tensor, float], System]
"""From b_P and b_D of :class:`Linearised`, and a tolerance that will do, 0 for the solver's own."""


class LinearSolver(Protocol):
    """A way to solve the systems."""

    def check(self, one: Instance) -> None:
        """Raise :class:`ErgodualError` if it cannot serve the problem."""

    def prepare(self, at: Linearised) -> Solve:
        """For the systems at one point."""


def fits(one: Instance) -> bool:
    """Whether :class:`Direct` can serve the problem."""
    small = max(math.prod(one.domain), math.prod(one.codomain)) <= LARGEST
    return small and one.F.separable and one.G.separable


class Direct:
    """A dense factorisation for each sample, in the coordinates of its active set.

    For functions that are sums over coordinates, and up to 2048 coordinates of x and of Kx: K as a
    matrix takes at most 34 MB in float64, and a sample's system 134 MB.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> layer = ed.Solved(problem, adjoint=ed.Implicit(solver=ed.Direct()))
    """

    def check(self, one: Instance) -> None:
        """See :class:`LinearSolver`."""
        require(
            one.F.separable and one.G.separable,
            "Direct needs functions that are sums over coordinates; take Implicit(Minres()).",
        )
        n, m = math.prod(one.domain), math.prod(one.codomain)
        require(
            max(n, m) <= LARGEST,
            f"Direct sets K up as a matrix, which is {m} x {n} here, and takes up to {LARGEST} x "
            f"{LARGEST}; take Implicit(Minres()).",
        )

    def prepare(self, at: Linearised) -> Solve:
        """See :class:`LinearSolver`."""
        one, M_P, M_D = at.point.instance, at.M_P.diagonal, at.M_D.diagonal
        self.check(one)
        assert M_P is not None
        assert M_D is not None
        matrix, flat_P, flat_D = matrix_of(one.K, one.domain, one.like), *map(_flat, (M_P, M_D))
        taus, sigmas = (
            _flat(torch.as_tensor(step, dtype=M.dtype, device=M.device).expand_as(M))
            for step, M in ((at.point.tau, M_P), (at.point.sigma, M_D))
        )
        # a = (1 − M_P)/(τ M_P) and e likewise, where they are finite
        a, e = (1 - flat_P) / (taus * flat_P), (1 - flat_D) / (sigmas * flat_D)

        def solve(b_P: Tensor, b_D: Tensor, _enough: float) -> System:
            P, S, left_P, left_S = (torch.zeros_like(t) for t in (flat_P, flat_D) * 2)
            residual = b_P.new_zeros(len(b_P))
            for i, (of_P, of_D) in enumerate(zip(_flat(b_P), _flat(b_D), strict=True)):
                free, J = flat_P[i].nonzero()[:, 0], flat_D[i].nonzero()[:, 0]
                system = matrix[J][:, free], a[i, free], e[i, J], of_P[free], -of_D[J]
                found = solve_saddle(*system)
                if found is None or not missed(*system, *found) <= torch.finfo(P.dtype).eps ** 0.4:
                    found = least_norm(*system)
                    left_P[i, free], left_S[i, J] = residuals(*system, *found)
                residual[i] = missed(*system, *found)
                P[i, free], S[i, J] = found[0], -found[1]
            return System(
                P.view_as(M_P),
                S.view_as(M_D),
                residual,
                left_P.view_as(M_P),
                left_S.view_as(M_D),
            )

        return solve


class Minres:
    """MINRES on the whole batch, by products alone: for any operator and functions, of any size.

    Parameters
    ----------
    tol
        Of a sample's residual, relative to the right-hand side; 1e-8 in float64 and 1e-5 in
        float32 if None.
    max_iterations
        Where it ends in any case; each takes a product with K and one with Kᵀ.

    Raises
    ------
    ErgodualError
        If an argument is out of its range.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L21(0.1, dim=1), G=ed.SquaredL2(), K=ed.Gradient())
    >>> layer = ed.Solved(problem, adjoint=ed.Implicit(solver=ed.Minres()))
    """

    def __init__(self, tol: float | None = None, max_iterations: int = 5000) -> None:
        require(
            tol is None or 0 < tol < 1, f"Minres's tolerance is {tol}; it must be between 0 and 1."
        )
        require(
            max_iterations >= 1,
            f"Minres's number of iterations is {max_iterations}; it must be at least 1.",
        )
        self.tol, self.max_iterations = tol, max_iterations

    def check(self, one: Instance) -> None:
        """See :class:`LinearSolver`."""

    def prepare(self, at: Linearised) -> Solve:
        """See :class:`LinearSolver`."""
        dtype = at.point.r.dtype
        tol = {torch.float64: 1e-8}.get(dtype, 1e-5) if self.tol is None else self.tol
        primal, dual = (_Reached(M, z) for M, z in ((at.M_P, at.point.r), (at.M_D, at.point.y)))

        def parts(x: Tensor) -> tuple[Tensor, Tensor]:
            return primal.spread(x[:, : primal.count]), dual.spread(x[:, primal.count :])

        def joined(pair: tuple[Tensor, Tensor]) -> Tensor:
            return torch.cat([primal.picked(pair[0]), dual.picked(pair[1])], 1)

        def solve(b_P: Tensor, b_D: Tensor, enough: float) -> System:
            right = joined(at.right(b_P, b_D))
            found = minres(
                lambda x: joined(at.product(*parts(x))),
                right,
                max(tol, enough),
                self.max_iterations,
            )
            size, left = (torch.linalg.vector_norm(t, dim=1) for t in (right, found.left))
            residual = torch.where(size > 0, left / size, 0.0)
            return System(*at.sums(*parts(found.x)), residual, *at.sums(*parts(found.left)))

        return solve


class _Reached:
    """The coordinates that a prox's derivative reaches in any sample, so that iterations handle no
    others; all, where it is no diagonal.
    """

    def __init__(self, M: ProxDerivative, like: Tensor) -> None:
        self._like = like
        found = None if M.diagonal is None else (M.diagonal != 0).flatten(1).any(0)
        self._rows = None if found is None or found.all() else found.nonzero()[:, 0]
        self.count = math.prod(like.shape[1:]) if self._rows is None else len(self._rows)

    def picked(self, t: Tensor) -> Tensor:
        """``(batch, count)`` of ``(batch, *sample)``."""
        flat = t.flatten(1)
        return flat if self._rows is None else flat.index_select(1, self._rows)

    def spread(self, x: Tensor) -> Tensor:
        """The inverse, with zeros elsewhere."""
        if self._rows is None:
            return x.reshape(self._like.shape)
        full = torch.zeros_like(self._like).flatten(1)
        return full.index_copy_(1, self._rows, x).view_as(self._like)


def _flat(t: Tensor) -> Tensor:
    return t.flatten(1)
