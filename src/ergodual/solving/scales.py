"""Steps that differ among coordinates: by the parts of a stack, or by rows and columns."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.sums import takes_steps_by_part
from ergodual.instance import Instance
from ergodual.operators import Dense, Operator, Stack
from ergodual.operators.norms import matrix_of
from ergodual.primal_dual.steps import SAFETY
from ergodual.tensors import as_step


class Scales(NamedTuple):
    """Of the steps in each coordinate, σ_j ∝ dual_j and τ_i ∝ primal_i.

    Attributes
    ----------
    dual, primal
        ``(*codomain)`` and ``(*domain)``, or what broadcasts against them.
    norm
        At least that of K between their roots, diag(dual)^½ K diag(primal)^½.
    """

    dual: Tensor
    primal: Tensor
    norm: float


def scales_of(one: Instance, precondition: bool | None) -> Scales | None:
    """What a method's ``precondition`` asks for; None where all steps are alike.

    If None, the parts of a stack have steps of their own where F is a sum over them, and nothing
    else has.

    Raises
    ------
    ErgodualError
        If it is True, and the problem has neither a stack nor a matrix and separable functions.
    """
    if precondition is False:
        return None
    if isinstance(one.K, Stack) and takes_steps_by_part(one.F):
        parts = one.K.operators()
        return _by_part(one, parts) if precondition or len(parts) > 1 else None
    if precondition is None:
        return None
    if not (one.K.joins_products and one.F.separable and one.G.separable):
        raise ErgodualError(
            "Preconditioning needs a Stack, or a matrix and functions that are sums over "
            "coordinates; leave it out."
        )
    return _by_row_and_column(one)


def steps_of(
    one: Instance, norm: float, scales: Scales | None, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """σ = 0.99 ω/‖K‖ and τ = 0.99/(ω‖K‖) of each sample, as they meet y and r.

    With scales, those of the coordinates and the norm between their roots.
    """
    norm = norm if scales is None else scales.norm
    sigma = (weight * (SAFETY / norm)).view(-1, *[1] * len(one.codomain))
    tau = (SAFETY / (norm * weight)).view(-1, *[1] * len(one.domain))
    if scales is not None:
        sigma, tau = sigma * scales.dual, tau * scales.primal
    return as_step(sigma), as_step(tau)


def _by_part(one: Instance, parts: list[Operator]) -> Scales:
    """1/‖K_i‖² for each part, so that it does not matter in which units a part is measured.

    The norm between the roots is at most √p for p parts.
    """
    sizes = [math.prod(part.codomain(one.domain)) for part in parts]
    bounds = [part.norm_bound(one.domain) or 1.0 for part in parts]
    squares = torch.tensor([bound**-2 for bound in bounds], dtype=one.like.dtype)
    dual = squares.repeat_interleave(torch.tensor(sizes)).to(one.like)
    return Scales(dual, one.like.new_ones(()), math.sqrt(len(parts)))


def _by_row_and_column(one: Instance) -> Scales:
    """1/‖row‖ and 1/‖column‖ (in the manner of Pock, Chambolle, ICCV 2011)."""
    matrix = matrix_of(one.K, one.domain, one.like)
    rows, columns = (
        torch.where(lengths > 0, 1 / lengths, 1.0)
        for lengths in (matrix.norm(dim=1), matrix.norm(dim=0))
    )
    between = Dense(rows.sqrt()[:, None] * matrix * columns.sqrt())
    return Scales(rows, columns, between.norm_bound() or 1.0)
