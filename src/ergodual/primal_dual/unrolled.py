"""The primal-dual algorithm, stopped after a fixed number of iterations, as a layer."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.functions import Function
from ergodual.primal_dual.forward import Numbers, estimate
from ergodual.primal_dual.outputs import Ergodic, Output
from ergodual.primal_dual.reverse import Reverse
from ergodual.primal_dual.steps import Steps, StepSizes
from ergodual.primal_dual.tape import unroll
from ergodual.problem import Problem


class Adjoint(Protocol):
    """How gradients flow through the sweep."""

    def __call__(self, problem: Problem, x_tilde: Tensor, steps: Steps, weights: Tensor) -> Tensor:
        """x̂, differentiable."""


class Unrolled(nn.Module):
    """d iterations of Chambolle–Pock, (3)–(5) of Brauer, Lorenz 2019, as a differentiable layer.

    Parameters
    ----------
    problem
        The lower-level problem.
    depth
        The number of iterations d ≥ 1.
    steps
        The step size rule; ``StepSizes.balanced()`` if None.
    output
        The output; ``Ergodic("1/k")`` if None.
    adjoint
        How gradients flow; ``Reverse()`` if None.

    Raises
    ------
    ErgodualError
        If the depth is below 1 or the averaging weights are not as many as the iterations.
    """

    def __init__(
        self,
        problem: Problem,
        depth: int,
        steps: StepSizes | None = None,
        output: Output | None = None,
        adjoint: Adjoint | None = None,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ErgodualError(f"The depth is {depth}; it must be at least 1.")
        self.problem = problem
        self.depth = depth
        self.steps = StepSizes.balanced() if steps is None else steps
        self.output = Ergodic("1/k") if output is None else output
        self.adjoint: Adjoint = Reverse() if adjoint is None else adjoint
        self.steps.prepare(problem.K, depth)
        self.output.prepare(depth, problem.K.tensors()[0])

    def forward(self, x_tilde: Tensor, G: Function | None = None) -> Tensor:
        """The estimate x̂.

        Parameters
        ----------
        x_tilde
            The observations, ``(batch, n)``.
        G
            Another data term for this call, for instance a box with bounds for each sample.

        Returns
        -------
        x̂ of shape ``(batch, n)``.

        Raises
        ------
        ErgodualError
            If x̃ has another shape, type or device than the operator expects.
        """
        problem = self.problem if G is None else self.problem.with_data_term(G)
        problem.check(x_tilde)
        steps = self.steps(problem.K, self.depth)
        weights = self.output(self.depth).to(x_tilde)
        if not torch.is_grad_enabled():
            if torch.compiler.is_compiling():  # a graph holds no numbers read to the host
                return unroll(problem, x_tilde, steps, weights)
            return estimate(problem, x_tilde, Numbers.read(steps, weights))[0]
        return self.adjoint(problem, x_tilde, steps, weights)

    def numbers(self) -> tuple[list[float], list[float], list[float]]:
        """σ_k, τ_k and α_k of every iteration."""
        with torch.no_grad():
            sigma, tau, _ = self.steps(self.problem.K, self.depth)
            return sigma.tolist(), tau.tolist(), self.output(self.depth).tolist()

    def refresh(self) -> None:
        """Forget how K came to be what it is."""
        self.steps.refresh(self.problem.K)
