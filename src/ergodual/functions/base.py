"""What a convex function must offer: value, prox, their conjugate counterparts, and the prox derivatives."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ergodual.errors import ErgodualError

Number = float | Tensor
ProxGradient = tuple[Tensor, tuple[Tensor | None, ...]]


class Function(nn.Module):
    """A convex function f of batches ``(batch, n)``, summed over the last axis.

    A subclass gives :meth:`value` and :meth:`prox`; the conjugate's prox follows by Moreau's identity and the prox
    derivatives by automatic differentiation. A subclass that knows better overrides them.

    Attributes
    ----------
    derivative_from
        What :meth:`prox_vjp` and :meth:`prox_conjugate_vjp` are handed: ``"output"``, the result of the prox (nothing
        but the iterates is kept), or ``"input"``, its argument z, which the sweep then keeps for every iteration.
    separable
        Whether f(x) = Σ f_i(x_i), so that a prox may have a step for each coordinate and its derivative is a diagonal.
    per_sample
        The names of parameters and buffers that may have a row for each sample; None if that is not known, and then samples that are
        solved stay in their batch.
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "input"
    separable: ClassVar[bool] = False
    per_sample: ClassVar[tuple[str, ...] | None] = None

    def value(self, x: Tensor) -> Tensor:
        """f(x) for each sample, shape ``(batch,)``."""
        raise NotImplementedError

    def conjugate(self, y: Tensor) -> Tensor:
        """f*(y) = sup_x ⟨x, y⟩ − f(x) for each sample, shape ``(batch,)``."""
        raise NotImplementedError

    def prox(self, z: Tensor, step: Number) -> Tensor:
        """argmin_x f(x) + ‖x − z‖² / (2 step)."""
        raise NotImplementedError

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        """The prox of f*, by Moreau: z − step · prox_{f/step}(z / step)."""
        return z - step * self.prox(z / step, 1 / step)

    def strong_convexity(self) -> Number:
        """The largest known μ ≥ 0 for which f − ½ μ ‖·‖² is convex; shape ``()`` or ``(batch, 1)``."""
        return 0.0

    def smoothness(self) -> Number:
        """The smallest known Lipschitz constant of ∇f, infinite where f has a kink; f* is strongly convex with its inverse."""
        return math.inf

    def prox_(self, z: Tensor, step: Number) -> Tensor:
        """:meth:`prox` written over z."""
        return z.copy_(self.prox(z, step))

    def prox_conjugate_(self, z: Tensor, step: Number) -> Tensor:
        """:meth:`prox_conjugate` written over z."""
        return z.copy_(self.prox_conjugate(z, step))

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that the function depends on, in the order of the parameter gradients of the vector–Jacobian products."""
        return tuple(self.parameters()) + tuple(self.buffers())

    def of_samples(self, rows: Tensor, batch: int) -> Function:
        """f for some samples of a batch: these rows of the tensors in :attr:`per_sample` that have one for each sample."""
        chosen = copy.copy(self)
        chosen._parameters, chosen._buffers = dict(self._parameters), dict(self._buffers)
        for name in self.per_sample or ():
            held = self._parameters.get(name, self._buffers.get(name))
            if held is not None and held.ndim == 2 and len(held) == batch:
                chosen._parameters.pop(name, None)
                chosen._buffers[name] = held.detach()[rows]
        return chosen

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        """Vector–Jacobian product of ``prox(z, step)``.

        Parameters
        ----------
        kept
            z or prox(z), as :attr:`derivative_from` says.
        step
            The step of the prox.
        grad
            The gradient with respect to the prox; it may be overwritten.
        parameters
            Whether the gradients in :meth:`tensors` are wanted too.

        Returns
        -------
        The gradient in z, and those in :meth:`tensors` (an empty tuple unless wanted; None for a tensor without one).
        The gradient in the step needs no product of the function's own: with δ the gradient in z it is ⟨δ, p − z⟩/step.
        """
        return self._replay(self.prox, kept, step, grad, parameters)

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        """Vector–Jacobian product of ``prox_conjugate(z, step)``; see :meth:`prox_vjp`."""
        return self._replay(self.prox_conjugate, kept, step, grad, parameters)

    def _replay(
        self, prox: Any, z: Tensor, step: Number, grad: Tensor, parameters: bool
    ) -> ProxGradient:
        wanted = [t for t in self.tensors() if t.requires_grad] if parameters else []
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            gradients = torch.autograd.grad(prox(z, step), [z, *wanted], grad, allow_unused=True)
        if not parameters:
            return _known(gradients[0], z), ()
        found = iter(gradients[1:])
        return _known(gradients[0], z), tuple(
            next(found) if t.requires_grad else None for t in self.tensors()
        )


def _known(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


def hold(module: nn.Module, name: str, value: Number) -> None:
    """Keep a number as it is, an nn.Parameter as the module's parameter, and any other tensor as a buffer that keeps its graph."""
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    elif isinstance(value, Tensor):
        module.register_buffer(name, value)
    else:
        setattr(module, name, float(value))


def require(condition: bool | Tensor, message: str) -> None:
    """Raise :class:`ErgodualError` unless the condition holds everywhere; of a tensor in a graph for export, that is not known."""
    if isinstance(condition, Tensor) and torch.compiler.is_exporting():
        return
    if not bool(condition.all() if isinstance(condition, Tensor) else condition):
        raise ErgodualError(message)
