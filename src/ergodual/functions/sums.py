"""Sums of functions of parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Size, Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function, ProxGradient
from ergodual.functions.l21 import L21
from ergodual.functions.quadratic import Zero
from ergodual.functions.translated import Translated
from ergodual.functions.wrapped import Wrapped
from ergodual.tensors import Number


class SeparableSum(Function):
    """f(x_1, …, x_p) = Σ f_i(x_i), a function of the parts of a :class:`~ergodual.Stack`.

    A sample is flat, as the stack gives it: the parts, flattened, one after the other. Each f_i
    sees its part in the shape that K_i gives. The prox is that of the parts, and so is all else.

    Parameters
    ----------
    functions
        The f_i, at least one.
    shapes
        Those of the parts' samples. A problem fills them in from its stack; give them to call the
        function alone.

    Raises
    ------
    ErgodualError
        If there is no function, or, when it is used, the shapes are not known or do not match.

    Examples
    --------
    >>> F = ed.SeparableSum(ed.SquaredL2(), ed.L1(0.1))
    >>> problem = ed.Problem(F, ed.Box(radius=1.0), ed.Stack(ed.Identity(), ed.Gradient()))
    >>> ed.solve(problem, torch.tensor([[2.0, 3.0]])).x.shape
    torch.Size([1, 2])
    """

    def __init__(self, *functions: Function, shapes: Sequence[Size] | None = None) -> None:
        super().__init__()
        for f in functions:
            if not isinstance(f, Function):
                raise ErgodualError(
                    f"SeparableSum got a {type(f).__name__}; give functions, as in "
                    "SeparableSum(L1(), SquaredL2())."
                )
        if not functions:
            raise ErgodualError("SeparableSum got no function; give at least one.")
        self.functions = nn.ModuleList(functions)
        self.shapes = None if shapes is None else [Size(shape) for shape in shapes]

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether all parts are."""
        return all(f.separable for f in self._parts())

    @property
    def per_sample(self) -> tuple[str, ...] | None:  # type: ignore[override]
        """Known where it is known of all parts; :meth:`of_samples` asks them."""
        return None if any(f.per_sample is None for f in self._parts()) else ()

    def bound(self, layout: Any) -> SeparableSum:
        """The same function with the shapes that a stack's layout gives.

        Raises
        ------
        ErgodualError
            If the layout is no stack of as many parts as there are functions.
        """
        count = len(self.functions)
        if isinstance(layout, Size) or len(layout) != count:
            given = "no stack" if isinstance(layout, Size) else f"a stack of {len(layout)}"
            raise ErgodualError(
                f"A sum of {count} functions meets {given}; give a Stack with one operator for "
                "each function."
            )
        parts = [bind(f, part) for f, part in zip(self._parts(), layout, strict=True)]
        return SeparableSum(*parts, shapes=[flat_shape(part) for part in layout])

    def value(self, x: Tensor) -> Tensor:
        return torch.stack([f.value(part) for f, part in self._split(x)]).sum(0)

    def conjugate(self, y: Tensor) -> Tensor:
        return torch.stack([f.conjugate(part) for f, part in self._split(y)]).sum(0)

    def share_in_domain(self, y: Tensor) -> Tensor:
        return torch.stack([f.share_in_domain(part) for f, part in self._split(y)]).amin(0)

    def domain_indicator(self) -> Function | None:
        parts = [f.domain_indicator() for f in self._parts()]
        if not any(parts):
            return None
        return SeparableSum(*(part or Zero() for part in parts), shapes=self.shapes)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        return self._joined(z, step, lambda f: f.prox)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        return self._joined(z, step, lambda f: f.prox_conjugate)

    def prox_(self, z: Tensor, step: Number) -> Tensor:
        for (f, part), s in zip(self._split(z), self._steps(step), strict=True):
            f.prox_(part, s)
        return z

    def prox_conjugate_(self, z: Tensor, step: Number) -> Tensor:
        for (f, part), s in zip(self._split(z), self._steps(step), strict=True):
            f.prox_conjugate_(part, s)
        return z

    def strong_convexity(self) -> float:
        return min(f.strong_convexity() for f in self._parts())

    def smoothness(self) -> float:
        return max(f.smoothness() for f in self._parts())

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(t for f in self._parts() for t in f.tensors())

    def keeps_input(self) -> bool:
        return any(f.keeps_input() for f in self._parts())

    def encloses_zero(self) -> bool:
        return all(f.encloses_zero() for f in self._parts())

    def check(self, batch: int, sample: Size) -> None:
        shapes = self._known_shapes()
        if Size((sum(map(math.prod, shapes)),)) != sample:
            raise ErgodualError(
                f"A sum of functions of parts {[tuple(s) for s in shapes]} meets samples of shape "
                f"{tuple(sample)}; give them flat, one part after the other."
            )
        for f, shape in zip(self._parts(), shapes, strict=True):
            f.check(batch, shape)

    def of_samples(self, rows: Tensor, batch: Size) -> Function:
        shapes = self._known_shapes()
        parts = [
            f.of_samples(rows, Size((batch[0], *shape)))
            for f, shape in zip(self._parts(), shapes, strict=True)
        ]
        return SeparableSum(*parts, shapes=shapes)

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        return self._vjps(kept, step, grad, parameters, conjugate=False)

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        return self._vjps(kept, step, grad, parameters, conjugate=True)

    def _vjps(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool, conjugate: bool
    ) -> ProxGradient:
        found: tuple[Tensor | None, ...] = ()
        inputs = self.keeps_input()
        pieces = zip(self._split(kept), self._split(grad), self._steps(step), strict=True)
        for (f, part), (_, part_grad), s in pieces:
            if inputs and not f.keeps_input():  # some other part needs z; this one what it became
                part = f.prox_conjugate(part, s) if conjugate else f.prox(part, s)
            vjp = f.prox_conjugate_vjp if conjugate else f.prox_vjp
            result, own = vjp(part, s, part_grad, parameters)
            if result is not part_grad:
                part_grad.copy_(result)
            found += own
        return grad, found

    def _joined(
        self, z: Tensor, step: Number, prox: Callable[[Function], Callable[..., Tensor]]
    ) -> Tensor:
        pieces = zip(self._split(z), self._steps(step), strict=True)
        return torch.cat([prox(f)(part, s).flatten(1) for (f, part), s in pieces], 1)

    def _parts(self) -> list[Function]:
        return list(self.functions)  # type: ignore[arg-type]

    def _known_shapes(self) -> list[Size]:
        if self.shapes is None:
            raise ErgodualError(
                "This sum of functions does not know the shapes of its parts; give shapes=, or use "
                "it in a problem whose operator is a Stack."
            )
        return self.shapes

    def _ranges(self) -> list[tuple[int, int]]:
        return list(pairwise(accumulate(map(math.prod, self._known_shapes()), initial=0)))

    def _split(self, x: Tensor) -> list[tuple[Function, Tensor]]:
        """Views of a flat batch as the parts' samples."""
        parts = zip(self._parts(), self._known_shapes(), self._ranges(), strict=True)
        return [(f, torch.unflatten(x[:, a:b], 1, shape)) for f, shape, (a, b) in parts]

    def _steps(self, step: Number) -> list[Number]:
        """Of each part: one number, one for each sample, or, if f_i is separable, coordinate.

        A part that is no sum over coordinates has one step throughout, its first coordinate's.
        """
        if not isinstance(step, Tensor) or step.ndim == 0:
            return [step] * len(self.functions)
        steps: list[Number] = []
        parts = zip(self._parts(), self._known_shapes(), self._ranges(), strict=True)
        for f, shape, (a, b) in parts:
            if step.shape[-1] == 1:
                steps.append(torch.unflatten(step, -1, [1] * len(shape)))
            elif f.separable:
                steps.append(torch.unflatten(step[..., a:b], -1, shape))
            else:
                steps.append(torch.unflatten(step[..., a : a + 1], -1, [1] * len(shape)))
        return steps


