"""The outputs that are compared, by name."""

from __future__ import annotations

import torch

from ergodual.primal_dual.outputs import Ergodic, Last, Output

OUTPUTS = ("plain", "1/k", "uniform", "first and last")
"""The last: 1/3 on the first iterate and 2/3 on the last one, which is about what weights become
when they are learned.
"""
FIRST = 1 / 3
COLOURS = {"plain": "#222222", "1/k": "#c2410c", "uniform": "#2563eb", "first and last": "#15803d"}


def output_of(name: str, depth: int) -> Output:
    """Where the depth is 1, all are the same."""
    if name == "plain":
        return Last()
    if name != "first and last":
        return Ergodic(name)
    weights = torch.zeros(depth, dtype=torch.float64)
    weights[0] += FIRST
    weights[-1] += 1 - FIRST
    return Ergodic(weights)
