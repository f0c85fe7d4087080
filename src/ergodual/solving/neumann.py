"""Gradients at a solution by reverse steps that stand still there."""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.solving.at_solution import AtSolution, FixedPoint, Sums
from ergodual.solving.linearised import Linearised


class Neumann(AtSolution):
    """b steps of the reverse sweep (7)–(10), all with the last iterates and their derivatives.

    Nothing is stored. With b growing it becomes the derivative at the solution, where there is one:
    the partial sums of its Neumann series (Brauer, Lorenz, "Asymptotic analysis and truncated
    backpropagation for the unrolled primal-dual algorithm", EUSIPCO 2023). For any operator and
    functions; every sample has the steps that it was solved with.

    At a kink, and where the solution is not unique, there is no such derivative and no warning, as
    :class:`Implicit` gives: what comes is the sum of these b terms, with the derivatives that the
    proxes have on the side of the kink on which rounding left the iterates.

    Parameters
    ----------
    b
        The number of reverse steps.

    Attributes
    ----------
    last_term
        The size of the last term of the series over that of its sum, √(‖P‖²/τ + ‖S‖²/σ) of each
        sample, ``(batch,)``, on the latest backward pass; None before the first. Where it is not
        small the series was cut too early.

    Raises
    ------
    ErgodualError
        If b is below 1.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor(0.3))
    >>> problem = ed.Problem(F=ed.L1(weight), G=ed.SquaredL2(), K=ed.Gradient())
    >>> layer = ed.Solved(problem, adjoint=ed.Neumann(200))
    >>> layer(torch.tensor([[0.1, -0.1, 0.0, 1.1, 0.9, 1.0]]))[0, 0].backward()
    >>> weight.grad
    tensor(0.3333)
    """

    def __init__(self, b: int) -> None:
        if not isinstance(b, int) or b < 1:
            raise ErgodualError(
                f"The number of reverse steps is {b}; it must be a whole number, at least 1."
            )
        self.b = b
        self.last_term: Tensor | None = None

    def gradients(self, point: FixedPoint, g: Tensor, wanted: Wanted) -> Gradients:
        """See :class:`AtSolution`."""
        one, at = point.instance, Linearised.of(point)
        K, domain, sigma, tau, theta = one.K, one.domain, point.sigma, point.tau, point.theta
        P, S = torch.zeros_like(point.r), torch.zeros_like(point.y)
        V = V_later = torch.zeros_like(P)  # KᵀS of the last step and of the one before it
        sums = Sums(*(torch.zeros_like(t) for t in (P, S, P, S)))
        for k in range(self.b):
            into_P = P + tau * ((1 + theta) * V - theta * V_later + (g if k == 0 else 0.0))
            P = at.M_P(into_P)
            into_S = S - sigma * K(P)
            S = at.M_D(into_S)
            V, V_later = K.adjoint(S, domain), V
            for total, term in zip(sums, (P, S, into_P, into_S), strict=True):
                total += term
        size = at.size(sums.P, sums.S)
        self.last_term = torch.where(size > 0, at.size(P, S) / size, 0.0)
        return point.collect(sums, g, wanted)


class OneStep(Neumann):
    """One reverse step at the last iterates, as if their start were constant.

    The derivative of a single iteration (Bolte, Pauwels, Vaiter, "One-step differentiation of
    iterative algorithms", NeurIPS 2023): good where the iteration converges fast. Of kinks it
    warns as little as :class:`Neumann`.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> layer = ed.Solved(problem, adjoint=ed.OneStep())
    """

    def __init__(self) -> None:
        super().__init__(1)
