"""The solution of the lower level as a layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor, nn

from ergodual.autocast import in_own_type
from ergodual.errors import ErgodualError
from ergodual.functions import Function
from ergodual.problem import LowerLevel
from ergodual.solving.at_solution import AtSolution, FixedPoint
from ergodual.solving.implicit import Implicit
from ergodual.solving.methods import Method, default_method
from ergodual.solving.scales import scales_of, steps_of
from ergodual.solving.solution import Solution, Start
from ergodual.solving.solve import solve_instance

TOLERANCE = {torch.float64: 1e-9, torch.float32: 3e-6}


class Solved(nn.Module):
    """x̂ ∈ argmin F(Kx) + G(x − x̃), (1) of Brauer, Lorenz 2019, solved to a tolerance and
    differentiated at the solution.

    Parameters
    ----------
    problem
        The lower-level problem.
    tol, method, max_iterations
        See :func:`solve`; the tolerance is 1e-9 in float64 and 3e-6 in float32 if None, since a
        derivative needs the right active set.
    adjoint
        How gradients flow: ``Implicit()`` (if None), ``Piggyback()``, ``Neumann(b)`` or
        ``OneStep()``; all but the first take each sample's own steps.

    Attributes
    ----------
    solution
        The latest one, with its certificates; None before the first call.
    start
        Where the next call starts from, if it is not told; None for nowhere in particular.

    Raises
    ------
    ErgodualError
        If the adjoint is one that goes through the iterations of ``Unrolled``.

    Examples
    --------
    How the first sample of the solution moves with the weight, which is a third here:

    >>> weight = torch.nn.Parameter(torch.tensor(0.3))
    >>> layer = ed.Solved(ed.Problem(F=ed.L1(weight), G=ed.SquaredL2(), K=ed.Gradient()))
    >>> x_hat = layer(torch.tensor([[0.1, -0.1, 0.0, 1.1, 0.9, 1.0]]))
    >>> x_hat[0, 0].backward()
    >>> weight.grad
    tensor(0.3333)
    """

    def __init__(
        self,
        problem: LowerLevel,
        tol: float | None = None,
        adjoint: AtSolution | None = None,
        method: Method[Any] | None = None,
        max_iterations: int = 100_000,
    ) -> None:
        super().__init__()
        if not isinstance(problem, LowerLevel):
            raise ErgodualError(
                f"Solved got a {type(problem).__name__}; it solves one Problem or InverseProblem "
                "(networks with a problem of each iteration have no solution: take Unrolled)."
            )
        if adjoint is not None and not isinstance(adjoint, AtSolution):
            given = adjoint if isinstance(adjoint, type) else type(adjoint).__name__
            raise ErgodualError(
                f"The adjoint is {given}; Solved takes Implicit(), Piggyback(), Neumann(b) or "
                "OneStep(), which need no iterations."
            )
        self.problem, self.tol = problem, tol
        self.method, self.max_iterations = method, max_iterations
        self.adjoint = Implicit() if adjoint is None else adjoint
        self.solution: Solution | None = None
        self.start: Solution | Start | None = None

    @in_own_type
    def forward(
        self,
        observation: Tensor,
        G: Function | None = None,
        F: Function | None = None,
        start: Solution | Start | Tensor | None = None,
    ) -> Tensor:
        """The solution x̂, ``(batch, *domain)``.

        Parameters
        ----------
        observation
            x̃ or b, ``(batch, *sample)``.
        G, F
            Other functions for this call; gradients flow into their tensors.
        start
            What to start from, see :func:`solve`; the layer's own ``start`` if None.

        Raises
        ------
        ErgodualError
            If the observations do not fit the problem.

        Warns
        -----
        NotConvergedWarning
            If a sample has not reached the tolerance.
        """
        self.adjoint.require_no_transform()
        changed = F is not None or G is not None
        problem = self.problem.with_functions(F, G) if changed else self.problem
        one = problem.to_solve(observation)
        if torch.is_grad_enabled():
            self.adjoint.check(one)
        start = self.start if start is None else start
        method = default_method(one, start) if self.method is None else self.method
        norm = one.K.norm_bound(one.domain)
        tol = TOLERANCE.get(observation.dtype, 0.0) if self.tol is None else self.tol
        found = solve_instance(one, tol, method, self.max_iterations, start, norm)
        self.solution = found
        if not torch.is_grad_enabled():
            return found.x
        scales = scales_of(one, method.precondition)
        sigma, tau = steps_of(one, norm or 1.0, scales, found.weight)
        point = FixedPoint(one, found.r, found.y, sigma, tau, 1.0)
        return self.adjoint.attach(point, found.x)

    def extra_repr(self) -> str:
        return f"tol={self.tol}, adjoint={type(self.adjoint).__name__}"

    def numbers(self, domain: Size | None = None) -> tuple[list[float], list[float], list[float]]:
        """σ_k, τ_k and α_k of :class:`Unrolled`, which there are none of."""
        return [], [], []
