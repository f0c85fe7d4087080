"""Models of whole recordings: primal-dual networks whose thresholds are predicted from what they
restore.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ergodual.functions import L21, Box
from ergodual.operators import Framed
from ergodual.primal_dual import Ergodic, StepSizes, Unrolled
from ergodual.primal_dual.unrolled import Functions
from ergodual.problem import Problem
from ergodual.speech.thresholds import ThresholdMap

GAIN = 0.9
"""‖K‖ to begin with."""
THRESHOLD = 0.3
"""All thresholds to begin with, in half steps."""
LARGEST = 20.0
"""Of what a recording adds to their logarithms: e to the 89 is not finite."""


@dataclass(frozen=True)
class NetworkSpec:
    """What a model of whole recordings is made of; signals are measured in half steps of the
    quantizer.

    Attributes
    ----------
    model
        ``"network"``: an operator K_k, thresholds and step sizes of each iteration; ``"convex"``:
        one K, with σ = τ = 0.99/‖K‖ and θ = 1, and thresholds that are those of all iterations: the
        iteration converges to the solution of a convex problem, whatever the recording.
    n, hop
        Samples a frame, and from one to the next.
    pairs
        Complex coefficients a frame.
    depth
        Iterations.
    channels, blocks
        Of the map that predicts the thresholds.
    """

    model: Literal["network", "convex"] = "network"
    n: int = 320
    hop: int = 160
    pairs: int = 320
    depth: int = 8
    channels: int = 192
    blocks: int = 2


class Network(nn.Module):
    """x̂ of whole recordings in half steps, ``(batch, length)``: inside of ±1 around x̃, or of the
    cells that are given.

    F is the ℓ1 norm of the complex coefficients of overlapping frames, weighted by thresholds
    e^(t + T(|K₁x̃|)), of which t and the map T are learned; G is the indicator of the cells. Given
    the recording, the lower level is convex (cf. Brauer, Zhao, Lorenz, Fingscheidt, "Learning to
    dequantize speech signals by primal-dual networks", ICASSP 2019, without the map).

    Parameters
    ----------
    spec
        What it is made of.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        convex = spec.model == "convex"
        each = 1 if convex else spec.depth
        problems = [
            Problem(
                L21(size=2, dim=2),
                Box(radius=1.0),
                Framed.dft(spec.n, spec.hop, 2 * spec.pairs, GAIN),
            )
            for _ in range(each)
        ]
        output = Ergodic("learned")
        if convex:
            self.unrolled = Unrolled(problems[0], spec.depth, StepSizes.balanced(), output)
        else:
            sigma, tau, theta = (nn.Parameter(torch.ones(spec.depth)) for _ in range(3))
            steps = StepSizes.fixed(sigma, tau, theta)
            self.unrolled = Unrolled(problems, steps=steps, output=output)
        nn.init.zeros_(output.logits)
        self.log_thresholds = nn.Parameter(torch.full((each, spec.pairs), math.log(THRESHOLD)))
        self.map = ThresholdMap(spec.pairs, each, spec.channels, spec.blocks)

    def forward(self, x_tilde: Tensor, G: Functions | None = None) -> Tensor:
        """The estimates; G is another box for this call."""
        return self.unrolled(x_tilde, G=G, F=self.functions(x_tilde))  # type: ignore[no-any-return]

    def functions(self, x_tilde: Tensor) -> L21 | list[L21]:
        """F for these recordings, of each iteration, or one for all of them where it is convex."""
        K = self.unrolled.problems[0].K
        real, imaginary = K(x_tilde).unflatten(-1, (2, -1)).unbind(-2)
        # the root has no derivative at 0
        magnitudes = (real.square() + imaginary.square() + 1e-8).sqrt().to(x_tilde.dtype)
        weights = (self.log_thresholds + self.map(magnitudes).clamp(max=LARGEST)).exp()
        found = [L21(weight, size=2, dim=2) for weight in weights.unbind(2)]
        return found[0] if self.spec.model == "convex" else found

    @property
    def reach(self) -> int:
        """Samples to both sides beyond which nothing counts for an estimate."""
        spec = self.spec
        overlap = spec.n // spec.hop - 1
        frames = spec.depth * overlap + (1 << spec.blocks) - 1
        return frames * spec.hop + spec.n
