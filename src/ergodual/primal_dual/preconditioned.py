"""Step sizes of each coordinate, from the rows and columns of a matrix."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.operators import Dense, Operator, Sparse, Stack
from ergodual.operators.norms import SMALL, matrix_of
from ergodual.operators.unmatched import require_adjoint
from ergodual.primal_dual.steps import SAFETY, Operators, Steps, StepSizes
from ergodual.tensors import Number, require


class Preconditioned(StepSizes):
    """σ_i = w · 0.99 / Σ_j |K_ij|^α and τ_j = 0.99 / (w Σ_i |K_ij|^{2−α}), for each coordinate.

    The iteration converges as it does with σ τ ‖K‖² < 1, since the norm of diag(σ)^½ K diag(τ)^½ is
    at most 0.99 (Pock, Chambolle, "Diagonal preconditioning for first order primal-dual
    algorithms", ICCV 2011, Lemma 2): better than :meth:`~ergodual.StepSizes.weighted` where the
    rows or columns of K differ much in size. With α = 2 the iteration is the same whatever factors
    the rows have (and F with them), with α = 0 whatever factors the columns have. F and G have to
    be sums over coordinates. The steps count as constants in gradients, which
    :class:`~ergodual.Reverse` and :class:`~ergodual.Tape` have; to learn the steps, start
    ``StepSizes.fixed(nn.Parameter(sigma), nn.Parameter(tau))`` at what this rule gives.

    Of ``Dense``, ``Sparse`` and stacks of them the sums are those of the entries; other operators'
    matrices are set up for them in each call, where they have up to 2²¹ entries.

    Parameters
    ----------
    alpha
        α, from 0 to 2.
    weight
        w > 0.
    theta
        Of shape ``()`` or ``(depth,)``.

    Raises
    ------
    ErgodualError
        If α or w is out of its range, or, when they are asked for, K is too large or its way back
        is not its adjoint.

    Examples
    --------
    >>> K = ed.Dense(torch.tensor([[1.0, -1.0], [0.0, 100.0]]))
    >>> steps = ed.Preconditioned()(K, depth=1)
    >>> steps.sigma, steps.tau
    (tensor([[0.4950, 0.0099]]), tensor([[0.9900, 0.0098]]))
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=K)
    >>> model = ed.Unrolled(problem, depth=8, steps=ed.Preconditioned())
    """

    def __init__(self, alpha: float = 1.0, weight: float = 1.0, theta: Number = 1.0) -> None:
        super().__init__(theta)
        require(0 <= alpha <= 2, f"Preconditioned's alpha is {alpha}; it must be from 0 to 2.")
        ends = 0 < weight < math.inf
        require(ends, f"The step weight is {weight}; it must be positive (1 is balanced).")
        self.alpha, self.weight = alpha, weight

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:g}, weight={self.weight:g}"

    def forward(
        self, K: Operators, depth: int, domain: Size | None = None, like: Tensor | None = None
    ) -> Steps:
        operators = [K] if isinstance(K, Operator) else K
        for one in operators:
            require_adjoint(one)
        with torch.no_grad():
            known = {id(one): _sums(one, domain, self.alpha, 2 - self.alpha) for one in operators}
            sums = zip(*(known[id(one)] for one in operators), strict=True)
            # a row or column of zeros may have any step
            rows, columns = (torch.stack([t.where(t > 0, 1.0) for t in each]) for each in sums)
        sigma, tau = self.weight * SAFETY / rows, SAFETY / (self.weight * columns)
        return self._steps(sigma, tau, K, depth, like)


def _sums(K: Operator, domain: Size | None, power: float, other: float) -> tuple[Tensor, Tensor]:
    """Σ_j |K_ij|^p, ``(*codomain)``, and Σ_i |K_ij|^q, ``(*domain)``."""
    if isinstance(K, Stack):
        found = [_sums(part, domain, power, other) for part in K.operators()]
        return (
            torch.cat([rows.flatten() for rows, _ in found]),
            torch.stack([columns for _, columns in found]).sum(0),
        )
    if isinstance(K, Sparse):
        return K.sums(_power(K.values, power))[0], K.sums(_power(K.values, other))[1]
    if isinstance(K, Dense):
        return _power(K.matrix, power).sum(1), _power(K.matrix, other).sum(0)
    if domain is None:
        raise ErgodualError(
            f"The rows and columns of {type(K).__name__} depend on the shape of a sample; give "
            "domain=."
        )
    codomain = K.codomain(domain)
    entries = math.prod(domain) * math.prod(codomain)
    require(
        entries <= SMALL,
        f"The matrix of this {type(K).__name__} has {entries} entries, too many to set up for "
        "Preconditioned; give Dense or Sparse, or StepSizes.weighted.",
    )
    matrix = matrix_of(K, domain)
    rows, columns = _power(matrix, power).sum(1), _power(matrix, other).sum(0)
    return rows.view(codomain), columns.view(domain)


def _power(entries: Tensor, power: float) -> Tensor:
    """|K_ij|^p, and 0 of zeros."""
    return torch.where(entries == 0, 0.0, entries.abs() ** power)
