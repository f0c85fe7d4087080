"""Quantizers: what a recording with too few bits has been through."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ergodual.errors import ErgodualError

Kind = Literal["mid-rise", "mid-tread", "floor", "truncate", "mu-law", "a-law", "mu-law-continuous"]


@dataclass(frozen=True)
class MidRise:
    """The mid-rise quantizer on [−1, 1]: x̃ = sign(x) (⌊|x|/Δ⌋ + ½) Δ, Δ = 2/2^b, sign(0) = +1.

    Parameters
    ----------
    bits
        The word length b, 1 to 16.
    clip
        Whether |x| = 1 falls into the outermost of the 2^b cells. The paper's convention, False,
        gives it a level of its own, 1 + Δ/2.

    Raises
    ------
    ErgodualError
        If the word length is out of its range.
    """

    bits: int
    clip: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise ErgodualError(
                f"The word length is {self.bits} bits; it must be between 1 and 16."
            )

    @property
    def step(self) -> float:
        """Δ, the width of a cell."""
        return float(2.0 ** (1 - self.bits))

    @property
    def radius(self) -> float:
        """η = Δ/2: |x − x̃| ≤ η."""
        return self.step / 2

    def quantize(self, x: Tensor) -> Tensor:
        """x̃, of the shape and type of x."""
        level = (x.abs() / self.step).floor()
        if self.clip:
            level = level.clamp(max=2 ** (self.bits - 1) - 1)
        return torch.where(x < 0, -1.0, 1.0).to(x.dtype) * (level + 0.5) * self.step


@dataclass(frozen=True, eq=False)
class Levels:
    """Any scalar quantizer: cell i holds what lies between two thresholds, and its level is what is
    stored of it.

    The outermost cells have no outer bound where the quantizer saturates there. Made by
    :func:`uniform`, :func:`mid_rise`, :func:`mid_tread`, :func:`cut`, :func:`mu_law` and
    :func:`a_law`.

    Attributes
    ----------
    name
        For messages.
    levels
        ``(count,)``, float64, rising.
    edges
        ``(count + 1,)``, float64, rising: cell i is [edges_i, edges_{i+1}].
    """

    name: str
    levels: Tensor
    edges: Tensor
    wider = 0.0

    def __post_init__(self) -> None:
        inside = (self.edges[:-1] <= self.levels) & (self.levels <= self.edges[1:])
        if len(self.edges) != len(self.levels) + 1 or not inside.all():
            raise ErgodualError(
                f"The quantizer {self.name} has levels outside of their cells; give rising levels "
                "between rising edges."
            )

    @property
    def step(self) -> float:
        """Δ, the smallest distance of two levels."""
        return float(self.levels.diff().min())

    @property
    def companded(self) -> bool:
        """Whether the distances differ, as in G.711."""
        return float(self.levels.diff().max()) > 1.5 * self.step

    @property
    def bits(self) -> int:
        """The word length that numbers the levels."""
        return math.ceil(math.log2(len(self.levels)))

    def quantize(self, x: Tensor) -> Tensor:
        """x̃, of the shape, type and device of x; a value on a threshold goes to the cell above."""
        return self.levels.to(x)[
            torch.bucketize(x.double(), self.edges[1:-1].to(x.device), right=True)
        ]

    def cell(self, x_tilde: Tensor) -> tuple[Tensor, Tensor]:
        """lower ≤ x ≤ upper for all x that are stored as x̃, in float64, possibly infinite.

        A number that is no level is taken as the nearest one, as after rounding to the word length
        of a file.
        """
        between = (self.levels[:-1] + self.levels[1:]) / 2
        index = torch.bucketize(x_tilde.double(), between.to(x_tilde.device))
        edges = self.edges.to(x_tilde.device)
        return edges[index], edges[index + 1]

    def distance(self, x: Tensor) -> Tensor:
        """How far x is from the nearest level, in float64."""
        between = (self.levels[:-1] + self.levels[1:]) / 2
        return (x.double() - self.levels[torch.bucketize(x.double(), between)]).abs()

    def intervals(self, x_tilde: Tensor) -> Tensor:
        """The middle of each number's cell, and its bounds, ``(3, length)``.

        The middle is the number itself where the level lies in the middle of its cell. A cell
        without a bound counts as wide as its level is far from the next one.
        """
        gaps = torch.cat([self.levels.diff(), self.levels.diff()[-1:]])
        lower = self.edges[:-1].where(self.edges[:-1].isfinite(), self.edges[1:] - gaps)
        upper = self.edges[1:].where(self.edges[1:].isfinite(), self.edges[:-1] + gaps)
        shift = (lower + upper) / 2 - self.levels
        shift = shift.where(shift.isfinite() & (shift.abs() > 1e-9 * self.step), 0.0)
        between = ((self.levels[:-1] + self.levels[1:]) / 2).to(x_tilde.device)
        index = torch.bucketize(x_tilde.double(), between)
        middle = x_tilde.double() + shift.to(x_tilde.device)[index]
        return torch.stack([middle, *self.cell(x_tilde)])

    def scaled(self, factor: float) -> Levels:
        """What the quantizer becomes when its output is multiplied by a positive factor."""
        return Levels(self.name, self.levels * factor, self.edges * factor)


def uniform(
    name: str,
    step: float,
    offset: float,
    lowest: int,
    highest: int,
    saturates: tuple[bool, bool] = (True, True),
) -> Levels:
    """Levels offset + kΔ for lowest ≤ k ≤ highest, with thresholds half-way between them."""
    levels = offset + step * torch.arange(lowest, highest + 1, dtype=torch.float64)
    edges = torch.cat([levels - step / 2, levels[-1:] + step / 2])
    for at, open_ in zip((0, -1), saturates, strict=True):
        if open_:
            edges[at] = math.inf if at else -math.inf
    return Levels(name, levels, edges)


def mid_rise(bits: int) -> Levels:
    """2^b levels ±Δ/2, ±3Δ/2, …, Δ = 2/2^b: that of :class:`MidRise`, but for values that lie on a
    threshold.

    Examples
    --------
    >>> from ergodual import speech
    >>> quantizer = speech.mid_rise(3)
    >>> quantizer.quantize(torch.tensor([0.0, 0.2, -1.0]))
    tensor([ 0.1250,  0.1250, -0.8750])
    """
    step, half = MidRise(bits).step, 2 ** (bits - 1)
    return uniform(f"mid-rise, {bits} bits", step, step / 2, -half, half - 1)


def mid_tread(bits: int) -> Levels:
    """2^b levels kΔ, −2^(b−1) ≤ k < 2^(b−1), Δ = 2/2^b: linear PCM.

    Examples
    --------
    >>> from ergodual import speech
    >>> speech.mid_tread(3).quantize(torch.tensor([0.0, 0.2, -1.0]))
    tensor([ 0.0000,  0.2500, -1.0000])
    """
    step, half = MidRise(bits).step, 2 ** (bits - 1)
    return uniform(f"mid-tread, {bits} bits", step, 0.0, -half, half - 1)


def mu_law() -> Levels:
    """The μ-law of ITU-T G.711, on the scale of 16-bit samples over 2^15: 8 segments of 16 cells,
    each half as fine as the last.

    Examples
    --------
    >>> from ergodual import speech
    >>> lower, upper = speech.mu_law().cell(speech.mu_law().quantize(torch.tensor([0.5])))
    >>> bool(lower <= 0.5) and bool(0.5 <= upper)
    True
    """
    steps = [8.0 * 2**segment for segment in range(8) for _ in range(16)]
    return _companded("mu-law", steps, middle=True)


def a_law() -> Levels:
    """The A-law of ITU-T G.711, on the same scale: the first two segments have equal cells."""
    steps = [16.0 * 2 ** max(segment - 1, 0) for segment in range(8) for _ in range(16)]
    return _companded("A-law", steps, middle=False)


def mu_law_continuous(bits: int = 8, zero: bool = False) -> Levels:
    """The μ-law that G.711 approximates by segments: F(x) = sign(x) ln(1 + μ|x|)/ln(1 + μ), with
    μ = 2^b − 1, is quantized uniformly.

    Toolkits differ in what they store. Without a level at ``zero``, F(x) is one of 2^b numbers from
    −1 to 1; with it, a multiple of 2/2^b, though the cells are as wide as without.
    """
    mu, half = 2.0**bits - 1, 2 ** (bits - 1)
    places = torch.arange(-half, half + 1, dtype=torch.float64)
    if zero:
        levels, edges = places[:-1] / half, (2 * places - 1) / mu
    else:
        levels, edges = (2 * places[:-1] + 1) / mu, 2 * places / mu
    levels, edges = _expanded(levels, mu), _expanded(edges, mu)
    edges[0], edges[-1] = -math.inf, math.inf
    if zero:  # its lowest level is the upper end of its cell, and belongs to it
        edges[1] = math.nextafter(float(levels[0]), 0.0)
    return Levels("mu-law-continuous", levels, edges)


def _expanded(y: Tensor, mu: float) -> Tensor:
    """F⁻¹."""
    return y.sign() * torch.expm1(y.abs() * math.log1p(mu)) / mu


def quantizer_of(kind: Kind, bits: int) -> Levels:
    """A quantizer by its name; G.711 has 8 bits whatever is said."""
    if kind == "mu-law-continuous":
        return mu_law_continuous(MidRise(bits).bits)
    if kind in ("mu-law", "a-law"):
        return mu_law() if kind == "mu-law" else a_law()
    if kind in ("floor", "truncate"):
        return cut(mid_tread(bits), kind)
    return mid_rise(bits) if kind == "mid-rise" else mid_tread(bits)


def cut(rounding: Levels, kind: Literal["floor", "truncate"]) -> Levels:
    """What a mid-tread quantizer becomes when it cuts down (``floor``, as ``>>`` does) or towards 0
    (``truncate``) instead of rounding: level kΔ holds [kΔ, (k+1)Δ), or, towards 0, the like on the
    other side for k < 0, and 0 what lies within Δ of it.
    """
    up = torch.ones_like(rounding.edges) if kind == "floor" else rounding.edges.sign()
    edges = rounding.edges + up * rounding.step / 2
    # what rounding of numbers moves past a level is put back
    edges[:-1] = edges[:-1].minimum(rounding.levels)
    edges[1:] = edges[1:].maximum(rounding.levels)
    if kind == "truncate":  # a negative level is the upper end of its cell, and belongs to it
        below = (edges < 0) & edges.isfinite()
        edges[below] = torch.nextafter(edges[below], torch.zeros_like(edges[below]))
    return Levels(rounding.name.replace("mid-tread", kind), rounding.levels, edges)


def _companded(name: str, steps: list[float], middle: bool) -> Levels:
    """Cells of these widths to both sides of 0, levels in their middles; the first lies around 0 or
    begins there.
    """
    upper = torch.tensor(steps, dtype=torch.float64).cumsum(0)
    if middle:
        upper -= steps[0] / 2
    positive = upper - torch.tensor(steps, dtype=torch.float64) / 2
    if middle:
        levels, edges = (
            torch.cat([-positive[1:].flip(0), positive[:1] * 0, positive[1:]]),
            torch.cat([-upper.flip(0), upper]),
        )
    else:
        levels, edges = (
            torch.cat([-positive.flip(0), positive]),
            torch.cat([-upper.flip(0), torch.zeros(1), upper]),
        )
    edges[0], edges[-1] = -math.inf, math.inf
    return Levels(name, levels / 2**15, edges / 2**15)
