"""Small helpers on batches: axis 0 is the batch, the rest is the sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from numpy.random import default_rng  # at once: loaded later, it swallows a Ctrl-C
from torch import Tensor, nn
from torch.autograd import forward_ad

from ergodual.errors import ErgodualError

Number = float | Tensor
Module = TypeVar("Module", bound=nn.Module)
LEAST_STEP = {torch.float64: 1e-300, torch.float32: 1e-36}
_TENSORS = {Tensor, nn.Parameter}


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


def room(count: int, dtype: torch.dtype) -> float:
    """By how much, relatively, rounding may put a projection onto a ball outside of it.

    A norm over n entries was off by up to 60 ε for n = 2·10⁶ (less than √n ε/20), and by 2 ε below
    n = 10³.
    """
    return (4 + math.sqrt(count) / 8) * torch.finfo(dtype).eps


def share_within(sizes: Tensor, bound: Number) -> Tensor:
    """The largest s ≤ 1 with s · sizes ≤ bound, or a rounding less, for each sample."""
    inside = 1 - 4 * torch.finfo(sizes.dtype).eps
    shares = torch.where(sizes > bound, inside * bound / sizes, 1.0).flatten(1)
    return shares.amin(1) if shares.shape[1] else shares.new_ones(len(shares))


def of_any_batch(transform: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A transform of each sample, also of none, of which torch's FFT makes an error."""
    if len(x):
        return transform(x)
    return transform(torch.cat([x, x.new_zeros((1, *x.shape[1:]))]))[:0]


def as_step(values: Tensor) -> Tensor:
    """Steps that every prox takes: from 1e-300 to 1e300 in float64, 1e-36 to 1e36 in float32."""
    least = LEAST_STEP.get(values.dtype, 1e-36)
    return values.clamp(least, 1 / least)


def largest(x: Tensor) -> Tensor:
    """max |x_i| of each sample, ``(batch,)``; 0 of a sample without entries."""
    return x.abs().flatten(1).amax(1) if x[0:1].numel() else x.new_zeros(len(x))


def extremes(value: Number) -> tuple[float, float]:
    """The least and the largest number of a weight; 0 of one with a row for each of no samples."""
    if not isinstance(value, Tensor):
        return value, value
    if not value.numel():
        return 0.0, 0.0
    least, largest_ = value.detach().aminmax()
    return float(least), float(largest_)


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


def held_in_order(module: nn.Module, *methods: str, base: type[nn.Module]) -> tuple[Tensor, ...]:
    """:func:`held_by`, in whose order these methods of a class of a base give derivatives.

    Raises
    ------
    ErgodualError
        If a tensor of several was parametrised, by which it lost its place, and one of the methods
        is the class's own.
    """
    found, kind = held_by(module), type(module)
    if len(found) > 1 and "_parametrised" in module.__dict__:
        own = next((m for m in methods if getattr(kind, m) is not getattr(base, m)), None)
        require(
            own is None,
            lambda: (
                f"{kind.__name__} gives derivatives by hand ({own}) in {len(found)} tensors, and "
                "parametrize has changed their order; define tensors(), which states it."
            ),
        )
    return found


def random_like(like: Tensor, seed: int) -> Tensor:
    """Normally distributed numbers, shaped like this and of its type, the same for a seed."""
    # numpy's, as torch.vmap lets none of torch's own be drawn
    numbers = default_rng(seed).standard_normal(tuple(like.shape))
    return torch.from_numpy(numbers).to(like)


def plain(module: Module, known: dict[int, Any] | None = None) -> Module:
    """The module; or, if tensors of it are parametrised (``torch.nn.utils.parametrize``), one that
    holds their values, through which gradients flow on. A module that is there twice is evaluated
    once, and stays one.
    """
    if not _is_parametrised(module):
        return module
    known = {} if known is None else known
    if id(module) not in known:
        known[id(module)] = _evaluated(module, known)
    found: Module = known[id(module)]
    return found


