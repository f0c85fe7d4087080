"""The regulariser of the package against total variation in inverse problems that it has not seen:
of both the weight is tuned on some of the images that are measured, and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ergodual as ed
from ergodual.files import write_atomically
from ergodual.images import find_images, read_image
from ergodual.images.loss import InteriorError
from recipes.images.measuring import RESULTS

SIDE, RIM = 96, 8
"""Pixels of the middles of images, and of the rim that does not count."""
SOLVED = 1e-4
"""To what is solved; at 1e-3 the best weight is another one."""
SEARCHED = slice(None, None, 3)
"""The images on which a weight is searched for."""
FACTOR = 1.5
"""Between the weights that are tried."""
UNIT = 25 / 255
"""The noise with which the regulariser R(x/UNIT) was learned, or amid that."""


class Task(NamedTuple):
    """What is seen of an image x: Ax with noise of this size, or counts of light of mean
    ``peak`` x.
    """

    A: ed.Operator
    noise: float | None
    peak: float = 1.0

    def seen(self, x: Tensor) -> Tensor:
        """Always with the same noise."""
        draw, clean = torch.Generator().manual_seed(0), self.A(self.peak * x)
        if self.noise is None:
            return torch.poisson(clean, generator=draw)
        return clean + self.noise * torch.randn(clean.shape, generator=draw)

    def problem(self, F: ed.Function, K: ed.Operator) -> ed.InverseProblem:
        """With the likelihood of what is seen; its solution is ``peak`` times the estimate."""
        K = K if self.peak == 1 else (1 / self.peak) * K
        if self.noise is None:
            return ed.InverseProblem(A=self.A, data=ed.KullbackLeibler(), F=F, K=K)
        square = ed.SquaredL2(self.noise**-2)
        return ed.InverseProblem(A=self.A, data=square, F=F, K=K, domain=(1, SIDE, SIDE))


def tasks() -> dict[str, Task]:
    """Those of the table."""
    draw = torch.Generator().manual_seed(1)
    taps = torch.arange(-4.0, 5.0).square().div(-2 * 1.6**2).exp()
    blur = ed.Blur(torch.outer(taps, taps) / taps.sum() ** 2)
    kept = (torch.rand(1, SIDE, SIDE, generator=draw) < 0.5).float()
    low = torch.fft.fftfreq(SIDE).abs() < 0.05
    lines = low | (torch.rand(SIDE, generator=draw) < 0.3)
    mask = lines.float().expand(1, SIDE, SIDE)
    return {
        "deblurring": Task(blur, 0.01),
        "inpainting, half of the pixels": Task(ed.Diagonal(kept), 0.02),
        "super-resolution by 2": Task(
            ed.Conv(torch.full((1, 1, 2, 2), 0.25), 2, padding="none").requires_grad_(False), 0.01
        ),
        "Fourier, a third of the lines": Task(ed.Fourier(mask, real=True), 0.02),
        "tomography, 30 angles": Task(ed.Tomography((1, SIDE, SIDE), 30), 0.5),
        "counts of 30 at most": Task(ed.Identity(), None, 30.0),
    }


def total_variation(weight: float) -> tuple[ed.Function, ed.Operator]:
    """F and K."""
    return ed.L21(10 * weight, dim=1), ed.Gradient(axes=(-2, -1))


def learned(weight: float) -> tuple[ed.Function, ed.Operator]:
    """The same of weight · R(x/UNIT)."""
    return ed.load_regulariser("natural-grey").terms(noise=UNIT, strength=weight / UNIT**2)


Terms = Callable[[float], tuple[ed.Function, ed.Operator]]
METHODS: dict[str, Terms] = {"total variation": total_variation, "natural-grey": learned}


def measure(folder: Path) -> None:
    """The table, in results/images/inverse.json; what it has is not measured again."""
    x = torch.stack([_middle(read_image(path)) for path in find_images(folder)])
    file = RESULTS / "inverse.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"] if file.exists() else []
    known = {(row["problem"], row["method"]) for row in rows}
    for name, task in tasks().items():
        seen = task.seen(x)
        for method, terms in METHODS.items():
            if (name, method) in known:
                continue
            weight = _best(task, terms, seen[SEARCHED], x[SEARCHED])
            found = _solved(task, terms(weight), seen, x)
            rows.append({"problem": name, "method": method, "weight": weight, **found})
            print(rows[-1], flush=True)
            _write(rows, folder.name, len(x))


def _write(rows: list[dict[str, Any]], data: str, count: int) -> None:
    text = {
        "command": f"python -m recipes.images inverse {data}",
        "notes": [
            f"The middles, {SIDE} x {SIDE}, of {count} images; PSNR without a rim of {RIM}. "
            f"weight: the best for every third of them, of a ladder with steps of {FACTOR}. error: "
            "the largest. seconds: an image, one core, beside other work."
        ],
        "rows": rows,
    }
    write_atomically(RESULTS / "inverse.json", json.dumps(text, indent=1) + "\n")


def _middle(image: Tensor) -> Tensor:
    top, left = ((n - SIDE) // 2 for n in image.shape[1:])
    return image[:, top : top + SIDE, left : left + SIDE]


def _best(task: Task, terms: Terms, seen: Tensor, x: Tensor) -> float:
    """The weight from which both neighbours on the ladder are worse; PSNR has one hill."""

    def psnr(weight: float) -> float:
        return _solved(task, terms(weight), seen, x)["psnr"]

    known = {0: psnr(1.0)}
    at = 0
    while True:
        for near in (at - 1, at + 1):
            if near not in known:
                known[near] = psnr(FACTOR**near)
        best = max(known, key=lambda step: known[step])
        if best == at:
            return float(FACTOR**at)
        at = best


def _solved(
    task: Task, terms: tuple[ed.Function, ed.Operator], seen: Tensor, x: Tensor
) -> dict[str, float]:
    begun = time.process_time()
    solution = ed.solve(task.problem(*terms), seen, tol=SOLVED)
    errors = InteriorError(RIM)(solution.x / task.peak, x)
    return {
        "psnr": round(float(-10 * errors.log10().mean()), 3),
        "error": float(solution.error.max()),
        "iterations": int(solution.iterations.max()),
        "seconds an image": round((time.process_time() - begun) / len(x), 2),
    }
