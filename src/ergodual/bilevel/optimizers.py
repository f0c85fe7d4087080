"""The optimizer of a training, from a name or from what makes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from ergodual.bilevel.layers import operators_of
from ergodual.errors import ErgodualError
from ergodual.tensors import described

Optimizer = Literal["sgd", "adam"] | Callable[[Any], torch.optim.Optimizer]

LR = 0.05
_OPTIMIZERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def stepper_of(
    model: nn.Module, optimizer: Optimizer, lr: float | None, lr_scale: float
) -> tuple[torch.optim.Optimizer, float]:
    """The optimizer, with the ``scale`` of each of its groups, and the learning rate."""
    learned = [p for p in model.parameters() if p.requires_grad]
    if not learned:
        raise ErgodualError(
            "The model has no parameter that requires a gradient; there is nothing to learn."
        )
    in_operators = {id(t) for K in operators_of(model) for t in K.parameters()}
    operator = [p for p in learned if id(p) in in_operators]
    others = [p for p in learned if id(p) not in in_operators]
    parts = [(some, scale) for some, scale in ((operator, 1.0), (others, lr_scale)) if some]
    groups: list[Any] = [{"params": some} for some, _ in parts]
    if isinstance(optimizer, str):
        if optimizer not in _OPTIMIZERS:
            raise ErgodualError(
                f"The optimizer is {optimizer!r}; it must be one of {', '.join(_OPTIMIZERS)}, or "
                "what makes one, as torch.optim.AdamW."
            )
        lr = LR if lr is None else lr
        stepper = _OPTIMIZERS[optimizer](groups, lr=lr, foreach=False)
    else:
        # LBFGS takes no groups
        stepper = _made(optimizer, learned if lr_scale == 1.0 else groups)
    held = [p for group in stepper.param_groups for p in group["params"]]
    if not held or {id(p) for p in held} - {id(p) for p in learned}:
        raise ErgodualError(
            f"The optimizer holds {len(held)} parameters, and not only those of the model that "
            "require a gradient; make it of what it is called with, as lambda params: "
            "torch.optim.AdamW(params, lr=1e-3)."
        )
    own = [float(group["lr"]) for group in stepper.param_groups]
    scales = [scale for _, scale in parts] if len(parts) == len(own) else [1.0] * len(own)
    for group, of_group, scale in zip(stepper.param_groups, own, scales, strict=True):
        group["scale"] = scale * of_group / own[0]
    return stepper, own[0] if lr is None else lr


def _made(optimizer: Any, params: list[Any]) -> torch.optim.Optimizer:
    if isinstance(optimizer, torch.optim.Optimizer) or not callable(optimizer):
        raise ErgodualError(
            f"The optimizer is {described(optimizer)}; give what makes one, as torch.optim.AdamW "
            "or lambda params: torch.optim.AdamW(params, lr=1e-3), so that it has all parameters."
        )
    try:
        stepper = optimizer(params)
    except (TypeError, ValueError) as error:
        raise ErgodualError(
            f"No optimizer could be made of the model's parameters: {error}; give what takes them "
            "alone, as functools.partial(torch.optim.AdamW, lr=1e-3)."
        ) from error
    if not isinstance(stepper, torch.optim.Optimizer):
        raise ErgodualError(
            f"The optimizer's factory makes {described(stepper)}; it must make an optimizer of "
            "torch's."
        )
    return stepper