def _evaluated(module: Module, known: dict[int, Any]) -> Module:
    made = module.__class__.__new__(module.__class__)
    made.__dict__.update(module.__dict__)
    made._parameters, made._buffers = dict(module._parameters), dict(module._buffers)
    made._modules = {
        name: None if child is None else plain(child, known)
        for name, child in module._modules.items()
        if name != "parametrizations"
    }
    if "parametrizations" in module._modules:
        made.__class__ = type(module).__mro__[1]
        for name in module._modules["parametrizations"]._modules:  # type: ignore[union-attr]
            made._buffers[name] = getattr(module, name)
    made.__dict__["_parametrised"] = True  # itself, or a child of it
    return made


def frozen(module: Module) -> Module:
    """A copy that keeps the tensors and numbers of now, whatever becomes of the module's.

    Its tensors have no history, so that the gradient in one of them is the partial derivative, even
    if it was made from another one. Those that have none anyway are the module's own: whatever
    else of it refers to them, as a bound method does, still does.

    Raises
    ------
    ErgodualError
        If a tensor needs a gradient and is neither a parameter nor a buffer.
    """
    known: dict[int, Tensor] = {}

    def of(t: Tensor) -> Tensor:
        if t.is_leaf:
            return t
        if id(t) not in known:
            known[id(t)] = t.detach().requires_grad_(t.requires_grad)
        return known[id(t)]

    return _copy(module, of)


def replaced(module: Module, tensors: dict[int, Tensor]) -> Module:
    """A copy with other tensors in the place of those with these ids."""
    return _copy(module, lambda t: tensors.get(id(t), t))


def _copy(module: Module, of: Callable[[Tensor], Tensor]) -> Module:
    made = module.__class__.__new__(module.__class__)
    # not by setattr, through which torch goes slowly
    state = dict(module.__dict__)
    for kind in ("_parameters", "_buffers"):
        state[kind] = {n: None if t is None else of(t) for n, t in state[kind].items()}
    children = module._modules.items()
    state["_modules"] = {n: None if child is None else _copy(child, of) for n, child in children}
    made.__dict__.update(state)
    for name, value in state.items():
        sort = type(value)
        if (sort in _TENSORS and value.requires_grad) or (sort in (list, tuple) and value):
            _require_registered(module, name, value)
    return made


def _require_registered(module: nn.Module, name: str, value: Any) -> None:
    """That a tensor that needs a gradient, alone or in a list, is a parameter or a buffer."""
    given = [value] if isinstance(value, Tensor) else value
    left = [t for t in given if type(t) in _TENSORS and t.requires_grad]
    if not left:
        return
    held = {id(t) for t in held_by(module)}
    if any(id(t) not in held for t in left):
        raise ErgodualError(
            f"{type(module).__name__} holds a tensor {name} that needs a gradient and is "
            "neither parameter nor buffer, so that none would flow into it; give it to the "
            "constructor, or take register_parameter or register_buffer (or detach() what forward "
            "leaves there to be looked at)."
        )


def _is_parametrised(module: nn.Module) -> bool:
    children = module._modules
    if "parametrizations" in children:
        return True
    return any(child is not None and _is_parametrised(child) for child in children.values())


def transformed(gradient: Tensor | None = None) -> bool:
    """Whether a transform of ``torch.func`` or forward-mode differentiation is at work, or this is
    a batch of gradients, as ``is_grads_batched`` makes.
    """
    if gradient is not None and torch._C._functorch.is_legacy_batchedtensor(gradient):
        return True
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def traced() -> bool:
    """Whether torch compiles or transforms what is done here: a graph holds no numbers that are
    read to the host, and a transform writes to no memory that it is given.
    """
    return torch.compiler.is_compiling() or transformed()


def described(given: object) -> str:
    """A value for a message: the shape and type of a tensor, the kind of anything else."""
    if isinstance(given, Tensor):
        return f"a tensor of shape {tuple(given.shape)} and type {given.dtype}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {len(given)}"
    return f"a {type(given).__name__}"


