"""A convex potential that is learned."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Size, Tensor

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function
from ergodual.tensors import (
    Number,
    described,
    everywhere,
    hold,
    real,
    require,
    require_finite,
    require_weight,
    total,
)


class Spline(Function):
    """f(x) = Σ φ_c(x_i) of each channel c, with φ′ monotone and linear between knots t_j, constant
    beyond them, and φ(0) = 0.

    The curvature φ″ ≥ 0 on each piece is what is learned, and the slope of the first knot.
    prox_{τf} inverts t + τφ′(t), which is piecewise linear with knots t_j + τφ′(t_j): exact for
    every τ, of derivative 1/(1 + τφ″). f* has the domain [φ′(t_1), φ′(t_J)] (Goujon, Neumayer,
    Bohra, Ducotterd, Unser, "A neural-network-based convex regularizer", 2022).

    Parameters
    ----------
    knots
        t_1 < … < t_J, at least two, shape ``(J,)``; the same for all channels.
    curvature
        φ″ ≥ 0 on the pieces between: ``(J − 1,)``, or ``(channels, J − 1)`` where axis 1 of a batch
        holds the channels; an nn.Parameter is learned.
    slope
        φ′(t_1): a number, or a tensor ``()`` or ``(channels, 1)``; if None minus half of what φ′
        rises by, which makes φ even where knots and curvature are.

    Raises
    ------
    ErgodualError
        If the knots do not increase, a curvature is negative, a slope is not finite, or, when it is
        used, there are other channels.

    Examples
    --------
    >>> knots = torch.linspace(-1, 1, 3)
    >>> f = ed.Spline(knots, curvature=torch.ones(2))  # Huber's function, of width 1
    >>> f.prox(torch.tensor([[1.0, 4.0]]), 1.0)
    tensor([[0.5000, 3.0000]])
    """

    separable: ClassVar[bool] = True
    per_sample: ClassVar[tuple[str, ...] | None] = ()
    nonnegative: ClassVar[tuple[str, ...]] = ("curvature",)
    knots: Tensor
    curvature: Tensor

    def __init__(self, knots: Tensor, curvature: Tensor, slope: Number | None = None) -> None:
        super().__init__()
        require(
            isinstance(knots, Tensor)
            and knots.is_floating_point()
            and knots.ndim == 1
            and len(knots) > 1,
            f"Spline's knots are {described(knots)}; give a floating-point tensor of two or more.",
        )
        require(
            (knots.diff() > 0) & knots[1:].isfinite(),
            "Spline's knots do not increase from each to the next; sort them, each once.",
        )
        require(
            isinstance(curvature, Tensor)
            and curvature.is_floating_point()
            and curvature.ndim in (1, 2)
            and curvature.shape[-1] == len(knots) - 1,
            f"Spline's curvature is {described(curvature)}, and there are {len(knots)} knots; give "
            "a number for each piece between them, in a row for each channel or one for all.",
        )
        self.register_buffer("knots", knots.detach())
        hold(self, "curvature", curvature)
        if slope is None:
            self.slope = None
        else:
            hold(self, "slope", real("Spline's slope", slope))
        self.require_valid()

    def require_valid(self) -> None:
        require_weight("Spline's curvature", self.curvature)
        if self.slope is not None:
            require_finite("Spline's slope", self.slope)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.curvature, *([self.slope] if isinstance(self.slope, Tensor) else []))

    def value(self, x: Tensor) -> Tensor:
        table = self._table(x)
        return total(self._potential(x, table) - self._potential(torch.zeros_like(x[:1]), table))

    def conjugate(self, y: Tensor) -> Tensor:
        table = self._table(y)
        t, v, c, _ = table
        inside = everywhere((y >= v[0]) & (y <= v[-1]))
        k = _piece(y, v)
        # where φ″ = 0, all of the piece has that slope
        start, rise = _of_piece(t, k), _of_piece(c, k)
        moved = torch.where(rise > 0, (y - _of_piece(v, k)) / torch.where(rise > 0, rise, 1.0), 0.0)
        x = torch.minimum(start + moved, _of_piece(t, k + 1))
        least = self._potential(torch.zeros_like(x[:1]), table)
        return torch.where(inside, total(x * y - self._potential(x, table) + least), torch.inf)

    def share_in_domain(self, y: Tensor) -> Tensor:
        _, v, *_ = self._table(y)
        inside = 1 - 4 * torch.finfo(y.dtype).eps
        bound = torch.where(y > 0, v[-1], v[0])
        shares = torch.where(y.abs() > bound.abs(), inside * bound / y, 1.0)
        shares = torch.where(y * bound < 0, 0.0, shares)  # 0 lies outside, on the other side
        return torch.where((v[0] > 0) | (v[-1] < 0), 0.0, shares).flatten(1).amin(1)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        t, v, c, _ = self._table(z)
        k = _piece(z, [a + step * b for a, b in zip(t, v, strict=True)])
        start, slope, rise = _of_piece(t, k), _of_piece(v, k), _of_piece(c, k)
        between = start + (z - start - step * slope) / (1 + step * rise)
        between = torch.where(z >= t[-1] + step * v[-1], z - step * v[-1], between)
        return torch.where(z <= t[0] + step * v[0], z - step * v[0], between)

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        t, v, c, _ = self._table(z)
        ends = [step * a + b for a, b in zip(t, v, strict=True)]
        k = _piece(z, ends)
        start, slope, rise = _of_piece(t, k), _of_piece(v, k), _of_piece(c, k)
        between = slope + rise * (z - step * start - slope) / (step + rise)
        return torch.where(z >= ends[-1], v[-1], torch.where(z <= ends[0], v[0], between))

    def smoothness(self) -> float:
        return float(self.curvature.detach().max())

    def check(self, batch: int, sample: Size) -> None:
        super().check(batch, sample)
        rows = len(self.curvature) if self.curvature.ndim == 2 else 1
        if self.curvature.ndim == 2 and sample[0] != rows:
            raise ErgodualError(
                f"Spline has the curvature of {rows} channels, and a sample of shape "
                f"{tuple(sample)} has {sample[0]}; give as many, or one row for all."
            )

    def extra_repr(self) -> str:
        return f"knots={len(self.knots)}, curvature={tuple(self.curvature.shape)}"

    def _table(self, like: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """t, φ′ and φ + a constant at each knot, and φ″ on each piece (the third), each of which
        broadcasts against a batch.
        """
        t, c = self.knots, self.curvature
        rises = torch.nn.functional.pad((c * t.diff()).cumsum(-1), (1, 0))
        first = -0.5 * rises[..., -1:] if self.slope is None else self.slope
        v = first + rises
        areas = 0.5 * (v[..., 1:] + v[..., :-1]) * t.diff()
        potential = torch.nn.functional.pad(areas.cumsum(-1), (1, 0))
        shape = (-1, *[1] * (like.ndim - 2)) if c.ndim == 2 else ()

        def spread(values: Tensor) -> list[Tensor]:
            return [
                u.expand(len(c)).reshape(shape) if shape else u.reshape(())
                for u in values.unbind(-1)
            ]

        return list(t.unbind()), spread(v), spread(c), spread(potential)

    def _potential(
        self, x: Tensor, table: tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]
    ) -> Tensor:
        t, v, c, p = table
        k = _piece(x, t)
        moved = x - _of_piece(t, k)
        between = _of_piece(p, k) + moved * (_of_piece(v, k) + 0.5 * moved * _of_piece(c, k))
        between = torch.where(x >= t[-1], p[-1] + (x - t[-1]) * v[-1], between)
        return torch.where(x <= t[0], p[0] + (x - t[0]) * v[0], between)


def _piece(x: Tensor, ends: list[Tensor]) -> Tensor:
    """The number of the piece between knots that x lies in; the first or last one beyond them."""
    # one pass for each knot: a search would need the knots of each entry in memory, as steps differ
    found = torch.zeros_like(x, dtype=torch.long)
    for end in ends[1:-1]:
        found = found + (x >= end)
    return found


def _of_piece(values: list[Tensor], k: Tensor) -> Tensor:
    """The value of each entry's piece."""
    table = torch.stack(values)
    if table.ndim == 1:
        return table[k]
    rows = torch.arange(table.shape[1], device=k.device).reshape(table.shape[1:])
    return table.reshape(len(values), -1)[k, rows]
