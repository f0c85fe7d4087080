"""Colour photographs with noise of σ = 25: total variation and the regulariser of the package by
channel, and of all channels together.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Size, Tensor

import ergodual as ed
from ergodual.files import write_atomically
from ergodual.images import add_noise, find_images, psnr, read_image, ssim
from ergodual.images.regulariser import CHROMA
from ergodual.operators.colour import Opponent
from recipes.images.measuring import RESULTS

SIGMA, SIDE, TOLERANCE = 25 / 255, 256, 1e-4
"""Noise, pixels of the middles of images, and to what is solved."""
BY_CHANNEL, JOINT = (0.6, 0.7, 0.8, 0.9), (0.9, 1.0, 1.1, 1.2, 1.3)
OPPONENT = (0.7, 0.8, 0.9, 1.0)
"""λ/σ of total variation, of which the best for the images that are measured is shown."""
Estimate = Callable[[Tensor], ed.Solution]
Row = dict[str, float]


class JointGradient(ed.Operator):
    """The derivatives of all channels on one axis, ``(batch, 3, *s)`` to ``(batch, 6, *s)``."""

    def __init__(self, chroma: float | None = None) -> None:
        super().__init__()
        colours = ed.Identity() if chroma is None else Opponent(chroma)
        self.inner = ed.Gradient(axes=(-2, -1)) @ colours

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).flatten(1, -3)

    def adjoint(self, y: Tensor, domain: Size | None = None) -> Tensor:
        domain = self.domain(y.shape[1:]) if domain is None else domain
        return self.inner.adjoint(y.unflatten(1, self.inner.codomain(domain)[:-2]), domain)

    def codomain(self, domain: Size) -> Size:
        return Size((6, *domain[1:]))

    def domain(self, codomain: Size) -> Size:
        return Size((3, *codomain[1:]))

    def norm_bound(self, domain: Size | None = None) -> float:
        return self.inner.norm_bound(domain)


def _solved(F: ed.Function, K: ed.Operator, noisy: Tensor) -> ed.Solution:
    return ed.solve(ed.Problem(F, ed.SquaredL2(), K), noisy, tol=TOLERANCE)


def variation(weight: float, noisy: Tensor) -> ed.Solution:
    """Total variation of each channel."""
    K = ed.Gradient(axes=(-2, -1))
    return _solved(ed.L21(weight * SIGMA, dim=1), K, noisy[:, None])


def joint_variation(weight: float, noisy: Tensor, chroma: float | None = None) -> ed.Solution:
    """Of the vectors of all channels' derivatives, or of those of opponent colours."""
    return _solved(ed.L21(weight * SIGMA, dim=1), JointGradient(chroma), noisy[None])


def by_channel(noisy: Tensor) -> ed.Solution:
    """The regulariser of each channel."""
    return _solved(*ed.load_regulariser("natural-grey").terms(noise=SIGMA), noisy[:, None])


def opponent(noisy: Tensor) -> ed.Solution:
    """Of brightness and two differences of colours, each by itself."""
    colours = Opponent()
    found = by_channel(colours(noisy[None])[0, 0])
    return replace(found, x=colours.adjoint(found.x.transpose(0, 1)[None]))


def joint(noisy: Tensor) -> ed.Solution:
    """Of all three together."""
    terms = ed.load_regulariser("natural-grey").terms(noise=SIGMA, colour=True)
    return _solved(*terms, noisy[None])


METHODS: dict[str, Estimate] = {
    **{f"TV by channel {w}": partial(variation, w) for w in BY_CHANNEL},
    **{f"TV of vectors {w}": partial(joint_variation, w) for w in JOINT},
    **{f"TV of opponent vectors {w}": partial(joint_variation, w, chroma=CHROMA) for w in OPPONENT},
    "natural-grey by channel": by_channel,
    "natural-grey, colour=True": joint,
    "natural-grey, opponent colours": opponent,
}


def measure(folder: Path, out: Path) -> None:
    """The table, in results/images/colour.json; what was measured before is kept."""
    kept = out / "measured" / f"{folder.name} in colour"
    kept.mkdir(parents=True, exist_ok=True)
    for index, path in enumerate(find_images(folder)):
        file = kept / f"{path.stem}.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        if METHODS.keys() - known:
            write_atomically(file, json.dumps(known | _rows(path, index, known)) + "\n")
            print(path.name, flush=True)
    images = [json.loads(file.read_text()) for file in sorted(kept.iterdir())]
    rows = [_summary(name, [image[name] for image in images]) for name in METHODS]
    for kind in ("TV by channel", "TV of vectors", "TV of opponent vectors"):
        some = [row for row in rows if row["method"].startswith(kind)]
        best = max(some, key=lambda row: float(row["psnr"]))
        rows = [row for row in rows if row is best or row not in some]
    notes = [
        f"Noise of σ = 25, the middles, {SIDE} x {SIDE}, of {len(images)} images, solved to "
        f"{TOLERANCE:g}; the largest error. seconds: of the processor, an image, one core, beside "
        "other work. The weight of TV is the best for these images."
    ]
    text = {
        "command": f"python -m recipes.images colour {folder.name}",
        "notes": notes,
        "rows": rows,
    }
    write_atomically(RESULTS / "colour.json", json.dumps(text, indent=1) + "\n")
    for row in rows:
        print(row)


def _rows(path: Path, index: int, known: dict[str, Row]) -> dict[str, Row]:
    """Of one image, by the methods that are not known."""
    whole = read_image(path, colour=True)
    top, left = ((n - SIDE) // 2 for n in whole.shape[1:])
    image = whole[:, top : top + SIDE, left : left + SIDE]
    noisy = add_noise(image, SIGMA, index)
    found = {}
    for name in METHODS.keys() - known:
        begun = time.process_time()
        solution = METHODS[name](noisy)
        seconds = time.process_time() - begun
        x = solution.x.reshape(image.shape)
        found[name] = {
            "psnr": psnr(x, image),
            "ssim": ssim(x, image),
            "seconds": seconds,
            "error": float(solution.error.max()),
            "iterations": int(solution.iterations.max()),
        }
    return found


def _summary(name: str, rows: list[Row]) -> dict[str, Any]:
    def mean(key: str) -> float:
        return math.fsum(row[key] for row in rows) / len(rows)

    return {
        "method": name,
        "images": len(rows),
        "psnr": round(mean("psnr"), 3),
        "ssim": round(mean("ssim"), 4),
        "iterations": round(mean("iterations")),
        "seconds an image": round(mean("seconds"), 2),
        "error": max(row["error"] for row in rows),
    }
