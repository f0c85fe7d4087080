"""The Kullback–Leibler divergence, the data term of counts."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function
from ergodual.functions.box import NonNegative
from ergodual.functions.translated import Translated
from ergodual.tensors import hold, holds, real, require, revealed, total


class KullbackLeibler(Function):
    """f(x) = Σ x_i − c_i + c_i log(c_i/x_i) for x_i ≥ 0 (x_i > 0 where c_i > 0), else ∞.

    The negative log-likelihood of Poisson counts c of mean x, up to a constant. prox_{τf}(z) is the
    root x ≥ 0 of x² + (τ − z) x = τc; f*(y) = −Σ c_i log(1 − y_i), and prox_{σf*}(z) = 1 − the root
    v ≥ 0 of v² − (1 − z) v = σc (Chambolle, Pock, "An introduction to continuous optimization for
    imaging", 2016; Sawatzky, Brune, Müller, Burger, "Total variation processing of images with
    Poisson statistics", 2009).

    As ``data`` of :class:`~ergodual.InverseProblem` it takes the observations for c and is a
    function of Ax itself, not of Ax − b.

    Parameters
    ----------
    counts
        c ≥ 0: a tensor that broadcasts against a sample, or against the batch if it has as many
        axes; None as a data term, which is told them.

    Raises
    ------
    ErgodualError
        If a count is negative or not finite, or, when it is used, there are none.

    Examples
    --------
    >>> counts = torch.tensor([[3.0, 0.0, 5.0]])
    >>> F, K = ed.L1(0.1), ed.Gradient()
    >>> problem = ed.InverseProblem(data=ed.KullbackLeibler(), F=F, K=K, G=ed.NonNegative())
    >>> x = ed.solve(problem, counts).x  # counts are what is observed
    """

    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ("counts",)

    def __init__(self, counts: Tensor | None = None) -> None:
        super().__init__()
        if counts is None:
            self.counts = None
            return
        hold(self, "counts", real("KullbackLeibler's counts", counts))
        self.require_valid()

    def require_valid(self) -> None:
        c = self._c()
        require(
            (c >= 0) & torch.as_tensor(c).isfinite(),
            lambda: (
                f"A count of KullbackLeibler is {float(revealed(c).detach().min()):g}; counts are "
                "numbers from 0 on (a background is added to the mean, by Translated)."
            ),
        )

    def observed(self, observation: Tensor) -> tuple[Function, Tensor]:
        if self.counts is not None:
            return super().observed(observation)
        # around c, where r = 0 costs something finite
        return Translated(KullbackLeibler(observation), -observation), -observation

    def value(self, x: Tensor) -> Tensor:
        c = self._c()
        log = torch.where(c > 0, c * (c / x.clamp(min=0)).log(), 0.0)
        # beside c the two terms are nearly opposite: by their difference from it, without that
        near = (x - c).abs() < 0.5 * c
        u = torch.where(near, x - c, 0.0) / torch.where(near, c, 1.0)
        found = torch.where(near, c * (u - u.log1p()), x - c + log)
        return total(torch.where(x >= 0, found, torch.inf))

    def conjugate(self, y: Tensor) -> Tensor:
        c = self._c()
        left = 1 - y
        inside = torch.where(c > 0, -c * (-y).clamp(min=-1).log1p(), 0.0)
        return total(torch.where(left >= 0, inside, torch.inf))

    def share_in_domain(self, y: Tensor) -> Tensor:
        inside = 1 - 4 * torch.finfo(y.dtype).eps
        return torch.where(y >= inside, inside / y, 1.0).flatten(1).amin(1)

    def domain_indicator(self) -> Function | None:
        return NonNegative()

    def prox(self, z: Tensor, step: float | Tensor) -> Tensor:
        return _root(z - step, step * self._c())

    def prox_conjugate(self, z: Tensor, step: float | Tensor) -> Tensor:
        return 1 - _root(1 - z, step * self._c())

    def encloses_zero(self) -> bool:
        return self.counts is None or holds(self._c() <= 0)

    def _c(self) -> Tensor:
        if not isinstance(self.counts, Tensor):
            raise ErgodualError(
                "KullbackLeibler has no counts; give KullbackLeibler(counts), or take it as the "
                "data= of an InverseProblem, whose observations are the counts."
            )
        return self.counts


def _root(a: Tensor, q: Tensor) -> Tensor:
    """The root x ≥ 0 of x² − a x = q, without cancellation; of a and q = 0, 0 with no slope."""
    tiny = torch.finfo(a.dtype).tiny
    far = a.abs() + (a.square() + 4 * q).clamp(min=tiny).sqrt()
    return torch.where(a > 0, far / 2, 2 * q / far)
