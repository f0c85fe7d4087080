"""What is compared: each makes an estimate of a noisy image, and says how far from a solution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from skimage import restoration
from torch import Tensor

import ergodual as ed
from ergodual.images import denoise
from ergodual.images.networks import Centred
from recipes.images.training import RECIPES, problem_of, trained

TOLERANCE = 1e-4
TV_WEIGHTS = (0.6, 0.7, 0.8, 0.9)
"""λ/σ of total variation, of which the best for the images that are measured is shown."""


class Method(NamedTuple):
    """A denoiser.

    Attributes
    ----------
    estimate
        Of a noisy image and σ.
    parameters
        How many are learned.
    solved
        The layer whose gap is reported, if any.
    """

    estimate: Callable[[Tensor, float], Tensor]
    parameters: int = 0
    solved: ed.Solved | None = None


def methods(out: Path) -> dict[str, Callable[[], Method]]:
    """By name: those that learn nothing, and all models that are trained."""
    found: dict[str, Callable[[], Method]] = {
        "noisy": lambda: Method(lambda noisy, sigma: noisy),
        "wavelets": lambda: Method(_wavelets),
        "non-local means": lambda: Method(_non_local_means),
        "natural-grey": _shipped,
    }
    for weight in TV_WEIGHTS:
        found[f"TV {weight}"] = partial(_total_variation, weight)
    for name in RECIPES:
        if (out / name / "model.pt").exists():
            found[name] = partial(_learned, name, out, solved=False)
            if name.startswith("convex"):
                found[f"{name}, solved"] = partial(_learned, name, out, solved=True)
    return found


def _learned(name: str, out: Path, solved: bool) -> Method:
    model = trained(name, out).eval()
    count = sum(p.numel() for p in model.parameters())
    if not solved:
        return Method(lambda noisy, sigma: denoise(model, noisy, sigma), count)
    layer = ed.Solved(problem_of(model), tol=TOLERANCE)
    in_problem = sum(p.numel() for p in layer.problem.parameters())
    return Method(lambda noisy, sigma: denoise(Centred(layer), noisy, sigma), in_problem, layer)


def _shipped() -> Method:
    """The regulariser of the package."""
    regulariser = ed.load_regulariser("natural-grey")
    F, K = regulariser.terms(noise=1.0)
    layer = ed.Solved(ed.Problem(F, ed.SquaredL2(), K), tol=TOLERANCE)
    count = sum(t.numel() for t in (regulariser.kernel, regulariser.weight, regulariser.width))
    return Method(lambda noisy, sigma: denoise(Centred(layer), noisy, sigma), count, layer)


def _total_variation(weight: float) -> Method:
    K = ed.Gradient(axes=(-2, -1))
    layer = ed.Solved(ed.Problem(ed.L21(weight, dim=1), ed.SquaredL2(), K), tol=TOLERANCE)

    def estimate(noisy: Tensor, sigma: float) -> Tensor:
        with torch.no_grad():
            found: Tensor = sigma * layer(noisy[None] / sigma)[0]
        return found

    return Method(estimate, 1, layer)


def _wavelets(noisy: Tensor, sigma: float) -> Tensor:
    """BayesShrink with Daubechies' wavelets of two moments."""
    found = restoration.denoise_wavelet(
        noisy[0].numpy(), sigma=sigma, wavelet="db2", mode="soft", rescale_sigma=False
    )
    return torch.as_tensor(found, dtype=noisy.dtype)[None]


def _non_local_means(noisy: Tensor, sigma: float) -> Tensor:
    """Patches of 7 × 7 in windows of 21 × 21, with scikit-image's advice for h."""
    found = restoration.denoise_nl_means(
        noisy[0].numpy(), patch_size=7, patch_distance=10, h=0.6 * sigma, sigma=sigma
    )
    return torch.as_tensor(found, dtype=noisy.dtype)[None]
