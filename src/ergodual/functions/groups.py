"""Sums of one function over groups of coordinates."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function, ProxGradient
from ergodual.functions.quadratic import Zero
from ergodual.functions.wrapped import Wrapped
from ergodual.tensors import Number, described, extremes, hold, real, require, shown

LEAST = 1e-6
"""What a learned weight may not fall below."""


class GroupSum(Wrapped):
    """x ↦ Σ_g w_g f(x_g), with the coordinates of each group as a flat sample of f.

    Groups are of any sizes and places, and do not overlap; coordinates in none are free. The prox
    is that of the groups, prox_{τ w_g f}, and the conjugate is Σ w_g f*(y_g/w_g) (Combettes,
    Pesquet, "Proximal splitting methods in signal processing", 2011, Table 10.1). With ``L2()`` it
    is the penalty of the group lasso, usually with w_g = √size (Yuan, Lin, JRSS B 2006), with
    ``LInf()`` that of ℓ1,∞, with ``Simplex()`` it holds the labels of every pixel. Groups that
    overlap are several of these after a ``Stack`` of identities. Equal groups along an axis are
    faster in :class:`~ergodual.L21`.

    Parameters
    ----------
    function
        f, without a row of parameters for each sample.
    groups
        The number of each coordinate's group, integers of the shape of a sample; below 0 of
        coordinates in none.
    weight
        w_g > 0: a number, or one for each group in the order of their numbers; an nn.Parameter is
        learned.

    Raises
    ------
    ErgodualError
        If the groups are no integers or there is none, weights are not positive or not as many, or,
        when it is used, a sample has another shape.

    Examples
    --------
    >>> f = ed.GroupSum(ed.L2(), torch.tensor([0, 0, 1, -1]))
    >>> f.prox(torch.tensor([[3.0, 4.0, 0.5, 9.0]]), 1.0)
    tensor([[2.4000, 3.2000, 0.0000, 9.0000]])
    """

    own: ClassVar[tuple[str, ...]] = ("weight",)
    example: ClassVar[str] = "GroupSum(L2(), torch.tensor([0, 0, 1]))"
    separable: ClassVar[bool] = False
    weight: Number
    groups: Tensor
    _order: Tensor
    _moved: Tensor
    _back: Tensor

    def __init__(self, function: Function, groups: Tensor, weight: Number = 1.0) -> None:
        super().__init__(function)
        if not isinstance(groups, Tensor) or groups.is_floating_point() or groups.is_complex():
            raise ErgodualError(
                f"GroupSum's groups are {described(groups)}; give integers, the number of each "
                "coordinate's group."
            )
        groups = groups.long()
        require(bool((groups >= 0).any()), "GroupSum got no group; give a number of at least 0.")
        self.register_buffer("groups", groups)
        hold(self, "weight", real("GroupSum's weight", weight))
        numbers, sizes = groups[groups >= 0].unique(return_counts=True)
        if isinstance(weight, Tensor):
            require(
                weight.shape in ((), numbers.shape),
                f"GroupSum has {len(numbers)} groups and weights of shape {tuple(weight.shape)}; "
                "give one for all, or one for each.",
            )
        self.require_valid()
        # the coordinates in the order of their group's size, and then of its number; and back
        flat, order = groups.flatten(), sizes.argsort(stable=True)
        rank = torch.full((len(numbers) + 1,), len(numbers), device=groups.device)  # the last: none
        rank[order] = torch.arange(len(numbers), device=groups.device)
        place = torch.where(flat < 0, len(numbers), torch.searchsorted(numbers, flat))
        moved = rank[place].argsort(stable=True)
        for name, index in (("_order", order), ("_moved", moved), ("_back", moved.argsort())):
            self.register_buffer(name, index, persistent=False)
        found, counts = sizes.unique(return_counts=True)
        self._sizes: list[tuple[int, int]] = list(zip(counts.tolist(), found.tolist(), strict=True))

    def require_valid(self) -> None:
        super().require_valid()
        require(
            self.weight > 0,
            lambda: f"GroupSum's weight is {shown(self.weight)}; it must be positive.",
        )

    def project_(self) -> None:
        """Keep learned weights at a millionth or more."""
        held = self._parameters.get("weight")
        if held is not None:
            held.data.clamp_(min=LEAST)

    def check(self, batch: int, sample: Size) -> None:
        if any(t.requires_grad for t in self.tensors()):
            self.require_valid()
        require(
            sample == self.groups.shape,
            f"GroupSum has groups of samples of shape {tuple(self.groups.shape)}, and meets "
            f"{tuple(sample)}; give the number of each coordinate's group.",
        )
        for _, size in self._sizes:
            self.function.check(1, Size((size,)))

    def value(self, x: Tensor) -> Tensor:
        (*parts, free), weights = self._split(x), self._weights(x)
        found = Zero().value(free)
        for part, w, (count, _) in zip(parts, weights, self._sizes, strict=True):
            found = found + (self.function.value(part) * w[:, 0]).view(-1, count).sum(1)
        return found

    def conjugate(self, y: Tensor) -> Tensor:
        (*parts, free), weights = self._split(y), self._weights(y)
        found = Zero().conjugate(free)
        for part, w, (count, _) in zip(parts, weights, self._sizes, strict=True):
            found = found + (self.function.conjugate(part / w) * w[:, 0]).view(-1, count).sum(1)
        return found

    def share_in_domain(self, y: Tensor) -> Tensor:
        (*parts, free), weights = self._split(y), self._weights(y)
        found = Zero().share_in_domain(free)
        for part, w, (count, _) in zip(parts, weights, self._sizes, strict=True):
            each = self.function.share_in_domain(part / w)
            found = torch.minimum(found, each.view(-1, count).amin(1))
        return found

    def domain_indicator(self) -> Function | None:
        inner = self.function.domain_indicator()
        return None if inner is None else GroupSum(inner, self.groups)

    def strong_convexity(self) -> float:
        some_free = bool((self.groups < 0).any())
        return 0.0 if some_free else extremes(self.weight)[0] * self.function.strong_convexity()

    def smoothness(self) -> float:
        return extremes(self.weight)[1] * self.function.smoothness()

    def encloses_zero(self) -> bool:
        return self.function.encloses_zero()

    def keeps_input(self) -> bool:
        return self._learns() or self.function.keeps_input()

    def prox(self, z: Tensor, step: Number) -> Tensor:
        (*parts, free), weights = self._split(z), self._weights(z)
        pairs = zip(parts, weights, strict=True)
        found = [self.function.prox(part, w * _rows(step, z, w)) for part, w in pairs]
        return self._joined([*found, free], z)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        (*parts, free), weights = self._split(z), self._weights(z)
        prox, pairs = self.function.prox_conjugate, zip(parts, weights, strict=True)
        found = [w * prox(part / w, _rows(step, z, w) / w) for part, w in pairs]
        return self._joined([*found, torch.zeros_like(free)], z)

    def prox_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        return self._vjps(kept, step, grad, parameters, conjugate=False)

    def prox_conjugate_vjp(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool = False
    ) -> ProxGradient:
        return self._vjps(kept, step, grad, parameters, conjugate=True)

    def extra_repr(self) -> str:
        return f"groups={len(self._order)}, weight={shown(self.weight)}"

    def _vjps(
        self, kept: Tensor, step: Number, grad: Tensor, parameters: bool, conjugate: bool
    ) -> ProxGradient:
        """With p the prox of f at z and δ its product with the gradient, that in w_g is
        ⟨δ, p − z⟩/w_g, by the prox's step, and ⟨grad − δ, p⟩ of the conjugate's, w_g p(z/w_g).
        """
        f, (*kept_parts, _), (*grads, free) = self.function, self._split(kept), self._split(grad)
        prox, vjp = (f.prox_conjugate, f.prox_conjugate_vjp) if conjugate else (f.prox, f.prox_vjp)
        found, in_w = [], []
        of_f: list[Tensor | None] = [None] * len(f.tensors())
        rows = zip(kept_parts, self._weights(grad), grads, self._sizes, strict=True)
        for part, w, g, (count, _) in rows:
            steps, scale = _rows(step, grad, w), w if conjugate else torch.ones_like(w)
            z, steps = part / scale, steps / w if conjugate else steps * w
            p = prox(z, steps) if self.keeps_input() else z
            before = g.clone()
            result, own = vjp(z if f.keeps_input() else p, steps, g * scale, parameters)
            result = result / scale
            found.append(result)
            slopes = (before - result) * p if conjugate else result * (p - z) / w
            in_w.append(slopes.sum(1).view(-1, count).sum(0))
            for i, t in enumerate(own):
                if t is not None:
                    old = of_f[i]
                    of_f[i] = t if old is None else old + t
        joined = self._joined([*found, torch.zeros_like(free) if conjugate else free], grad)
        if not parameters:
            return joined, ()
        return joined, (*self._in_weight(torch.cat(in_w)), *of_f)

    def _in_weight(self, slopes: Tensor) -> tuple[Tensor | None, ...]:
        """From the slopes in the weights of the groups, in the order of their size."""
        if not isinstance(self.weight, Tensor):
            return ()
        if not self._learns():
            return (None,)
        in_order = torch.empty_like(slopes).index_copy_(0, self._order, slopes)
        return (in_order.sum_to_size(self.weight.shape),)

    def _learns(self) -> bool:
        return isinstance(self.weight, Tensor) and self.weight.requires_grad

    def _split(self, x: Tensor) -> list[Tensor]:
        """The groups of each size as rows, ``(batch * groups, size)``, and the free coordinates."""
        lengths = [count * size for count, size in self._sizes]
        moved = x.flatten(1)[:, self._moved]
        *parts, free = moved.split([*lengths, moved.shape[1] - sum(lengths)], 1)
        rows = zip(parts, self._sizes, strict=True)
        return [*(part.reshape(-1, size) for part, (_, size) in rows), free]

    def _joined(self, parts: list[Tensor], like: Tensor) -> Tensor:
        """A batch of what :meth:`_split` splits."""
        *rows, free = parts
        pairs = zip(rows, self._sizes, strict=True)
        whole = [part.reshape(-1, count * size) for part, (count, size) in pairs]
        flat = torch.cat([*whole, free], 1)
        return flat[:, self._back].view_as(like)

    def _weights(self, like: Tensor) -> list[Tensor]:
        """w_g as of :meth:`_split`, ``(batch * groups, 1)``."""
        weight = torch.as_tensor(self.weight, dtype=like.dtype, device=like.device)
        each = weight.expand(len(self._order))[self._order]
        parts = each.split([count for count, _ in self._sizes])
        return [part.repeat(len(like))[:, None] for part in parts]


def _rows(step: Number, batch: Tensor, rows: Tensor) -> Number:
    """A step, or one for each sample, of each of so many rows."""
    if not isinstance(step, Tensor) or step.ndim == 0:
        return step
    each = step[:, None].flatten(1)[:, :1].expand(len(batch), len(rows) // max(1, len(batch)))
    return each.reshape(-1, 1)
