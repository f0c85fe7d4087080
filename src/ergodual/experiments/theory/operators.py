"""Operators learned at several depths by several gradients."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ergodual.bilevel import fit
from ergodual.errors import NotDifferentiableWarning, NotFiniteError
from ergodual.experiments.theory.frames import Frames, problem_of
from ergodual.experiments.theory.outputs import output_of
from ergodual.experiments.theory.setting import Setting
from ergodual.primal_dual import Implicit, Reverse, Stationary, StepSizes, Truncated, Unrolled
from ergodual.primal_dual.unrolled import Adjoint

GRADIENTS = ("plain", "ergodic", "truncated", "stationary", "implicit")
COMMON = 8
"""The depth of the two operators whose gradients are followed to other depths."""


@dataclass(frozen=True)
class Learned:
    """One training: what gradient, at what depth."""

    gradient: str
    depth: int

    @property
    def name(self) -> str:
        """Its file name, without an ending."""
        return f"{self.gradient}-d{self.depth}"

    @property
    def output(self) -> str:
        """All but ``ergodic`` learn with the last iterate."""
        return "1/k" if self.gradient == "ergodic" else "plain"

    def adjoint(self, setting: Setting) -> Adjoint:
        """How gradients flow."""
        if self.gradient == "truncated":
            return Truncated(setting.truncated)
        if self.gradient == "stationary":
            return Stationary(setting.stationary)
        return Implicit() if self.gradient == "implicit" else Reverse()


def compared(setting: Setting) -> list[Learned]:
    """The operators whose transfer is measured; of those that agree bit for bit, only the plain one."""
    return [
        Learned(gradient, depth)
        for gradient in GRADIENTS
        for depth in sorted(set(setting.depths))
        if not (gradient == "ergodic" and depth == 1) and not (gradient == "truncated" and depth <= setting.truncated)
    ]


def followed() -> list[Learned]:
    """The operators whose gradients are measured at all depths."""
    return [Learned("plain", COMMON), Learned("ergodic", COMMON)]


def learn(
    run: Learned, frames: Frames, setting: Setting, on_epoch: Callable[[int], None] = lambda _: None
) -> tuple[Tensor, dict[str, Any]]:
    """K, and how it was learned; where the training leaves the finite numbers, that of the last good epoch."""
    begun = time.perf_counter()
    adjoint, problem = run.adjoint(setting), problem_of(setting)
    steps = StepSizes.weighted(setting.weight)
    model = Unrolled(problem, run.depth, steps, output_of(run.output, run.depth), adjoint)
    seen = irregular = 0
    losses: list[float] = []
    ended = ""

    def look(_: float) -> None:
        nonlocal seen, irregular
        if isinstance(adjoint, Implicit) and adjoint.report is not None:
            seen, irregular = seen + len(adjoint.report.regular), irregular + int((~adjoint.report.regular).sum())

    def tell(epoch: int, loss: float) -> None:
        losses.append(loss)
        on_epoch(epoch)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotDifferentiableWarning)  # counted instead
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
        "ended": ended,
        "seconds": time.perf_counter() - begun,
    }
    return K, told