def shown(value: Number) -> str:
    """A weight, say, for a repr: its number, or its shape."""
    if not isinstance(value, Tensor):
        return f"{value:g}"
    numbers = revealed(value)
    is_number = numbers.ndim == 0 and not value.is_meta
    return f"{numbers.item():g}" if is_number else str(tuple(value.shape))


def real(said: str, value: object) -> Number:
    """A number or a real floating-point tensor, as it is.

    Raises
    ------
    ErgodualError
        If it is something else.
    """
    if isinstance(value, Tensor):
        if not value.is_floating_point():
            raise ErgodualError(
                f"{said} is a tensor of type {value.dtype}; convert it to floating-point numbers, "
                "as with .float()."
            )
        return value
    if isinstance(value, float | int):
        return float(value)
    raise ErgodualError(
        f"{said} is a {type(value).__name__}; give a number or a tensor, as of "
        "torch.as_tensor(values)."
    )


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


def hold_learned(module: nn.Module, name: str, value: Tensor) -> None:
    """Keep a tensor as a parameter of the module; one that has a history, by which gradients flow
    on, as a buffer.
    """
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    elif value.requires_grad:
        module.register_buffer(name, value)
    else:
        module.register_parameter(name, nn.Parameter(value))


def holds(condition: bool | Tensor) -> bool:
    """Whether a condition holds everywhere, and for all that ``torch.vmap`` maps over."""
    return bool(revealed(condition).all()) if isinstance(condition, Tensor) else condition


def revealed(t: Tensor) -> Tensor:
    """The numbers of a tensor that transforms of ``torch.func`` wrap, with the axes they hide."""
    while transformed() and torch._C._functorch.is_functorch_wrapped_tensor(t):
        t = torch._C._functorch.get_unwrapped(t)
    return t


def require(condition: bool | Tensor, message: str | Callable[[], str]) -> None:
    """Raise :class:`ErgodualError` unless the condition holds everywhere.

    Of a tensor in a graph for export, or of the device meta, that is not known. A message that
    shows tensors, which takes long, is better made only when it is needed.
    """
    if isinstance(condition, Tensor) and (torch.compiler.is_exporting() or condition.is_meta):
        return
    if not holds(condition):
        raise ErgodualError(message if isinstance(message, str) else message())


def require_nonnegative(said: str, value: Number) -> None:
    """Raise :class:`ErgodualError` where a weight or radius is negative, as learned ones become."""

    def message() -> str:
        least = float(revealed(value).detach().min()) if isinstance(value, Tensor) else value
        return (
            f"{said} is {least:g}; it must not be negative (to learn it, parametrise it, as by "
            "torch.nn.utils.parametrize and a softplus)."
        )

    require(_least_and_largest(value)[0] >= 0, message)


def require_weight(said: str, value: Number) -> None:
    """Raise :class:`ErgodualError` where a weight is negative or infinite, with which products with
    0 are no numbers.
    """
    require_nonnegative(said, value)
    finite = _least_and_largest(value)[1] < math.inf
    require(finite, f"{said} is infinite; give a finite number (a bound is a Box, or an L2Ball).")


def require_finite(said: str, value: Number) -> None:
    """Raise :class:`ErgodualError` where a number is infinite, or none."""

    def message() -> str:
        numbers = torch.as_tensor(revealed(value) if isinstance(value, Tensor) else value).detach()
        wrong = float(numbers[~numbers.isfinite()][0])
        return f"{said} is {wrong:g}; give finite numbers."

    finite = value.isfinite() if isinstance(value, Tensor) else math.isfinite(value)
    require(finite, message)


def _least_and_largest(value: Number) -> tuple[Number, Number]:
    """In one pass where that is possible: a map of weights is as large as the dual variable."""
    if not isinstance(value, Tensor) or not value.numel() or traced() or value.is_meta:
        return value, value
    return value.detach().aminmax()
