"""Images to denoise, deblur and reconstruct, posed for us and for peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pylops
import pyproximal
import torch
from skimage.data import camera
from skimage.restoration import denoise_tv_chambolle
from skimage.transform import resize
from torch import Tensor

import ergodual as ed

Run = Callable[[int], Any]
"""So many iterations of a peer, which give x as an array of numpy's."""


class Image(NamedTuple):
    """A problem, what was observed, the energy of an x, its shape, and the peers."""

    problem: ed.Problem | ed.InverseProblem
    observed: Tensor
    energy: Callable[[Tensor], Tensor]
    shape: tuple[int, int]
    peers: dict[str, Run]


def denoising(n: int = 512) -> Image:
    """½‖x − b‖² + 0.1 TV, noise of 0.1."""
    weight, x = 0.1, picture(n)
    b = noisy(x, 0.1)
    F, K = ed.L21(weight, dim=1), ed.Gradient()
    data, D = b[0].numpy(), pylops.Gradient((n, n), kind="forward")

    def energy(x: Tensor) -> Tensor:
        return (x - b).square().sum() / 2 + F.value(K(x)).sum()

    def primal_dual(iterations: int) -> Any:
        f, g = pyproximal.L2(b=data.ravel()), pyproximal.L21(ndim=2, sigma=weight)
        step = 0.99 / 8**0.5
        return pyproximal.optimization.primaldual.PrimalDual(
            f, g, D, x0=data.ravel(), tau=step, mu=step, niter=iterations
        )

    def chambolle(iterations: int) -> Any:
        return denoise_tv_chambolle(data, weight=weight, eps=0, max_num_iter=iterations)

    peers: dict[str, Run] = {"pyproximal": primal_dual, "scikit-image": chambolle}
    return Image(ed.Problem(F, ed.SquaredL2(), K), b, energy, (n, n), peers)


def deblurring(n: int = 256) -> Image:
    """A Gaussian of σ = 1.6, noise of 0.01, x ≥ 0."""
    at = torch.arange(-5, 6, dtype=torch.float64)
    line = torch.exp(-at.square() / (2 * 1.6**2))
    kernel = torch.outer(line, line)
    return through(ed.Blur(kernel / kernel.sum()), n, 0.01, 2e-3)


def tomography(n: int = 128) -> Image:
    """30 angles, noise of 1 % of the largest ray, x ≥ 0."""
    A = ed.Tomography(n, 30, dtype=torch.float64)
    return through(A, n, 0.01 * float(A(picture(n)).max()), 0.5)


def through(A: ed.Operator, n: int, noise: float, weight: float) -> Image:
    """½‖Ax − b‖² + weight TV, x ≥ 0."""
    domain = torch.Size((n, n))
    with torch.no_grad():
        b = noisy(A(picture(n)), noise)
    F, K = ed.L21(weight, dim=1), ed.Gradient()
    problem = ed.InverseProblem(A=A, data=ed.SquaredL2(), F=F, K=K, G=ed.NonNegative())
    data = b.flatten().numpy()

    def energy(x: Tensor) -> Tensor:
        x = x.clamp(min=0)
        return (A(x) - b).square().sum() / 2 + F.value(K(x)).sum()

    def product(x: Any) -> Any:
        return A(torch.from_numpy(x).reshape(1, n, n)).flatten().numpy()

    def back(y: Any) -> Any:
        return A.adjoint(torch.from_numpy(y).reshape(b.shape), domain).flatten().numpy()

    D = pylops.Gradient((n, n), kind="forward")
    stack = pylops.VStack([pylops.FunctionOperator(product, back, b.numel(), n * n), D])
    norm = (A.norm_bound(domain) ** 2 + 8) ** 0.5

    def primal_dual(iterations: int) -> Any:
        parts = [pyproximal.L2(b=data), pyproximal.L21(ndim=2, sigma=weight)]
        step = 0.99 / norm
        return pyproximal.optimization.primaldual.PrimalDual(
            pyproximal.Box(0, np.inf),
            pyproximal.VStack(parts, nn=[b.numel(), 2 * n * n]),
            stack,
            x0=np.zeros(n * n),
            tau=step,
            mu=step,
            niter=iterations,
        )

    return Image(problem, b, energy, (n, n), {"pyproximal": primal_dual})


def picture(n: int) -> Tensor:
    """The camera man, between 0 and 1, ``(1, n, n)``."""
    image = camera() / 255
    if len(image) != n:
        image = resize(image, (n, n), anti_aliasing=True)
    return torch.from_numpy(np.ascontiguousarray(image))[None]


def noisy(x: Tensor, noise: float) -> Tensor:
    """The same noise each time."""
    generator = torch.Generator().manual_seed(0)
    return x + noise * torch.randn(x.shape, generator=generator, dtype=x.dtype)


IMAGES: dict[str, Callable[..., Image]] = {
    "total variation, 512 x 512": denoising,
    "deblurring, 256 x 256": deblurring,
    "tomography, 128 x 128, 30 angles": tomography,
}
