"""What sweeps and solvers see of a problem and a batch of observations: an instance of (1')."""

from __future__ import annotations

from typing import NamedTuple

from torch import Size, Tensor

from ergodual.autocast import in_own_type
from ergodual.functions import Function
from ergodual.functions.sums import split_shift
from ergodual.operators import Operator
from ergodual.operators.unmatched import require_adjoint
from ergodual.tensors import dots


class Instance(NamedTuple):
    """min_r F(K(r + shift) + offset) + G(r) for each sample of a batch.

    Attributes
    ----------
    F, G, K
        The functions and the operator, their parts' shapes known.
    shift
        The primal offset, ``(batch, *domain)``, to which r is added in the estimate; None for 0.
    offset
        The dual offset, ``(batch, *codomain)``; None for 0.
    batch
        How many samples.
    domain, codomain
        The shapes of a sample of r and of Kr.
    like
        A tensor of their type and device.
    reach
        How many leading coordinates of a flat dual an observation can move through the offset; all
        if None.
    """

    F: Function
    G: Function
    K: Operator
    shift: Tensor | None
    offset: Tensor | None
    batch: int
    domain: Size
    codomain: Size
    like: Tensor
    reach: int | None = None

    def constant(self) -> Tensor:
        """c = K shift + offset, ``(batch, *codomain)``."""
        if self.shift is None:
            return self.zeros_dual() if self.offset is None else self.offset
        c = self.K(self.shift)
        return c if self.offset is None else c + self.offset

    def estimate(self, r: Tensor) -> Tensor:
        """x̂ = shift + r."""
        return r if self.shift is None else self.shift + r

    def zeros_primal(self) -> Tensor:
        """r = 0."""
        return self.like.new_zeros((self.batch, *self.domain))

    def zeros_dual(self) -> Tensor:
        """y = 0."""
        return self.like.new_zeros((self.batch, *self.codomain))

    @in_own_type
    def primal(self, r: Tensor) -> Tensor:
        """F(K(r + shift) + offset) + G(r) for each sample."""
        return self.F.value(self.constant() + self.K(r)) + self.G.value(r)

    @in_own_type
    def dual(self, y: Tensor) -> Tensor:
        """⟨c, y⟩ − F*(y) − G*(−Kᵀy) for each sample, c = K shift + offset."""
        require_adjoint(self.K)
        v = -self.K.adjoint(y, self.domain)
        return dots(self.constant(), y) - self.F.conjugate(y) - self.G.conjugate(v)

    def gap(self, r: Tensor, y: Tensor) -> Tensor:
        """Primal minus dual energy, ``(batch,)``: at least 0, and 0 exactly at a solution.

        Infinite where either energy is.
        """
        return self.primal(r) - self.dual(y)

    def detached(self) -> Instance:
        """The same with offsets that need no gradient."""
        shift, offset = (None if t is None else t.detach() for t in (self.shift, self.offset))
        return self._replace(shift=shift, offset=offset)

    def untranslated(self) -> Instance:
        """The same with F's translation in the offset, which leaves r and y as they are."""
        F, b = split_shift(self.F, self.zeros_dual())
        if F is self.F:
            return self
        return self._replace(F=F, offset=-b if self.offset is None else self.offset - b)

    def at(self, rows: Tensor) -> Instance:
        """Some of the samples."""
        primal, dual = (Size((self.batch, *s)) for s in (self.domain, self.codomain))
        return self._replace(
            F=self.F.of_samples(rows, dual),
            G=self.G.of_samples(rows, primal),
            shift=None if self.shift is None else self.shift[rows],
            offset=None if self.offset is None else self.offset[rows],
            batch=len(rows),
        )
