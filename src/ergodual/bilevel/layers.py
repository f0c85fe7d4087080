"""What is known of the layers of ours that a model consists of, or has somewhere inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Size, Tensor, nn

from ergodual.bilevel.warm import Memory
from ergodual.operators import Operator
from ergodual.primal_dual import Unrolled
from ergodual.problem import LowerLevel
from ergodual.solving import Solved
from ergodual.tensors import plain


class Layers:
    """The ``Unrolled`` and ``Solved`` in a model, and what passes through them.

    Parameters
    ----------
    model
        Any module.

    Attributes
    ----------
    iterations, solved
        Those of the lower level that ``Solved`` took for so many samples, since they were reset.
    """

    def __init__(self, model: nn.Module) -> None:
        parts = list(model.modules())
        self.all = [part for part in parts if isinstance(part, Unrolled | Solved)]
        self.solved_ones = [part for part in self.all if isinstance(part, Solved)]
        self.operators = operators_of(model)
        self._domains: dict[int, Size] = {}
        self.iterations = self.solved = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While the shapes and the iterations of what passes through are noted."""
        hooks = [layer.register_forward_hook(self._see) for layer in self.all]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def at(self, tol: float | None) -> Iterator[None]:
        """While all ``Solved`` solve to this tolerance; to their own if None."""
        before = [layer.tol for layer in self.solved_ones]
        for layer in self.solved_ones:
            layer.tol = layer.tol if tol is None else tol
        try:
            yield
        finally:
            for layer, old in zip(self.solved_ones, before, strict=True):
                layer.tol = old

    @contextmanager
    def starting(self, memories: list[Memory] | None, rows: Any) -> Iterator[None]:
        """While each ``Solved`` starts from what its memory has of these samples, which it then
        renews.
        """
        if memories is None:
            yield
            return
        pairs = list(zip(self.solved_ones, memories, strict=True))
        for layer, memory in pairs:
            layer.start = memory.of(rows)
        try:
            yield
            for layer, memory in pairs:
                if layer.solution is not None:
                    memory.keep(rows, layer.solution)
        finally:
            for layer, _ in pairs:
                layer.start = None

    def norm(self) -> float | None:
        """The largest spectral norm of an operator; None where there is none."""
        norms = []
        for layer in self.all:
            domain = self._domains.get(id(layer))
            for K in map(plain, operators_of(layer)):
                # exact where that is one decomposition of a matrix
                exact = K.joins_products
                norms.append(float(K.norm(domain).detach()) if exact else K.norm_bound(domain))
        return max(norms, default=None)

    def numbers(self) -> tuple[list[Any], list[Any], list[float]]:
        """σ_k, τ_k and α_k of the first layer."""
        first = next(iter(self.all), None)
        return ([], [], []) if first is None else first.numbers(self._domains.get(id(first)))

    def _see(self, layer: nn.Module, _: Any, x_hat: Tensor) -> None:
        self._domains[id(layer)] = x_hat.shape[1:]
        if isinstance(layer, Solved) and layer.solution is not None:
            self.iterations += float(layer.solution.iterations.sum())
            self.solved += len(x_hat)


def operators_of(model: nn.Module) -> list[Operator]:
    """Those of all lower-level problems in a model, each once."""
    found = [part.operator() for part in model.modules() if isinstance(part, LowerLevel)]
    return list({id(K): K for K in found}.values())


def observed_of(model: nn.Module) -> Callable[[], list[Tensor]]:
    """The gradients whose norm is logged: those in the operators, or in all that is learned."""
    learned = [p for p in model.parameters() if p.requires_grad]
    in_operators = {id(t) for K in operators_of(model) for t in K.parameters()}
    chosen = [p for p in learned if id(p) in in_operators] or learned
    return lambda: [p.grad for p in chosen if p.grad is not None]


def device_of(model: nn.Module) -> torch.device:
    """Where a model is; the CPU where it has nothing to be anywhere."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
