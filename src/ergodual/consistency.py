"""Whether the products with K and Kᵀ are those of one operator whose norm is what it is said to be.

A certificate is worth no more than the adjoint in it.
"""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators import Operator
from ergodual.tensors import column, dots, norms, random_like

APART = {torch.float64: 1e-8, torch.float32: 1e-3}
"""How far ⟨Kr, y⟩ and ⟨r, Kᵀy⟩ may be apart by rounding, relative to ‖Kr‖‖y‖ + ‖r‖‖Kᵀy‖."""
ROUNDINGS = 100
"""So many roundings of ‖K‖‖r‖‖y‖ may lie between them where both products are next to nothing."""
POWER_STEPS = 10
"""Products with KᵀK before a bound of ‖K‖ is compared with ‖Kr‖/‖r‖."""


def require_consistent(r: Tensor, Kr: Tensor, y: Tensor, KTy: Tensor, norm: float) -> None:
    """That ⟨Kr, y⟩ = ⟨r, Kᵀy⟩ and ‖Kr‖ ≤ ``norm`` ‖r‖ for each sample of a batch.

    Raises
    ------
    ErgodualError
        If either is violated by more than rounding.
    """
    ours, theirs = dots(Kr, y), dots(r, KTy)
    size_r, size_y, size_Kr = norms(r), norms(y), norms(Kr)
    size = APART[r.dtype] * (size_Kr * size_y + size_r * norms(KTy))
    rounding = ROUNDINGS * torch.finfo(r.dtype).eps * size_r * size_y
    if math.isfinite(norm):
        rounding = rounding * norm
    tiny = torch.finfo(r.dtype).tiny  # below which products have fewer digits
    wrong = (ours - theirs).abs() > size + rounding + tiny
    if bool(wrong.any()):
        raise ErgodualError(
            f"The operator's adjoint is wrong: <Kr, y> is {float(ours[wrong][0]):.6g} and "
            f"<r, K^T y> is {float(theirs[wrong][0]):.6g}; test it with ed.check_operator."
        )
    long = (size_Kr > 1.001 * norm * size_r) & size_Kr.isfinite() & (size_r > tiny**0.5)
    if bool(long.any()):
        least = float((size_Kr / size_r)[long].max())
        raise ErgodualError(
            f"The operator's norm is taken to be at most {norm:.6g}, and there is an r with "
            f"|Kr|/|r| = {least:.6g}; give an upper bound as norm=, or let the operator's "
            "norm_bound return one."
        )


def require_products(K: Operator, domain: Size, like: Tensor) -> None:
    """That K and its adjoint take a sample, and give tensors of its type.

    Raises
    ------
    ErgodualError
        If not.
    """
    with torch.no_grad():
        zeros = like.new_zeros((1, *domain))
        seen = K(zeros)
        require_type_kept(K, zeros, seen)
        try:
            back = K.adjoint(seen, domain)
        except TypeError as error:
            raise ErgodualError(
                f"{type(K).__name__}.adjoint cannot be called ({error}); it takes a dual variable "
                "and the shape of a sample of the result, adjoint(y, domain)."
            ) from error
        require_type_kept(K, seen, back)


def require_type_kept(K: Operator, x: Tensor, Kx: Tensor) -> None:
    """Raise :class:`ErgodualError` if K gives other numbers than it was given."""
    if not isinstance(Kx, Tensor):
        raise ErgodualError(
            f"{type(K).__name__} gives a {type(Kx).__name__}; let its forward and adjoint return "
            "tensors."
        )
    if Kx.dtype != x.dtype:
        raise ErgodualError(
            f"{type(K).__name__} makes {Kx.dtype} of {x.dtype}; let it keep the type (of complex "
            "numbers, real and imaginary parts can be channels)."
        )


def probe(K: Operator, domain: Size, like: Tensor, norm: float) -> None:
    """:func:`require_consistent` at a random r and y = Kr, and after some power steps.

    A solution that is found at once, as at 0, shows nothing of K.

    Raises
    ------
    ErgodualError
        Likewise, or if K gives other numbers than it was given.
    """
    r = random_like(like.new_empty((1, *domain)), 0)
    with torch.no_grad():
        Kr = K(r)
        require_type_kept(K, r, Kr)
        KTKr = K.adjoint(Kr, domain)
        require_consistent(r, Kr, Kr, KTKr, norm)
        for _ in range(POWER_STEPS):
            size = norms(KTKr)
            if not float(size) > 0:
                return
            r = KTKr / column(size, KTKr)
            Kr = K(r)
            KTKr = K.adjoint(Kr, domain)
        require_consistent(r, Kr, Kr, KTKr, norm)