def bind(f: Function, layout: Any) -> Function:
    """f with the shapes of a stack's parts, if it is a sum over them."""
    if isinstance(f, SeparableSum):
        return f.bound(layout)
    if isinstance(f, Wrapped):
        return f.around(bind(f.function, layout))
    if isinstance(f, L21) and f.size is None and isinstance(layout, list):
        raise ErgodualError(
            f"L21(dim={f.dim}) meets a Stack, whose parts lie flat one after the other, so that "
            "all would be one group; give SeparableSum with a function for each part."
        )
    return f


def split_shift(f: Function, like: Tensor) -> tuple[Function, Tensor]:
    """Of x ↦ g(x − b) on batches like this one: g and b; what is not translated is its own g."""
    b = torch.zeros_like(like)
    if isinstance(f, Translated):
        g, b = split_shift(f.function, like)
        return g, b + f.shift
    if isinstance(f, SeparableSum):
        pairs = [split_shift(part, at) for part, at in f._split(like)]
        if any(g is not part for (g, _), part in zip(pairs, f._parts(), strict=True)):
            f = SeparableSum(*(g for g, _ in pairs), shapes=f.shapes)
            b = torch.cat([b.flatten(1) for _, b in pairs], 1)
    return f, b


def takes_steps_by_part(f: Function) -> bool:
    """Whether the parts of a stack may have steps of their own in f's prox."""
    inner = f.function if isinstance(f, Translated) else f
    return isinstance(inner, SeparableSum) or inner.separable


def flat_shape(layout: Any) -> Size:
    """The shape of what an operator gives: that of a sample, or a stack's one flat axis."""
    if isinstance(layout, Size):
        return layout
    return Size((sum(math.prod(flat_shape(part)) for part in layout),))
