"""What the table says, in pictures of one packaged photograph: each estimate, what was learned, and
gap and PSNR over time.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor
from torch.nn import functional

import ergodual as ed
from ergodual.errors import NotConvergedWarning
from ergodual.experiments.plots import RESTORED, STYLE, TRUE, figure_bytes
from ergodual.files import write_atomically
from ergodual.images import add_noise, psnr
from ergodual.images.networks import Centred, Mapped
from recipes.images.measuring import RESULTS
from recipes.images.methods import methods
from recipes.images.training import SIGMA, trained

SHOWN = {
    "noisy": "noisy",
    "TV 0.8": "total variation, solved",
    "natural-grey": "natural-grey, solved",
    "convex, solved": "one operator, solved",
    "iterations": "an operator per iteration",
    "maps": "and weight maps",
    "dncnn-small": "DnCNN",
    "unet": "U-Net",
}
"""Methods, and what they are called here."""
MIDDLE = slice(40, 168), slice(60, 188)
"""Of the photograph, what is drawn."""
STOPS = (16, 32, 64, 96, 128, 192, 256, 384, 512)
"""Iterations after which a solution is looked at."""


def draw(out: Path) -> None:
    """Those of all models in OUT, into results/images."""
    clean = _photograph()
    noisy = add_noise(clean, SIGMA, 0)
    figures = {
        "estimates": estimates(clean, noisy, out),
        "learned": learned(noisy, out),
        "time": over_time(clean, noisy, out),
    }
    for name, figure in figures.items():
        write_atomically(RESULTS / f"{name}.webp", figure_bytes(figure, "webp", dpi=90))


def _photograph() -> Tensor:
    """Scikit-image's camera man, half as large, ``(1, 256, 256)``."""
    whole = torch.from_numpy(data.camera().astype(np.float32) / 255)[None, None]
    return functional.avg_pool2d(whole, 2)[0]


def estimates(clean: Tensor, noisy: Tensor, out: Path) -> Figure:
    """Of each method that there is, with its PSNR of the whole photograph."""
    known = methods(out)
    found = {"clean": (clean, "")}
    for name, said in SHOWN.items():
        if name in known:
            estimate = known[name]().estimate(noisy, SIGMA)
            found[said] = estimate, f", {psnr(estimate, clean):.2f} dB"
    rows = -(-len(found) // 4)
    with rc_context({**STYLE, "axes.grid": False, "font.size": 7}):
        figure = Figure(figsize=(8.4, 2.3 * rows), layout="constrained")
        axes = list(figure.subplots(rows, 4, squeeze=False).flat)
        for axis in axes:
            axis.set_axis_off()
        for axis, (said, (image, measured)) in zip(axes, found.items(), strict=False):
            axis.imshow(image[0][MIDDLE], cmap="gray", vmin=0, vmax=1)
            axis.set_title(said + measured, loc="left")
    return figure


def learned(noisy: Tensor, out: Path) -> Figure:
    """Filters of the regulariser that is shipped, by their weights; its potentials; and how much
    more or less than elsewhere the map of weights regularises.
    """
    regulariser = ed.load_regulariser("natural-grey")
    order = regulariser.weight.flatten().argsort(descending=True)
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(8.4, 2.9), layout="constrained")
        filters, potentials, map_ = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])
        _tiles(filters, regulariser.kernel[order, 0])
        filters.set_title("filters", loc="left")
        z = torch.linspace(0, 1, 101)
        for weight, width in zip(
            regulariser.weight.flatten()[order], regulariser.width.flatten()[order], strict=True
        ):
            values = torch.where(z < width, z.square() / (2 * width), z - width / 2)
            potentials.plot(z, weight * values, color=TRUE, linewidth=0.5, alpha=0.6)
        potentials.set_title("potentials", loc="left")
        potentials.set_xlabel("units of the noise")
        if (out / "maps" / "model.pt").exists():
            logarithms = _weight_map(noisy, out)
            drawn = map_.imshow(logarithms, cmap="RdBu_r")
            map_.set_title("weight map", loc="left")
            figure.colorbar(drawn, ax=map_, label="mean log weight", shrink=0.7)
        map_.set_axis_off()
    return figure


def _weight_map(noisy: Tensor, out: Path) -> Tensor:
    """The mean over filters and iterations of the map's logarithms."""
    model = trained("maps", out).eval()
    assert isinstance(model, Centred)
    assert isinstance(model.layer, Mapped)
    y = noisy[None] / SIGMA
    with torch.no_grad():
        found: Tensor = model.layer.network(y - y.mean()).mean((0, 1))
    return found


def over_time(clean: Tensor, noisy: Tensor, out: Path) -> Figure:
    """Relative gap and PSNR over the seconds of one core; networks are points."""
    F, K = ed.load_regulariser("natural-grey").terms(noise=SIGMA)
    problems = {
        "natural-grey": (ed.Problem(F, ed.SquaredL2(), K), RESTORED),
        "total variation": (
            ed.Problem(ed.L21(0.8 * SIGMA, dim=1), ed.SquaredL2(), ed.Gradient(axes=(-2, -1))),
            TRUE,
        ),
    }
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.2), layout="constrained")
        gaps, decibels = figure.subplots(1, 2)
        for name, (problem, colour) in problems.items():
            seconds, gap, reached = _curve(problem, clean, noisy)
            gaps.plot(seconds, gap, "o-", color=colour, markersize=3, label=name)
            decibels.plot(seconds, reached, "o-", color=colour, markersize=3, label=name)
        marks = iter("s^Dv")
        for name in ("iterations", "maps", "unet", "dncnn-small"):
            if (out / name / "model.pt").exists():
                begun = time.process_time()
                estimate = methods(out)[name]().estimate(noisy, SIGMA)
                spent = time.process_time() - begun
                decibels.plot(spent, psnr(estimate, clean), next(marks), label=SHOWN[name])
        gaps.set_yscale("log")
        gaps.set_title("relative gap", loc="left")
        decibels.set_title("PSNR in dB", loc="left")
        decibels.legend(loc="upper left", bbox_to_anchor=(1, 1))
        for axis in (gaps, decibels):
            axis.set_xscale("log")
            axis.set_xlabel("seconds")
    return figure


def _curve(
    problem: ed.Problem, clean: Tensor, noisy: Tensor
) -> tuple[list[float], list[float], list[float]]:
    seconds, gaps, reached = [], [], []
    for stop in STOPS:
        begun = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotConvergedWarning)
            found = ed.solve(problem, noisy[None], tol=0, max_iterations=stop)
        seconds.append(time.process_time() - begun)
        gaps.append(float(found.error))
        reached.append(psnr(found.x[0], clean))
    return seconds, gaps, reached


def _tiles(axis: Axes, kernels: Tensor, columns: int = 8) -> None:
    """Each of its own scale, with 0 in the middle."""
    scaled = kernels / kernels.abs().amax((1, 2), keepdim=True)
    padded = functional.pad(scaled, [0, 1, 0, 1], value=float("nan"))
    rows = -(-len(kernels) // columns)
    grid = padded.unflatten(0, (rows, columns)).permute(0, 2, 1, 3).flatten(0, 1).flatten(1, 2)
    axis.imshow(grid, cmap="gray", vmin=-1, vmax=1)
    axis.set_axis_off()
