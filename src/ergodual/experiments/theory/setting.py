"""What the theory's experiments are made with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from ergodual.errors import ErgodualError
from ergodual.speech.quantizers import MidRise

Part = Literal["lemma1", "theorem2", "depths", "transfer", "costs"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Setting:
    """Sizes and rates; all of them are options of the command."""

    bits: int = 4
    """Word length of the quantizer, 1 to 16."""
    frame: int = 320
    """Samples a frame."""
    weight: float = 20.0
    """W of the step sizes sigma = W * 0.99/|K| and tau = 0.99/(W |K|)."""
    seed: int = 0
    """Decides which files are held out, which frames are taken, their order, and the random
    directions.
    """

    lemma_frames: int = 4
    """lemma1: frames."""
    lemma_depth: int = 64
    """lemma1: the largest depth; the others are the powers of two below."""
    directions: int = 16
    """lemma1: random directions in K along which differences are taken."""

    limit_frames: int = 8
    """theorem2: frames."""
    limit_depth: int = 4000
    """theorem2: iterations of the long run."""
    limit_weight: float = 60.0
    """theorem2: W of its step sizes."""

    max_depth: int = 512
    """depths: the largest depth; the others are the powers of two below."""
    batches: int = 8
    """depths: mini-batches whose gradients are measured."""

    depths: tuple[int, ...] = (1, 2, 4, 8, 32, 128)
    """transfer: depths at which operators are learned."""
    frames: int = 8000
    """transfer: frames to learn from."""
    held_out: int = 256
    """transfer: frames, from other files, to measure on."""
    epochs: int = 4
    """transfer: how often each operator sees all frames."""
    batch: int = 32
    """transfer: frames a mini-batch."""
    lr: float = 0.0003
    """transfer: learning rate of Adam, which falls to 0 along half a cosine."""
    truncated: int = 8
    """transfer: reverse steps of Truncated."""
    stationary: int = 20
    """transfer: reverse steps of Neumann."""
    deepest: int = 10_000
    """transfer, theorem2: the largest depth that operators and adjoints are followed to."""

    cost_depth: int = 512
    """costs: iterations."""
    cost_batch: int = 64
    """costs: frames."""
    repeats: int = 5
    """costs: how often each time is taken; the median counts."""

    def check(self) -> None:
        """Raise :class:`ErgodualError` if a value is out of its range."""
        MidRise(self.bits)
        for field in fields(self):
            value = getattr(self, field.name)
            least = min(value, default=0) if isinstance(value, tuple) else value
            option = f"--{field.name.replace('_', '-')}"
            if field.name in ("weight", "limit_weight", "lr"):
                if not 0 < value < 1e30:
                    raise ErgodualError(
                        f"The value of {option} is {value}; it must be positive and below 1e30."
                    )
            elif field.name != "seed" and least < (at_least := 2 if field.name == "frame" else 1):
                raise ErgodualError(
                    f"The value of {option} is {least}; it must be at least {at_least}."
                )


def powers_up_to(largest: int) -> list[int]:
    """1, 2, 4, … and the largest."""
    found = [1]
    while 2 * found[-1] < largest:
        found.append(2 * found[-1])
    return [*found, largest] if largest > 1 else found
