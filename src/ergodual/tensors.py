"""Small helpers on batches: axis 0 is the batch, the rest is the sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from ergodual.errors import ErgodualError

Number = float | Tensor
Module = TypeVar("Module", bound=nn.Module)


def total(x: Tensor) -> Tensor:
    """The sum over each sample, ``(batch,)``."""
    return x.sum(1) if x.ndim == 2 else x.sum(tuple(range(1, x.ndim)))


def dots(x: Tensor, y: Tensor) -> Tensor:
    """⟨x, y⟩ of each sample, ``(batch,)``."""
    return total(x * y)


def norms(x: Tensor) -> Tensor:
    """‖x‖₂ of each sample, ``(batch,)``."""
    found: Tensor = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)))
    return found


def largest(x: Tensor) -> Tensor:
    """max |x_i| of each sample, ``(batch,)``; 0 of a sample without entries."""
    return x.abs().flatten(1).amax(1) if x[0:1].numel() else x.new_zeros(len(x))


def everywhere(condition: Tensor) -> Tensor:
    """Whether a condition holds in every entry of each sample, ``(batch,)``."""
    return condition.flatten(1).all(1)


def column(values: Tensor, like: Tensor) -> Tensor:
    """``(batch,)`` as ``(batch, 1, …, 1)``, which broadcasts against samples like these."""
    return values.view(-1, *[1] * (like.ndim - 1))


def dot(x: Tensor, y: Tensor) -> Tensor:
    """⟨x, y⟩ of whole batches, shape ``()``."""
    return torch.dot(x.reshape(-1), y.reshape(-1))


def held_by(module: nn.Module) -> tuple[Tensor, ...]:
    """The parameters of a module and its children, then the buffers, each once."""
    if module._modules:
        return tuple(module.parameters()) + tuple(module.buffers())
    held = [*module._parameters.values(), *module._buffers.values()]
    return tuple(t for t in dict.fromkeys(held) if t is not None)


def frozen(module: Module) -> Module:
    """A copy that keeps the tensors and numbers of now, whatever becomes of the module's."""
    kept = module.__class__.__new__(module.__class__)
    # not by setattr, through which torch goes slowly
    state = dict(module.__dict__)
    state["_parameters"], state["_buffers"] = dict(module._parameters), dict(module._buffers)
    children = module._modules.items()
    state["_modules"] = {n: None if child is None else frozen(child) for n, child in children}
    kept.__dict__.update(state)
    return kept


def hold(module: nn.Module, name: str, value: Number) -> None:
    """Keep a number as it is, a parameter as the module's, any other tensor as a buffer.

    A buffer keeps the graph that it was made by, so that gradients flow on.
    """
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    elif isinstance(value, Tensor):
        module.register_buffer(name, value)
    else:
        setattr(module, name, float(value))


def require(condition: bool | Tensor, message: str | Callable[[], str]) -> None:
    """Raise :class:`ErgodualError` unless the condition holds everywhere.

    Of a tensor in a graph for export, that is not known. A message that shows tensors, which takes
    long, is better made only when it is needed.
    """
    if isinstance(condition, Tensor) and torch.compiler.is_exporting():
        return
    if not bool(condition.all() if isinstance(condition, Tensor) else condition):
        raise ErgodualError(message if isinstance(message, str) else message())
