"""Norm bounds: never below ‖K‖, how far above, and what one costs beside a gradient."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Size

import ergodual as ed
from benchmarks.measure import one_core, report
from ergodual.operators.conv import Padding
from ergodual.operators.norms import matrix_of

NOTES = [
    "bound/norm over all cases of a kind, the norm by a singular value decomposition in float64; "
    "never below: the smallest ratio is not under 1 (to 1e-12). Kernels: random, one frequency, a "
    "delta, zero (left out of the ratios: the bound must be 0), rank one.",
]
Case = tuple[ed.Operator, Size]


def kernels(*shape: int) -> Iterator[torch.Tensor]:
    """Random and adversarial ones."""
    generator = torch.Generator().manual_seed(sum(shape))
    spatial = shape[2:]
    for _ in range(3):
        yield torch.randn(shape, generator=generator, dtype=torch.float64)
    for omega in (0.0, 1.0, 2.3, 3.14159):
        waves = [torch.cos(omega * torch.arange(s, dtype=torch.float64) + 0.3) for s in spatial]
        yield outer(waves).expand(shape).clone()
    delta = torch.zeros(shape, dtype=torch.float64)
    delta[(0, 0, *(s - 1 for s in spatial))] = 1
    yield delta
    channels = torch.randn(shape[0], shape[1], generator=generator, dtype=torch.float64)
    form = outer([torch.randn(s, generator=generator, dtype=torch.float64) for s in spatial])
    yield channels[(..., *[None] * len(spatial))] * form


def outer(vectors: list[torch.Tensor]) -> torch.Tensor:
    """Of one vector an axis."""
    found = vectors[0]
    for v in vectors[1:]:
        found = found[..., None] * v
    return found


SIZES: dict[int, list[tuple[int, ...]]] = {
    1: [(3,), (7,), (16,)],
    2: [(3, 3), (2, 4)],
    3: [(2, 1, 1)],
}


def convolutions(padding: Padding, strided: bool, axes: int) -> Iterator[Case]:
    """On axes of at least 8 kernels, as far as a decomposition of their matrix allows."""
    sizes = SIZES[axes]
    strides = {1: (2, 3, 5, 16, 80), 2: (2, 3)}[axes] if strided else (1,)
    for size, stride, channels in itertools.product(sizes, strides, ((1, 1), (3, 2), (2, 3))):
        length = [8 * max(s, stride) // stride * stride for s in size]
        if channels[1] * torch.Size(length).numel() > 1500:
            continue
        for kernel in kernels(*channels, *size):
            K = ed.Conv(kernel, stride=stride, padding=padding)
            yield K, Size((channels[1], *length))


def dense() -> Iterator[Case]:
    """Random, orthonormal, rank one, and badly scaled ones."""
    generator = torch.Generator().manual_seed(0)
    for m, n in ((5, 5), (40, 30), (30, 40), (320, 320)):
        random = torch.randn(m, n, generator=generator, dtype=torch.float64)
        for matrix in (
            random,
            torch.linalg.qr(random)[0],
            random[:, :1] @ random[:1],
            1e-9 * random,
        ):
            yield ed.Dense(matrix.clone()), matrix.shape[1:]


def gradients() -> Iterator[Case]:
    """From 8 samples an axis."""
    for shape in ((8,), (100,), (8, 8), (20, 30), (8, 8, 8), (9, 10, 11)):
        yield ed.Gradient(), Size(shape)


def stacks() -> Iterator[Case]:
    """Of two of the above."""
    for kernel in kernels(2, 1, 5):
        yield ed.Stack(ed.Gradient(axes=(-1,)), ed.Conv(kernel)), Size((1, 60))
        yield ed.Conv(kernel.transpose(0, 1)) @ ed.Conv(kernel), Size((1, 60))
        yield ed.Stack(ed.Identity(), 3.0 * ed.Identity()), Size((1, 60))


KINDS: dict[str, tuple[Callable[[], Iterator[Case]], float | None]] = {
    "Dense": (dense, 1.05),
    **{
        f"Conv, {axes}-D, {padding}": (
            partial(convolutions, padding, False, axes),
            1.05,
        )
        for axes in (1, 2, 3)
        for padding in ("circular", "same", "full", "none")
    },
    **{
        f"Conv, {axes}-D, strided, {padding}": (
            partial(convolutions, padding, True, axes),
            1.05,
        )
        for axes in (1, 2)
        for padding in ("circular", "full", "none")
    },
    "Gradient": (gradients, 1.05),
    "Stack and Compose": (stacks, None),
}


def main(out: Path) -> None:
    """Every kind."""
    one_core()
    rows = []
    for kind, (cases, bar) in KINDS.items():
        ratios, seconds = [], []
        for K, domain in cases():
            begun = time.perf_counter()
            bound = K.norm_bound(domain)
            seconds.append(time.perf_counter() - begun)
            norm = float(torch.linalg.svdvals(matrix_of(K, domain).double())[0])
            if norm > 0:
                ratios.append(bound / norm)
            elif bound != 0:
                raise AssertionError(f"{kind}: the bound of 0 is {bound}")
        rows.append(
            {
                "kind": kind,
                "cases": len(ratios),
                "smallest ratio": min(ratios),
                "largest ratio": max(ratios),
                "bar": bar,
                "never below": min(ratios) >= 1 - 1e-12,
                "within the bar": bar is None or max(ratios) <= bar,
                "ms, median": 1e3 * sorted(seconds)[len(seconds) // 2],
            }
        )
    report("norms", "Norm bounds over norms", rows, out, NOTES)
