"""Dual points moved to where the dual energy is finite, so that there is a gap."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.functions import Function
from ergodual.instance import Instance
from ergodual.solving.minres import minres
from ergodual.tensors import column, dots, everywhere, largest, norms

FAR, AIM = 10.0, 1e4
"""A bound for ‖r‖ ≤ R is worth something if R is so many times the size of our r; and what is aimed
at.
"""


class Bound(NamedTuple):
    """What no objective is below.

    Attributes
    ----------
    energy
        At most F(c + Kr) + G(r) for all r with ‖r‖ ≤ radius, ``(batch,)``.
    y
        The dual point whose energy it is.
    radius
        ``(batch,)``; infinite where it holds for all r.
    """

    energy: Tensor
    y: Tensor
    radius: Tensor


def dual_energy(one: Instance, c: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """⟨c, y⟩ − F*(y) − G*(v), ``(batch,)``; −∞ where a conjugate is not known."""
    try:
        return dots(c, y) - one.F.conjugate(y) - one.G.conjugate(v)
    except NotImplementedError:
        return y.new_full((len(y),), -math.inf)


def shares(one: Instance, y: Tensor, v: Tensor) -> Tensor:
    """By what y and v = −Kᵀy are to be scaled to come into the domains of F* and G*, ``(batch,)``;
    0 where no multiple is there.
    """
    try:
        return torch.minimum(one.F.share_in_domain(y), one.G.share_in_domain(v))
    except NotImplementedError:
        return y.new_zeros(len(y))


def dual_bound(
    one: Instance, c: Tensor, y: Tensor, size: Tensor, spare: Tensor, budget: int
) -> Bound:
    """What bounds all objectives, from a dual point near y.

    That is D(ŷ) = ⟨c, ŷ⟩ − F*(ŷ) − G*(−Kᵀŷ) with ŷ = y where this is finite; else y scaled down,
    where the domains are balls, as those of the conjugates of norms are. Where the domain of G* is
    thinner, as {0} or a cone, y is moved first: by the least squares solution of −Kᵀŷ = p, p the
    point of the domain that is nearest to v = −Kᵀy; and into a cone by a multiple of K1. If that
    leaves e = −Kᵀŷ − p, then D(ŷ) with p in the place of −Kᵀŷ, minus R ‖e‖, is below all objectives
    with ‖r‖ ≤ R.

    Parameters
    ----------
    one, c
        The problems, and their c = K shift + offset.
    y
        A dual point.
    size
        How large r is, ``(batch,)``: R is at least ten times that.
    spare
        By how much the bound may be lowered for the sake of a larger R, ``(batch,)``.
    budget
        So many products with KᵀK may be taken.
    """
    v = -one.K.adjoint(y, one.domain)
    energy, everything = dual_energy(one, c, y, v), torch.full_like(size, math.inf)
    share = torch.where(energy.isfinite(), 1.0, shares(one, y, v))
    near, at = y * column(share, y), v * column(share, v)
    energy = torch.where(share > 0, dual_energy(one, c, near, at), -math.inf)
    known = energy.isfinite()
    if bool(known.all()):
        return Bound(energy, near, everything)
    far = _moved(one, c, y, v, size, spare, budget)
    return Bound(
        torch.where(known, energy, far.energy),
        torch.where(column(known, y), near, far.y),
        torch.where(known, everything, far.radius),
    )


def _moved(
    one: Instance, c: Tensor, y: Tensor, v: Tensor, size: Tensor, spare: Tensor, budget: int
) -> Bound:
    wrong = v - nearest(one.G, v)
    enough = float((spare / (AIM * size * norms(wrong))).nan_to_num(1.0).min())
    wide = restricted(one.F, y)
    y = y + shortest(
        lambda y: one.K.adjoint(y, one.domain), one.K, wrong, enough, budget, lambda z: z * wide
    )
    y, v = _into_cone(one, y, -one.K.adjoint(y, one.domain))
    share = shares(one, y, nearest(one.G, v))
    if bool((share == 0).any()):  # outside of a cone of F*, by a rounding as a rule
        y = torch.where(column(share > 0, y), y, nearest(one.F, y))
        v = -one.K.adjoint(y, one.domain)
        share = shares(one, y, nearest(one.G, v))
    y, v = y * column(share, y), v * column(share, v)
    p = nearest(one.G, v)
    e = norms(v - p)
    radius = torch.where(e > 0, torch.maximum(FAR * size, spare / e), math.inf)
    energy = dual_energy(one, c, y, p) - torch.where(e > 0, radius * e, 0.0)
    return Bound(torch.where(share > 0, energy, -math.inf), y, radius)


def nearest(G: Function, v: Tensor) -> Tensor:
    """The point of the domain of G* that is nearest to v: a prox of a step of next to nothing."""
    there = G.prox_conjugate(v, torch.finfo(v.dtype).tiny ** 0.5)
    try:
        return torch.where(column(G.conjugate(v).isfinite(), v), v, there)
    except NotImplementedError:
        return there


def restricted(F: Function, like: Tensor) -> Tensor:
    """1 where the domain of F* holds more than 0, so where F is not constant, else 0."""
    far = _far(like)
    return ((nearest(F, far) != 0) | (nearest(F, -far) != 0)).to(like)


def _far(like: Tensor) -> Tensor:
    return torch.full_like(like, torch.finfo(like.dtype).max ** 0.25)


def shortest(
    to: Callable[[Tensor], Tensor],
    back: Callable[[Tensor], Tensor],
    wrong: Tensor,
    tol: float,
    budget: int,
    part: Callable[[Tensor], Tensor],
) -> Tensor:
    """The shortest δ = part(δ) with to(δ) = ``wrong``, nearly, by MINRES on to(part(back(z))) =
    ``wrong``; ``back`` is the transpose of ``to``, and ``part`` is an orthogonal projection.
    """
    shape = wrong.shape

    def product(z: Tensor) -> Tensor:
        return to(part(back(z.view(shape)))).flatten(1)

    least = 10 * torch.finfo(wrong.dtype).eps
    found = minres(product, wrong.flatten(1), min(0.1, max(tol, least)), budget)
    return part(back(found.x.view(shape)))


def _into_cone(one: Instance, y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Where the domain of G* bounds coordinates from one side only: y plus a multiple of y₀ = K1, 1
    with the signs of the bounds, if Kᵀy₀ has these signs too; and v = −Kᵀy.
    """
    outside = norms(v - nearest(one.G, v)) > 0
    if not bool(outside.any()):
        return y, v
    far = _far(v)
    above, below = far - nearest(one.G, far), far + nearest(one.G, -far)
    signs = (above > 0).to(v) - (below > 0).to(v)
    free = (above == 0) & (below == 0)
    y_0 = one.K(signs)
    u = one.K.adjoint(y_0, one.domain)
    leads = outside & everywhere((signs * u > 0) | free) & everywhere((signs != 0) | free)
    margin = 100 * torch.finfo(v.dtype).eps * column(largest(v), v)
    over = torch.where(signs != 0, (signs * v + margin).clamp(min=0) / (signs * u), 0.0)
    t = torch.where(leads, largest(over), 0.0)
    y = torch.where(column(leads, y), y + column(t, y) * y_0, y)
    return y, -one.K.adjoint(y, one.domain)
