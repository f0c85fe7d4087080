"""A semismooth Newton step for a fixed point of a primal-dual step, by any linear solver."""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.solving.at_solution import FixedPoint
from ergodual.solving.linear_solvers import Solve
from ergodual.solving.linearised import Linearised
from ergodual.solving.newton import within
from ergodual.tensors import column, everywhere

SOLVED = 1e-2
"""What a Newton step's system may miss: what it leaves of the distance, if the set is right."""


def newton_step(
    point: FixedPoint, at: Linearised, solve: Solve, enough: float = 0.0
) -> tuple[FixedPoint, Tensor]:
    """Where the step lands, and where its system could be solved, ``(batch,)``.

    With ρ what a primal-dual step moves, Δr = M_P(Δr − τKᵀΔy) + ρ_r and Δy = M_D(Δy + σKΔr) + ρ_y.
    A sample whose system has no solution stays. ``enough`` is a tolerance for the system that will
    do; the solver's own if 0.
    """
    K, domain = point.instance.K, point.instance.domain
    moved_r, moved_y = at.moved()
    b_P = moved_r / point.tau - K.adjoint(moved_y, domain)
    b_D = -(moved_y / point.sigma + K(moved_r))
    system = solve(b_P, b_D, enough)
    lands = system.residual <= SOLVED
    for t in (system.P, system.S):
        lands = lands & everywhere(t.isfinite())
    r = torch.where(column(lands, point.r), point.r + system.P + moved_r, point.r)
    y = torch.where(column(lands, point.y), point.y - system.S + moved_y, point.y)
    r, y = within(point.instance, r, y)
    return point._replace(r=r, y=y), lands
