"""One gradient in K, computed in every way that is compared; n = m = 320, σ = τ = 0.99, η = 1/16,
float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ergodual as ed
from ergodual.primal_dual.backward import block_length
from ergodual.products import addmm

N = 320
STEP = 0.99
RADIUS = 1 / 16
Run = Callable[[], Any]


def pair(batch: int) -> tuple[Tensor, Tensor]:
    """Observations and the gradient in x̂ that is sent back."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(batch, N, generator=generator) / 4).clamp(-1, 1), torch.randn(
        batch, N, generator=generator
    ) / batch


def ours(batch: int, depth: int, adjoint: Any, output: Any = None) -> Run:
    """A gradient through Ergodual."""
    x_tilde, g = pair(batch)
    K = ed.Dense.dct(N)
    problem = ed.Problem(ed.L1(), ed.Box(radius=RADIUS), K)
    model = ed.Unrolled(
        problem, depth, ed.StepSizes.fixed(STEP, STEP), output or ed.Ergodic("1/k"), adjoint
    )

    def run() -> Tensor | None:
        K.matrix.grad = None
        model(x_tilde).backward(g)
        return K.matrix.grad

    return run


def floor(batch: int, depth: int) -> Run:
    """The 6d − 1 products alone, by the fastest exact kernel, on operands that lie as the sweeps'
    do, the outer products joined over the same blocks.
    """
    A = ed.Dense.dct(N).matrix.detach().clone()
    rows = block_length(depth, batch)
    y, r = torch.randn(depth + 1, batch, N), torch.randn(depth + 1, batch, N)
    P, S = torch.randn(rows, batch, N), torch.randn(rows, batch, N)
    total = torch.zeros(N, N)

    def run() -> None:
        for k in range(depth):
            product(r[k], A.T, y[k + 1])
            product(y[k + 1], A, r[k + 1])
        for k in range(depth - 1, -1, -1):
            at = k % rows
            if k < depth - 1:
                product(S[at], A, P[at])
            product(P[at], A.T, S[at])
            if at == 0:
                stop = min(k + rows, depth)
                count = stop - k
                product(S[:count].view(-1, N).T, r[k:stop].view(-1, N), total)
                product(y[k + 1 : stop + 1].view(-1, N).T, P[:count].view(-1, N), total)

    return run


def product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """The product of two matrices, by the fastest exact kernel."""
    addmm(out, a, b, 0.0, 1.0, out)


def tape(x_tilde: Tensor, matrix: Tensor, depth: int) -> Tensor:
    """The iteration as one would write it for autograd: a product and its step in one addmm, one
    clamp, one average.
    """
    y, r, x_hat, u, transposed = (
        torch.zeros_like(x_tilde),
        torch.zeros_like(x_tilde),
        x_tilde,
        x_tilde,
        matrix.T,
    )
    total = sum(1 / k for k in range(1, depth + 1))
    for k in range(1, depth + 1):
        y = torch.addmm(y, u, transposed, alpha=STEP).clamp(-1, 1)
        previous, r = r, torch.addmm(r, y, matrix, alpha=-STEP).clamp(-RADIUS, RADIUS)
        u = x_tilde + torch.lerp(previous, r, 2.0)
        x_hat = torch.add(x_hat, r, alpha=1 / (k * total))
    return x_hat


def taped(batch: int, depth: int, compiled: bool = False) -> Run:
    """A gradient by autograd through :func:`tape`, as it is or compiled."""
    x_tilde, g = pair(batch)
    matrix = torch.nn.Parameter(ed.Dense.dct(N).matrix.detach())
    forward = torch.compile(tape, dynamic=False) if compiled else tape

    def run() -> Tensor | None:
        matrix.grad = None
        forward(x_tilde, matrix, depth).backward(g)
        return matrix.grad

    return run


def jax(batch: int, depth: int) -> Run | None:
    """``jit(grad)`` of the same in JAX, on the same core; None where JAX is not installed."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    x_tilde, g = (jnp.asarray(t.numpy()) for t in pair(batch))
    matrix = jnp.asarray(ed.Dense.dct(N).matrix.detach().numpy())
    total = sum(1 / k for k in range(1, depth + 1))

    def value(matrix: Any) -> Any:
        y, r, x_hat, u = jnp.zeros_like(x_tilde), jnp.zeros_like(x_tilde), x_tilde, x_tilde
        for k in range(1, depth + 1):
            y = jnp.clip(y + STEP * (u @ matrix.T), -1, 1)
            previous, r = r, jnp.clip(r - STEP * (y @ matrix), -RADIUS, RADIUS)
            u = x_tilde + r + (r - previous)
            x_hat = x_hat + r / (k * total)
        return (x_hat * g).sum()

    gradient = jax.jit(jax.grad(value))
    return lambda: gradient(matrix).block_until_ready()
