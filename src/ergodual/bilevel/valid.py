"""Parameters that have a range, kept in it."""

from __future__ import annotations

from torch import nn

from ergodual.functions import Function
from ergodual.primal_dual import StepSizes


def project_(model: nn.Module) -> None:
    """Move weights, radii, bounds and given steps that a step of an optimizer took out of their
    range to its border: a projected gradient step. ``fit`` does it after every step.

    Parametrised tensors (``torch.nn.utils.parametrize``) stay in theirs by themselves.

    Parameters
    ----------
    model
        Any module; the functions and step sizes in it are looked at.

    Examples
    --------
    >>> from ergodual.bilevel import project_
    >>> F = ed.L1(torch.nn.Parameter(torch.tensor([0.1, 0.2])))
    >>> _ = F.weight.data.sub_(0.15)  # what a step of an optimizer may do
    >>> project_(F)
    >>> F.weight.detach()
    tensor([0.0000, 0.0500])
    """
    for part in model.modules():
        if isinstance(part, Function | StepSizes):
            part.project_()
