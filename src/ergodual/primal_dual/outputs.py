"""Outputs of the iteration: the averaging weights α_k in x̂ = x̃ + Σ_k α_k r^k."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.tensors import hold, shown


class Output(nn.Module):
    """Gives the weights α of shape ``(depth,)``."""

    def prepare(self, depth: int, like: Tensor) -> None:
        """Make the parameters that depend on the depth, of the type and device of ``like``;
        ``Unrolled`` calls this once.
        """

    def forward(self, depth: int) -> Tensor:
        """The weights α_1 … α_depth."""
        raise NotImplementedError


class Last(Output):
    """The plain output: the last iterate, α_d = 1 and the rest 0.

    Examples
    --------
    >>> ed.Last()(4)
    tensor([0., 0., 0., 1.], dtype=torch.float64)
    """

    def forward(self, depth: int) -> Tensor:
        return _fixed("last", depth)


class Ergodic(Output):
    """An ergodic average.

    For what starts at the observation, as quantization and denoising. With an operator A, where
    x^0 = 0, :class:`Last` is better, by more than a decibel on patches of images
    (docs/choosing.md).

    Parameters
    ----------
    weights
        ``"1/k"``: α_k ∝ 1/k, summing to 1 (Brauer, Lorenz 2019); ``"uniform"``: 1/d; ``"learned"``:
        a softmax of parameters that starts at ``"1/k"``; or a tensor of shape ``(depth,)``, used as
        given (an nn.Parameter is learned).

    Raises
    ------
    ErgodualError
        If the weights are none of these, or, in :class:`~ergodual.Unrolled`, not one for each
        iteration.

    Examples
    --------
    >>> ed.Ergodic("1/k")(4)
    tensor([0.4800, 0.2400, 0.1600, 0.1200], dtype=torch.float64)
    """

    logits: Tensor
    given: Tensor

    def __init__(self, weights: str | Tensor = "1/k") -> None:
        super().__init__()
        if isinstance(weights, Tensor):
            self.kind = "given"
            hold(self, "given", weights)
        elif weights in ("1/k", "uniform", "learned"):
            self.kind = weights
            self.register_parameter("logits", None)
        else:
            raise ErgodualError(
                f"Ergodic's weights are {weights!r}; they must be '1/k', 'uniform', 'learned' or "
                "a tensor."
            )

    def prepare(self, depth: int, like: Tensor) -> None:
        if self.kind == "learned" and not isinstance(self.logits, Tensor):
            self.logits = nn.Parameter(
                -torch.arange(1, depth + 1, dtype=like.dtype, device=like.device).log()
            )
        if self.kind not in ("given", "learned"):
            return
        held = self.given if self.kind == "given" else self.logits
        if held.shape != (depth,):
            raise ErgodualError(
                f"There are averaging weights of shape {tuple(held.shape)} for {depth} "
                "iterations; give one for each."
            )

    def extra_repr(self) -> str:
        return f"({shown(self.given)})" if self.kind == "given" else repr(self.kind)

    def forward(self, depth: int) -> Tensor:
        if self.kind == "given":
            return self.given
        if self.kind == "learned":
            if not isinstance(self.logits, Tensor):
                raise ErgodualError(
                    "These averaging weights are learned; hand them to Unrolled, which makes "
                    "their parameters."
                )
            return self.logits.softmax(0)
        return _fixed(self.kind, depth)


def _fixed(kind: str, depth: int) -> Tensor:
    """``"last"``, ``"1/k"`` or ``"uniform"``."""
    if kind == "last":
        return torch.tensor([0.0] * (depth - 1) + [1.0], dtype=torch.float64)
    weights = [1 / k if kind == "1/k" else 1.0 for k in range(1, depth + 1)]
    return torch.tensor(weights, dtype=torch.float64) / math.fsum(weights)
