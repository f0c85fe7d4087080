"""What a convex function offers; all but ``value`` and ``prox`` has a default."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar, Literal

import torch
from torch import Size, Tensor, nn

from ergodual.errors import ErgodualError, NotGivenError
from ergodual.tensors import Number, held_in_order

ProxGradient = tuple[Tensor, tuple[Tensor | None, ...]]


class Function(nn.Module):
    """A convex function f of batches ``(batch, *sample)``, summed over the axes of a sample.

    A subclass gives :meth:`value` and :meth:`prox`; the conjugate's prox follows by Moreau's
    identity and the prox derivatives by automatic differentiation. A subclass that knows better
    overrides them.

    A parameter with as many axes as the batch that f is applied to has a row for each sample, or
    one row for all; any other is shared and broadcasts against a sample.

    Attributes
    ----------
    derivative_from
        What :meth:`prox_vjp` and :meth:`prox_conjugate_vjp` are handed: ``"output"``, the result of
        the prox (nothing but the iterates is kept), or ``"input"``, its argument z, which the sweep
        then keeps for every iteration.
    separable
        Whether f(x) = Σ f_i(x_i), so that a prox may have a step for each coordinate and its
        derivative is a diagonal.
    per_sample
        The names of parameters and buffers that may have a row for each sample; None if that is not
        known, and then samples that are solved stay in their batch.
    nonnegative
        The names of parameters that must not be negative.
    indicator
        Whether f takes no values but 0 and ∞, so that f* is positively homogeneous.

    Examples
    --------
    >>> class Absolute(ed.Function):
    ...     def value(self, x):
    ...         return x.abs().flatten(1).sum(1)
    ...     def prox(self, z, step):
    ...         return z - z.clamp(-step, step)
    >>> ed.check_function(Absolute(), like=torch.randn(2, 5, dtype=torch.float64))
    """

    derivative_from: ClassVar[Literal["input", "output"]] = "input"
    separable: ClassVar[bool] = False
    per_sample: ClassVar[tuple[str, ...] | None] = None
    nonnegative: ClassVar[tuple[str, ...]] = ()
    indicator: ClassVar[bool] = False

    def value(self, x: Tensor) -> Tensor:
        """f(x) for each sample, shape ``(batch,)``."""
        raise _missing(self, "value(x)")

    def conjugate(self, y: Tensor) -> Tensor:
        """f*(y) = sup_x ⟨x, y⟩ − f(x) for each sample, shape ``(batch,)``."""
        raise _missing(self, "conjugate(y)")

    def prox(self, z: Tensor, step: Number) -> Tensor:
        """argmin_x f(x) + ‖x − z‖² / (2 step); a step that is a tensor broadcasts against z."""
        raise _missing(self, "prox(z, step)")

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        """The prox of f*, by Moreau: z − step · prox_{f/step}(z / step)."""
        return z - step * self.prox(z / step, 1 / step)

    def share_in_domain(self, y: Tensor) -> Tensor:
        """The largest s ≤ 1 for which f*(s y) is finite, for each sample, ``(batch,)``; it is if
        f*(y) is, and by default 0 if not.
        """
        return self.conjugate(y).isfinite().to(y.dtype)

    def domain_indicator(self) -> Function | None:
        """The indicator of where f is finite; None where that is everywhere, or not known."""
        return self if self.indicator else None

    def strong_convexity(self) -> float:
        """A number μ ≥ 0 for which f − ½ μ ‖·‖² is convex, the largest known."""
        return 0.0

    def smoothness(self) -> float:
        """A Lipschitz constant of ∇f, infinite where f has a kink; f* is strongly convex with its
        inverse.

        ``solve`` tells by it whether a smooth G has directions that it hardly bends in. Give it for
        a G of your own that has, as least squares behind a strong blur: without it the minimum of G
        alone, which is far away in such directions, is taken for the scale of x, and a sample may
        be called solved too early, in float32 above all.
        """
        return math.inf

    def observed(self, observation: Tensor) -> tuple[Function, Tensor]:
        """Of a data term and observations b, a function F and an offset c: it is F(Ax + c). By
        default f and −b.
        """
        return self, -observation

    def prox_(self, z: Tensor, step: Number) -> Tensor:
        """:meth:`prox` written over z."""
        return z.copy_(self.prox(z, step))

    def prox_conjugate_(self, z: Tensor, step: Number) -> Tensor:
        """:meth:`prox_conjugate` written over z."""
        return z.copy_(self.prox_conjugate(z, step))

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that f depends on, in the order of the vector–Jacobian products' results:
        parameters, then buffers, as they were registered.

        Raises
        ------
        ErgodualError
            If there are several, one of them parametrised, so that their order is not known, and
            products are given by hand.
        """
        return held_in_order(self, "prox_vjp", "prox_conjugate_vjp", base=Function)

    def keeps_input(self) -> bool:
        """Whether derivatives need z: what :attr:`derivative_from` says, or a parameter decides."""
        return self.derivative_from == "input"

    def encloses_zero(self) -> bool:
        """Whether f is finite at 0, as far as is known; :class:`~ergodual.Problem` needs it."""
        return True

    def parameter_shape(self, sample: Size) -> Size:
        """What parameters for samples of this shape broadcast against."""
        return sample

    def require_valid(self) -> None:
        """Raise :class:`ErgodualError` unless f's parameters make it a convex function."""

    def project_(self) -> None:
        """Move learned parameters that have left their range to its border."""
        for name in self.nonnegative:
            held = self._parameters.get(name)
            if held is not None:
                held.data.clamp_(min=0)

    def check(self, batch: int, sample: Size) -> None:
        """Raise :class:`ErgodualError` unless f's parameters fit so many samples of this shape, and
        those that are learned, which may have left their range, are valid.
        """
        if any(t.requires_grad for t in self.tensors()):
            self.require_valid()
        shape = (batch, *self.parameter_shape(sample))
        for name in self.per_sample or ():
            held = getattr(self, name, None)
            if isinstance(held, Tensor):
                # from the last axis on, as torch broadcasts
                pairs = zip(reversed(held.shape), reversed(shape), strict=False)
                if held.ndim > len(shape) or any(own not in (1, size) for own, size in pairs):
                    raise ErgodualError(
                        f"{type(self).__name__}'s {name.strip('_')} has shape {tuple(held.shape)}, "
                        f"which does not fit {batch} samples of shape {tuple(sample)}; make it "
                        f"broadcast against {shape[1:]}, or {shape} with a row for each sample."
                    )

    def of_samples(self, rows: Tensor, batch: Size) -> Function:
        """f for some samples of a batch of this shape: those rows of what has one for each."""
        chosen = copy.copy(self)
        chosen._parameters, chosen._buffers = dict(self._parameters), dict(self._buffers)
        for name in self.per_sample or ():
            held = self._parameters.get(name, self._buffers.get(name))
            if held is not None and held.ndim == len(batch) and len(held) == batch[0] != 1:
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
            z or prox(z), as :meth:`keeps_input` says.
        step
            The step of the prox.
        grad
            The gradient with respect to the prox; it may be overwritten.
        parameters
            Whether the gradients in :meth:`tensors` are wanted too.

        Returns
        -------
        The gradient in z, and those in :meth:`tensors` (an empty tuple unless wanted; None for a
        tensor without one). The gradient in the step needs no product of the function's own: with δ
        the gradient in z it is ⟨δ, p − z⟩/step.
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
            p = prox(z, step)
            gradients: tuple[Tensor | None, ...] = (None,) * (1 + len(wanted))
            if p.requires_grad:  # not so where p is constant
                gradients = torch.autograd.grad(p, [z, *wanted], grad, allow_unused=True)
        if not parameters:
            return _known(gradients[0], z), ()
        found = iter(gradients[1:])
        return _known(gradients[0], z), tuple(
            next(found) if t.requires_grad else None for t in self.tensors()
        )


def _missing(f: Function, method: str) -> NotGivenError:
    return NotGivenError(f"{type(f).__name__} gives no {method}, which is needed here; define it.")


def _known(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient
