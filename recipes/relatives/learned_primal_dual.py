"""[8] on ellipses: learned primal-dual beside what it takes the place of, from a few angles."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from skimage import data as pictures
from skimage import transform
from torch import Tensor, nn

import ergodual as ed
from ergodual.bilevel import project_

SIZE, ANGLES, NOISE = 64, 30, 0.05
DEPTH, MEMORY, WIDTH = 10, 5, 32
STEPS, STEPS_TV, PHANTOMS = 3000, 300, 32
NOTES = [
    f"Parallel rays at {ANGLES} angles through {SIZE} × {SIZE} pixels, noise of {NOISE:.0%} of the "
    f"mean of |Ax|; phantoms of 12 random ellipses, new ones in every step; {PHANTOMS} others to "
    "choose FBP's cut-off and TV's weight, and as many to measure on. shepp-logan: scikit-image's, "
    "at this size. PSNR in dB, of the mean squared error of each image and its own range.",
    f"learned primal-dual: {DEPTH} iterations, {MEMORY} channels of memory, residual networks of "
    f"three 3 × 3 layers with {WIDTH} channels and PReLU for both proxes of each iteration. "
    f"learned Chambolle-Pock: {DEPTH} iterations for TV, with σ of both parts, τ, θ and the weight "
    "learned, the same in all of them.",
    f"Adam, 1e-3 by a cosine to 0, β₂ = 0.99, gradients cut at 1: {STEPS} steps of one phantom "
    f"(learned Chambolle-Pock: {STEPS_TV} of four, 1e-2). Adler and Öktem take 100,000, of images "
    "of 128 × 128. seconds: of learning, or of choosing, on one core that others shared.",
]
SEEDS = (0, 1, 2)


class Pairs(NamedTuple):
    """Images and what is seen of them."""

    x: Tensor
    b: Tensor


def run(_data: Path, _seed: int) -> Iterator[dict[str, object]]:
    """A row for each method; a seed has phantoms, noise and weights of its own."""
    rays = ed.Tomography(SIZE, ANGLES)
    norm = float(rays.norm())
    A = (1 / norm) * rays
    chosen_on, test = (observed(A, ellipses(PHANTOMS)) for _ in range(2))
    logan = transform.resize(pictures.shepp_logan_phantom(), (SIZE, SIZE), anti_aliasing=True)
    other = observed(A, torch.as_tensor(logan).float()[None])

    def best(candidates: list[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
        return max(candidates, key=lambda method: psnr(method(chosen_on.b), chosen_on.x))

    cuts = (0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
    weights = [1e-3 * 2 ** (k / 2) for k in range(-8, 5)]
    methods: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
        "FBP": lambda: best([filtered(A, norm, cut) for cut in cuts]),
        "TV": lambda: best([solved(A, weight) for weight in weights]),
        "learned Chambolle-Pock": lambda: learned(learned_tv(A), A, STEPS_TV, 4, 1e-2),
        "learned primal-dual": lambda: learned(with_memory(A), A, STEPS, 1, 1e-3),
    }
    for name, make in methods.items():
        begun = time.process_time()
        method = make()
        seconds = time.process_time() - begun
        learned_ones = method.parameters() if isinstance(method, nn.Module) else []
        with torch.no_grad():
            found = {
                "method": name,
                "parameters": sum(p.numel() for p in learned_ones),
                "ellipses": psnr(method(test.b), test.x),
                "shepp-logan": psnr(method(other.b), other.x),
                "seconds": seconds,
            }
        print(found, flush=True)
        yield found


def ellipses(count: int, each: int = 12) -> Tensor:
    """Sums of random ellipses, of values that may be negative."""
    centre = 1.4 * torch.rand(2, count, each, 1, 1) - 0.7
    axes = 0.05 + 0.45 * torch.rand(2, count, each, 1, 1)
    angle = math.pi * torch.rand(count, each, 1, 1)
    value = 0.6 * (1.4 * torch.rand(count, each, 1, 1) - 0.4)
    v, u = torch.meshgrid(*[torch.linspace(-1, 1, SIZE)] * 2, indexing="ij")
    u, v = u - centre[0], v - centre[1]
    along, across = u * angle.cos() + v * angle.sin(), v * angle.cos() - u * angle.sin()
    inside = (along / axes[0]).square() + (across / axes[1]).square() < 1
    return (value * inside).sum(1)


def observed(A: ed.Operator, x: Tensor) -> Pairs:
    b = A(x)
    noise = NOISE * b.abs().mean((1, 2), keepdim=True)
    return Pairs(x, b + noise * torch.randn_like(b))


def psnr(estimate: Tensor, x: Tensor) -> float:
    """The mean over images."""
    span = x.amax((1, 2)) - x.amin((1, 2))
    error = (estimate - x).square().mean((1, 2))
    return float((10 * (span.square() / error).log10()).mean())


def filtered(A: ed.Operator, norm: float, cut: float) -> Callable[[Tensor], Tensor]:
    """Filtered back-projection: Ram and Lak's filter under a Hann window that ends at ``cut``
    cycles a sample.
    """

    def method(b: Tensor) -> Tensor:
        n = b.shape[-1]
        taps, odd = torch.zeros(2 * n), torch.arange(1, n, 2)
        taps[0], taps[odd] = 0.25, -1 / (math.pi * odd) ** 2
        taps[-odd] = taps[odd]
        frequency = torch.fft.rfftfreq(2 * n)
        window = torch.where(frequency < cut, (math.pi * frequency / cut).cos().add(1) / 2, 0.0)
        transfer = torch.fft.rfft(taps).real * window
        rows = torch.fft.irfft(torch.fft.rfft(b, 2 * n) * transfer, 2 * n)[..., :n]
        return math.pi / ANGLES * norm**2 * A.adjoint(rows)

    return method


def tv(A: ed.Operator, weight: float | nn.Parameter) -> ed.InverseProblem:
    F = ed.L21(weight, dim=1)
    return ed.InverseProblem(A=A, data=ed.SquaredL2(), F=F, K=ed.Gradient(axes=(-2, -1)))


def solved(A: ed.Operator, weight: float) -> Callable[[Tensor], Tensor]:
    return lambda b: ed.solve(tv(A, weight), b, tol=1e-3).x


def learned_tv(A: ed.Operator) -> nn.Module:
    problem = tv(A, nn.Parameter(torch.tensor(1e-3)))
    numbers = [nn.Parameter(torch.tensor(value)) for value in ([[1.0, 0.3]], 0.5, 1.0)]
    steps = ed.StepSizes.fixed(*numbers)
    return ed.Unrolled(problem, DEPTH, steps, ed.Last())


class Correction(nn.Module):
    """The first M channels, and what three convolutions add to them."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        widths = (inputs, WIDTH, WIDTH, MEMORY)
        convolutions = [nn.Conv2d(widths[k], widths[k + 1], 3, padding=1) for k in range(3)]
        for one in convolutions:
            nn.init.xavier_uniform_(one.weight)
            assert one.bias is not None
            nn.init.zeros_(one.bias)
        first, second, third = convolutions
        self.layers = nn.Sequential(first, nn.PReLU(WIDTH), second, nn.PReLU(WIDTH), third)

    def forward(self, z: Tensor) -> Tensor:
        found: Tensor = z[:, :MEMORY] + self.layers(z)
        return found


def with_memory(A: ed.Operator) -> nn.Module:
    duals = [Correction(MEMORY + 2) for _ in range(DEPTH)]
    primals = [Correction(MEMORY + 1) for _ in range(DEPTH)]
    steps = ed.StepSizes.fixed(1.0, 1.0, theta=0.0)
    return ed.LearnedPrimalDual(A, duals, primals, MEMORY, steps, ed.Tape())


def learned(
    model: nn.Module, A: ed.Operator, steps: int, batch: int, rate: float
) -> Callable[[Tensor], Tensor]:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x, b = observed(A, ellipses(batch))
        optimizer.zero_grad()
        (model(b) - x).square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        project_(model)
    return model
