"""The forward sweep (3)–(5) of Brauer, Lorenz 2019 on buffers that the caller chooses: every iterate kept, or none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ergodual.errors import NotFiniteError
from ergodual.primal_dual.steps import Steps
from ergodual.problem import Problem


class Numbers(NamedTuple):
    """σ_k, τ_k, θ and the averaging weights α_k, read to the host once, so that no sweep waits for a device."""

    sigma: list[float]
    tau: list[float]
    theta: float
    alpha: list[float]

    @staticmethod
    def read(steps: Steps, weights: Tensor) -> Numbers:
        """One read each.

        Raises
        ------
        NotFiniteError
            If a step size is not positive and finite, as learned ones become that leave the range of the floating-point numbers.
        """
        sigma, tau = steps.sigma.tolist(), steps.tau.tolist()
        for name, values in (("sigma", sigma), ("tau", tau)):
            for value in values:
                if not 0 < value < math.inf:
                    raise NotFiniteError(
                        f"A step size {name} is {value}; it must be positive and finite."
                    )
        return Numbers(sigma, tau, steps.theta.item(), weights.tolist())


class Trajectory(NamedTuple):
    """The iterates of a stretch of iterations start + 1 .. stop, stacked.

    Attributes
    ----------
    y
        y^start .. y^stop.
    r
        r^(start−1) .. r^stop.
    z_dual, z_primal
        The arguments of the proxes of iterations start + 1 .. stop, for functions whose derivative needs them.
    """

    y: Tensor
    r: Tensor
    z_dual: Tensor | None
    z_primal: Tensor | None

    @staticmethod
    def empty(problem: Problem, x_tilde: Tensor, length: int) -> Trajectory:
        """Room for so many iterations, from r^(−1) = r^0 = 0 and y^0 = 0."""
        batch, K = len(x_tilde), problem.K
        y, r = (
            x_tilde.new_empty((length + 1, batch, K.m)),
            x_tilde.new_empty((length + 2, batch, K.n)),
        )
        y[0] = 0
        r[:2] = 0
        z_dual = torch.empty_like(y[1:]) if problem.F.derivative_from == "input" else None
        z_primal = torch.empty_like(r[2:]) if problem.G.derivative_from == "input" else None
        return Trajectory(y, r, z_dual, z_primal)


class Iteration:
    """(3)–(5) for one batch; Kx̃ is computed once, and every product and prox writes in place.

    With r̄^(k−1) = r^(k−1) + θ (r^(k−1) − r^(k−2)), the product K(x̃ + r̄^(k−1)) is Kx̃ + K r̄^(k−1): the first term rides on
    the pass that copies y^(k−1), and the first iteration needs no product but Kx̃.
    """

    def __init__(self, problem: Problem, x_tilde: Tensor, numbers: Numbers) -> None:
        self.problem, self.numbers = problem, numbers
        self.Kx = problem.K(x_tilde)
        self._r_bar = torch.empty_like(x_tilde)

    def advance(
        self,
        start: int,
        stop: int,
        y: Sequence[Tensor],
        r: Sequence[Tensor],
        z_dual: Tensor | None = None,
        z_primal: Tensor | None = None,
        x_hat: Tensor | None = None,
    ) -> None:
        """Iterations start + 1 .. stop.

        Parameters
        ----------
        start, stop
            How many iterations are done before and after.
        y, r
            The buffers of y^start .. y^stop and r^(start−1) .. r^stop, of which the first one and the first two are read. All
            of y may be one buffer, and those of r two that take turns.
        z_dual, z_primal
            Where the arguments of the proxes go.
        x_hat
            α_k r^k is added to it.
        """
        F, G, K = self.problem.F, self.problem.G, self.problem.K
        sigma, tau, theta, alpha = self.numbers
        for at, k in enumerate(range(start, stop)):
            dual, previous, primal = y[at + 1], r[at + 1], r[at + 2]
            if k == 0:
                torch.mul(self.Kx, sigma[0], out=dual)
            else:
                torch.lerp(r[at], previous, 1 + theta, out=self._r_bar)
                torch.add(y[at], self.Kx, alpha=sigma[k], out=dual)
                K.forward_onto(dual, self._r_bar, sigma[k], out=dual)
            if z_dual is not None:
                z_dual[at] = dual
            F.prox_conjugate_(dual, sigma[k])
            K.adjoint_onto(previous, dual, -tau[k], out=primal)
            if z_primal is not None:
                z_primal[at] = primal
            G.prox_(primal, tau[k])
            if x_hat is not None and alpha[k]:
                x_hat.add_(primal, alpha=alpha[k])

    def record(
        self, start: int, stop: int, trajectory: Trajectory, x_hat: Tensor | None = None
    ) -> None:
        """Iterations start + 1 .. stop into a trajectory that begins with the iterates so far."""
        y, r, z_dual, z_primal = trajectory
        self.advance(start, stop, y.unbind(), r.unbind(), z_dual, z_primal, x_hat)

    def skip(self, start: int, stop: int, state: Trajectory, x_hat: Tensor) -> Trajectory:
        """Iterations start + 1 .. stop, keeping only the last iterates, which take the place of those in ``state``."""
        y, (older, newer) = state.y[0], state.r.unbind()
        length = stop - start
        self.advance(
            start,
            stop,
            [y] * (length + 1),
            [(older, newer)[i % 2] for i in range(length + 2)],
            x_hat=x_hat,
        )
        return state._replace(r=state.r.flip(0)) if length % 2 else state


def estimate(problem: Problem, x_tilde: Tensor, numbers: Numbers) -> tuple[Tensor, Trajectory]:
    """x̂ = x̃ + Σ_k α_k r^k and the last iterates, of which alone it keeps; for use without gradients."""
    x_hat = x_tilde.clone()
    last = Iteration(problem, x_tilde, numbers).skip(
        0, len(numbers.sigma), Trajectory.empty(problem, x_tilde, 0), x_hat
    )
    return x_hat, last
