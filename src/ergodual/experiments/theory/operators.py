"""Operators learned at several depths by several gradients."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ergodual.bilevel import fit
from ergodual.errors import NotConvergedWarning, NotDifferentiableWarning, NotFiniteError
from ergodual.experiments.theory.frames import Frames, problem_of
from ergodual.experiments.theory.outputs import output_of
from ergodual.experiments.theory.setting import Setting
from ergodual.primal_dual import Reverse, StepSizes, Truncated, Unrolled
from ergodual.primal_dual.unrolled import Adjoint
from ergodual.problem import Problem
from ergodual.solving import AtSolution, Implicit, Neumann, Solved

GRADIENTS = ("plain", "ergodic", "truncated", "stationary", "implicit")
COMMON = 8
"""The depth of the two operators whose gradients are followed to other depths."""


@dataclass(frozen=True)
class Learned:
    """One training: what gradient, at what depth, or at the solution (None)."""

    gradient: str
    depth: int | None

    @property
    def name(self) -> str:
        """Its file name, without an ending."""
        return f"{self.gradient}-solved" if self.depth is None else f"{self.gradient}-d{self.depth}"

    @property
    def output(self) -> str:
        """All but ``ergodic`` learn with the last iterate."""
        return "1/k" if self.gradient == "ergodic" else "plain"

    def adjoint(self, setting: Setting) -> Adjoint:
        """How gradients flow."""
        if self.gradient == "truncated":
            return Truncated(setting.truncated)
        if self.gradient == "stationary":
            return Neumann(setting.stationary)
        return Implicit() if self.gradient == "implicit" else Reverse()


def compared(setting: Setting) -> list[Learned]:
    """The operators whose transfer is measured; of those that agree bit for bit, only the plain
    one.
    """
    return [
        Learned(gradient, depth)
        for gradient in GRADIENTS
        for depth in sorted(set(setting.depths))
        if not (gradient == "ergodic" and depth == 1)
        and not (gradient == "truncated" and depth <= setting.truncated)
    ] + [Learned("implicit", None)]


def followed() -> list[Learned]:
    """The operators whose gradients are measured at all depths."""
    return [Learned("plain", COMMON), Learned("ergodic", COMMON)]


def learn(
    run: Learned, frames: Frames, setting: Setting, on_epoch: Callable[[int], None] = lambda _: None
) -> tuple[Tensor, dict[str, Any]]:
    """K, and how it was learned; where the training leaves the finite numbers, that of the last
    good epoch.
    """
    begun = time.perf_counter()
    adjoint, problem = run.adjoint(setting), problem_of(setting)
    model = _model(run, problem, adjoint, setting)
    seen = irregular = unsolved = 0
    losses: list[float] = []
    ended = ""

    def look(_: float) -> None:
        nonlocal seen, irregular, unsolved
        if isinstance(adjoint, Implicit) and adjoint.report is not None:
            seen, irregular = (
                seen + len(adjoint.report.regular),
                irregular + int((~adjoint.report.regular).sum()),
            )
        if isinstance(model, Solved) and model.solution is not None:
            unsolved += int((~model.solution.converged).sum())

    def tell(epoch: int, loss: float) -> None:
        losses.append(loss)
        on_epoch(epoch)

    try:
        with warnings.catch_warnings():
            for counted in (NotDifferentiableWarning, NotConvergedWarning):
                warnings.simplefilter("ignore", counted)
            fit(
                model,
                *frames.learned,
                epochs=setting.epochs,
                batch_size=setting.batch,
                optimizer="adam",
                lr=setting.lr,
                schedule="cosine",
                seed=setting.seed,
                on_step=look,
                on_epoch=lambda epoch: tell(epoch.epoch, epoch.train_loss),
            )
    except NotFiniteError as error:
        ended = str(error)
    K = problem.K.tensors()[0].detach()
    told = {
        "gradient": run.gradient,
        "depth": run.depth,
        "loss": losses,
        "norm": float(problem.K.norm().detach()),
        "irregular": irregular / seen if seen else None,
        "unsolved": unsolved / seen if run.depth is None else None,
        "ended": ended,
        "seconds": time.perf_counter() - begun,
    }
    return K, told


def _model(run: Learned, problem: Problem, adjoint: Adjoint, setting: Setting) -> Unrolled | Solved:
    if run.depth is None:
        assert isinstance(adjoint, AtSolution)
        return Solved(problem, adjoint=adjoint, max_iterations=setting.deepest)
    return Unrolled(
        problem,
        run.depth,
        StepSizes.weighted(setting.weight),
        output_of(run.output, run.depth),
        adjoint,
    )
