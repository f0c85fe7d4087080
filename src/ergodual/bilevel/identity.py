"""What makes a training the one that a checkpoint belongs to, as names and plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ergodual.bilevel.checkpoint import digest
from ergodual.bilevel.data import Data, InMemory
from ergodual.bilevel.schedules import learning_rate
from ergodual.functions import Function
from ergodual.operators import Operator
from ergodual.primal_dual import StepSizes

PLAIN = (int, float, str, bool)


def of_model(model: nn.Module) -> dict[str, Any]:
    """The kind and the numbers of each module, and the tensors that are not learned of those of
    ours.
    """
    found: dict[str, Any] = {}
    for name, part in model.named_modules():
        said = f"{name or 'the model'}'s"
        found[f"{said} kind"] = type(part).__name__
        for key, value in vars(part).items():
            if isinstance(value, PLAIN) and not key.startswith("_") and key != "training":
                found[f"{said} {key}"] = value
        for key, tensor in [*part.named_parameters(recurse=False), *_buffers(part)]:
            found[f"{said} {key}"] = f"{tuple(tensor.shape)}, {tensor.dtype}"
            if isinstance(part, Function | Operator | StepSizes) and not tensor.requires_grad:
                found[f"{said} {key}"] += f", {digest([tensor]):08x}"
    return found


def of_data(data: Data | None) -> Any:
    """Of data in memory, all of them; of others, how many there are."""
    if data is None:
        return None
    return (
        f"{len(data)}, {digest(list(data.tensors)):08x}"
        if isinstance(data, InMemory)
        else (f"{len(data)}")
    )


def of_schedule(schedule: str | Callable[[int], float], lr: float, epochs: int) -> Any:
    """Its name, or what a function gives for the first epoch."""
    if not callable(schedule):
        # where the end decides about the beginning, the end belongs to it
        return f"{schedule} of {epochs} epochs" if schedule == "cosine" else schedule
    return learning_rate(schedule, lr, 0, epochs)


def of_call(call: Any) -> str:
    """A loss's or an optimizer's name, with the plain values that it holds."""
    if isinstance(call, str):
        return call
    name = getattr(call, "__qualname__", None) or type(call).__qualname__
    if hasattr(call, "func"):  # of functools.partial
        return f"{of_call(call.func)} with {call.args}, {sorted(call.keywords.items())}"
    values = vars(call) if hasattr(call, "__dict__") and not isinstance(call, type) else {}
    held = {
        key: digest([value]) if isinstance(value, Tensor) else value
        for key, value in sorted(values.items())
        if isinstance(value, (*PLAIN, Tensor)) and not key.startswith("_") and key != "training"
    }
    return f"{name}{held or ''}"


def _buffers(part: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(key, t) for key, t in part.named_buffers(recurse=False) if t is not None]
