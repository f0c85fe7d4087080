"""Central differences, and how far gradients are from others."""

from collections.abc import Callable

import torch
from torch import Tensor


def five_point(
    value: Callable[[], Tensor], inputs: dict[str, Tensor], h: float = 2e-5
) -> dict[str, Tensor]:
    """The slopes of the sum of ``value()`` in every entry, by five points each, so that neither
    truncation nor rounding shows.
    """
    found = {}
    with torch.no_grad():
        for name, t in inputs.items():
            flat, slope = t.view(-1), torch.zeros(t.numel(), dtype=t.dtype)
            for i in range(t.numel()):
                kept = flat[i].clone()
                values = {}
                for shift in (1, -1, 2, -2):
                    flat[i] = kept + shift * h
                    values[shift] = value()
                flat[i] = kept
                slope[i] = (
                    (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
                ).sum()
            found[name] = slope.view(t.shape)
    return found


def relative(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The largest relative error of a parameter's gradient; one that vanishes is held against the
    whole gradient.
    """
    whole = torch.cat([t.reshape(-1) for t in theirs.values()]).norm()
    return max(
        float((ours[name] - t).norm() / max(t.norm(), 1e-3 * whole, 1e-3))
        for name, t in theirs.items()
    )
