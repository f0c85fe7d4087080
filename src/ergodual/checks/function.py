"""A check of functions that users write; the tables of our own tests call it too."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ergodual.autocast import in_own_type
from ergodual.checks.compare import (
    batch_of,
    near,
    same,
    tolerance,
)
from ergodual.errors import ErgodualError
from ergodual.functions import Function
from ergodual.tensors import dots, plain, random_like, total

STEPS = (0.3, 1.0, 2.5)
Which = Literal["prox", "prox_conjugate"]


@in_own_type
def check_function(f: Function, like: Tensor) -> None:
    """That f is what the sweeps take it for, on samples like these.

    A convex ``value`` of each sample; a ``prox`` that minimises; Moreau's identity; a
    ``conjugate``, if there is one, that meets Fenchel–Young; in-place forms; and the derivatives of
    both proxes in z, the step and the parameters, against central differences and the tape.

    Parameters
    ----------
    f
        The function.
    like
        A batch of arguments, ``(batch, *sample)``: its shape, type and device are used; float64
        finds faults that float32 hides.

    Raises
    ------
    ErgodualError
        A sentence that says what does not hold.

    Examples
    --------
    >>> ed.check_function(ed.Huber(1.0, 0.5), like=torch.randn(2, 5, dtype=torch.float64))
    """
    if not isinstance(f, Function):
        raise ErgodualError(f"check_function got a {type(f).__name__}; give an ed.Function.")
    f, like = plain(f), batch_of(like)
    f.check(len(like), like.shape[1:])
    tol, name = tolerance(like), type(f).__name__
    z = random_like(like, 0)
    for step in STEPS:
        with torch.no_grad():
            p = f.prox(z, step)
            if p.shape != z.shape:
                raise ErgodualError(
                    f"{name}'s prox maps {tuple(z.shape)} to {tuple(p.shape)}; keep the shape."
                )
            _check_minimal(f, z, p, step, tol)
            moreau = p + step * f.prox_conjugate(z / step, 1 / step)
            slack = tol * max(1.0, float(p.abs().max()))
            same(f"{name}'s prox and prox_conjugate break Moreau's identity", moreau, z, slack)
        for which in get_args(Which):
            _check_in_place(f, which, z, step, tol)
            _check_derivatives(f, which, z, step, tol)
    _check_conjugate(f, z, tol)
    _check_claims(f, z, tol)


def _check_minimal(f: Function, z: Tensor, p: Tensor, step: float, tol: float) -> None:
    def objective(x: Tensor) -> Tensor:
        return f.value(x) + total((x - z).square()) / (2 * step)

    name, value, best = type(f).__name__, f.value(p), objective(p)
    if value.shape != (len(z),) or not bool(value.isfinite().all()):
        raise ErgodualError(
            f"{name}'s value at its prox is {value.tolist()}; give a finite number for each sample."
        )
    for scale in (1e-3, 1e-1, 1.0):
        for seed in range(20):
            other = objective(p + scale * random_like(z, 10 + seed))
            lower = other < best - tol * (1 + best.abs())
            if bool(lower.any()):
                raise ErgodualError(
                    f"{name}'s prox does not minimise f(x) + |x - z|^2 / (2 step) at step {step}: "
                    f"it has {float(best[lower][0]):.6g}, and a point nearby "
                    f"{float(other[lower][0]):.6g}."
                )


def _check_in_place(f: Function, which: str, z: Tensor, step: float, tol: float) -> None:
    with torch.no_grad():
        expected, written = getattr(f, which)(z, step), z.clone()
        result = getattr(f, f"{which}_")(written, step)
    for t in (result, written):
        same(f"{type(f).__name__}'s {which}_ is not its {which} written over z", t, expected, tol)


def _check_derivatives(f: Function, which: Which, z: Tensor, step: float, tol: float) -> None:
    prox, said = getattr(f, which), f"{type(f).__name__}'s {which}_vjp"
    g = random_like(z, 4)
    at, at_step = z.clone().requires_grad_(), z.new_tensor(step).requires_grad_()
    learned = [t for t in f.tensors() if t.requires_grad]
    with torch.enable_grad():
        p = prox(at, at_step)
    inputs: list[Any] = [at, at_step, *learned]
    if p.requires_grad:
        taped = torch.autograd.grad(p, inputs, g, materialize_grads=True)
    else:
        taped = tuple(torch.zeros_like(t) for t in inputs)
    p = p.detach()
    with torch.no_grad():
        kept = z if f.keeps_input() else p
        in_z, found = getattr(f, f"{which}_vjp")(kept.clone(), step, g.clone(), True)
        same(f"{said} is not the tape's gradient in z", in_z, taped[0], tol)
        in_step = total(in_z * (p - z)).sum() / step
        near(f"{said} and the step: <vjp, p - z>/step and the tape", in_step, taped[1], tol, g, z)
        wanted = [i for i, t in enumerate(f.tensors()) if t.requires_grad]
        if wanted and len(found) != len(f.tensors()):
            raise ErgodualError(
                f"{said} gives {len(found)} gradients for {len(f.tensors())} tensors."
            )
        for i, right in zip(wanted, taped[2:], strict=True):
            ours = found[i]
            ours = torch.zeros_like(right) if ours is None else ours
            same(f"{said} is not the tape's gradient in tensor {i}", ours, right, tol)
        if z.dtype != torch.float64:  # differences need the digits
            return
        h = torch.finfo(z.dtype).eps ** (1 / 3)
        v = random_like(z, 5)
        slope = (dots(prox(z + h * v, step) - prox(z - h * v, step), g) / (2 * h)).sum()
        near(f"{said}: <vjp, v> and central differences", (in_z * v).sum(), slope, h, g, v)


def _check_conjugate(f: Function, z: Tensor, tol: float) -> None:
    step = 0.7
    with torch.no_grad():
        x = f.prox(z, step)
        # a subgradient of f at x, where Fenchel–Young is an equality
        y = f.prox_conjugate(z / step, 1 / step)
        try:
            conjugate = f.conjugate(y)
            if bool(conjugate.isinf().any()):  # a bound may be missed by a rounding
                y = f.prox_conjugate(y, torch.finfo(y.dtype).tiny ** 0.5)
                conjugate = f.conjugate(y)
        except NotImplementedError:
            return
        said = f"{type(f).__name__}'s value and conjugate: f(x) + f*(y) and <x, y>"
        near(said, f.value(x) + conjugate, dots(x, y), 10 * tol, z.abs() + x.abs(), z / step)


def _check_claims(f: Function, z: Tensor, tol: float) -> None:
    """What f says of itself: samples apart, coordinates apart, strong convexity and smoothness."""
    name, step = type(f).__name__, 0.7
    with torch.no_grad():
        p, moved = f.prox(z, step), z.clone()
        moved[-1] += random_like(z, 6)[-1]
        same(f"{name}'s prox mixes the samples of a batch", f.prox(moved, step)[:-1], p[:-1], tol)
        values = f.value(torch.cat([p[:-1], f.prox(moved, step)[-1:]]))
        same(f"{name}'s value mixes the samples of a batch", values[:-1], f.value(p)[:-1], tol)
        if f.separable and z[0].numel():
            one = z.clone()
            one.flatten(1)[:, 0] += 1.0
            change = (f.prox(one, step) - p).flatten(1)[:, 1:]
            said = f"{name} says that it is separable, and one coordinate moves the others"
            same(said, change, torch.zeros_like(change), tol)
        # p = prox(z) and q = prox(w): (z - p)/step and (w - q)/step are subgradients there
        w = random_like(z, 7)
        q = f.prox(w, step)
        apart, slope = total((p - q).square()), total((z - p - w + q) * (p - q)) / step
        slopes = total((z - p - w + q).square()) / step**2
    slack = tol * (1 + apart + slopes)
    if bool((slope < f.strong_convexity() * apart - slack).any()):
        raise ErgodualError(
            f"{name} says that its strong convexity is {f.strong_convexity():g}, and it is less."
        )
    if bool((slopes > f.smoothness() * slope + slack * (1 + f.smoothness())).any()):
        raise ErgodualError(
            f"{name} says that its smoothness is {f.smoothness():g}; its gradient varies more."
        )
