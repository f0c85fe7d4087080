"""The elastic net's penalty."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ergodual.functions.base import Function
from ergodual.functions.clip import shrink
from ergodual.tensors import (
    Number,
    extremes,
    hold,
    real,
    require_weight,
    share_within,
    shown,
    total,
)


class ElasticNet(Function):
    """f(x) = Σ w_i |x_i| + ½ λ_i x_i².

    prox_{τf}(z) = s(z, τw) / (1 + τλ) with soft thresholding s; f*(y) = Σ s(y_i, w_i)²/(2λ_i), and
    prox_{σf*}(z) = z − s(z, w) σ/(σ + λ) (Zou, Hastie, "Regularization and variable selection via
    the elastic net", 2005; Parikh, Boyd, "Proximal algorithms", 2014, 6.5.3).

    Parameters
    ----------
    l1, l2
        w ≥ 0 and λ ≥ 0: numbers, or tensors that broadcast against a sample, or against the batch
        if they have as many axes; an nn.Parameter is learned.

    Raises
    ------
    ErgodualError
        If a weight is negative or infinite.

    Examples
    --------
    >>> ed.ElasticNet(1.0, 1.0).prox(torch.tensor([[3.0, 0.5]]), 1.0)
    tensor([[1., 0.]])
    """

    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ("l1", "l2")
    nonnegative: ClassVar[tuple[str, ...]] = ("l1", "l2")
    l1: Number
    l2: Number

    def __init__(self, l1: Number = 1.0, l2: Number = 1.0) -> None:
        super().__init__()
        hold(self, "l1", real("ElasticNet's l1", l1))
        hold(self, "l2", real("ElasticNet's l2", l2))
        self.require_valid()

    def require_valid(self) -> None:
        require_weight("ElasticNet's l1", self.l1)
        require_weight("ElasticNet's l2", self.l2)

    def value(self, x: Tensor) -> Tensor:
        return total(self.l1 * x.abs() + 0.5 * self.l2 * x.square())

    def conjugate(self, y: Tensor) -> Tensor:
        beyond = shrink(y, -self.l1, self.l1).square()
        # where λ is 0, the indicator of |y| <= w
        return total(torch.where(beyond == 0, 0.0, beyond / (2 * self._l2(y))))

    def share_in_domain(self, y: Tensor) -> Tensor:
        bound = torch.where(self._l2(y) > 0, torch.inf, self.l1)
        return share_within(y.abs(), bound)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        bound = step * self.l1
        return shrink(z, -bound, bound) / (1 + step * self.l2)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return z - shrink(z, -self.l1, self.l1) * (step / (step + self.l2))

    def strong_convexity(self) -> float:
        return extremes(self.l2)[0]

    def extra_repr(self) -> str:
        return f"l1={shown(self.l1)}, l2={shown(self.l2)}"

    def _l2(self, like: Tensor) -> Tensor:
        return torch.as_tensor(self.l2, dtype=like.dtype, device=like.device)
