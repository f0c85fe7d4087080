"""Checks of operators and functions that users write; the tables of our own tests call them too."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions import Function
from ergodual.operators import Operator
from ergodual.tensors import dots, norms, total

STEPS = (0.3, 1.0, 2.5)


def check_operator(K: Operator, like: Tensor) -> None:
    """That K is what the sweeps take it for, on samples like these.

    Linear, of the codomain that it names, sample by sample; ⟨Kx, y⟩ = ⟨x, Kᵀy⟩; the in-place forms;
    the parameter gradients against the tape; ``norm_bound`` not below ‖Kv‖/‖v‖ for v of a power
    iteration, and ``norm`` not above it.

    Parameters
    ----------
    K
        The operator.
    like
        A batch of inputs, ``(batch, *domain)``: its shape, type and device are used; float64 finds
        faults that float32 hides.

    Raises
    ------
    ErgodualError
        A sentence that says what does not hold.
    """
    name, tol = type(K).__name__, _tolerance(like)
    domain = like.shape[1:]
    codomain = K.codomain(domain)
    x, other = _random(like, 0), _random(like, 1)
    with torch.no_grad():
        Kx = K(x)
        if Kx.shape != (len(like), *codomain):
            raise ErgodualError(
                f"{name} maps {tuple(x.shape)} to {tuple(Kx.shape)}, and its codomain says "
                f"{tuple(codomain)} for a sample; make them agree."
            )
        y = _random(Kx, 2)
        _same(f"{name} is not linear", K(2 * x - 3 * other), 2 * Kx - 3 * K(other), tol)
        _same(f"{name} mixes the samples of a batch", K(x[:1]), Kx[:1], tol)
        KTy = K.adjoint(y, domain)
        if KTy.shape != x.shape:
            raise ErgodualError(
                f"{name}'s adjoint maps {tuple(y.shape)} to {tuple(KTy.shape)}; it must give "
                f"{tuple(x.shape)}."
            )
        _near(f"{name}'s adjoint: <Kx, y> and <x, K^T y>", dots(Kx, y), dots(x, KTy), tol, Kx, y)
        onto = K.forward_onto(y, x, -0.3, out=torch.empty_like(y), keep=0.5)
        _same(f"{name}'s forward_onto is not keep y + scale Kx", onto, 0.5 * y - 0.3 * Kx, tol)
        onto = K.adjoint_onto(x, y, -0.3, out=torch.empty_like(x), keep=0.5)
        _same(f"{name}'s adjoint_onto is not keep x + scale K^T y", onto, 0.5 * x - 0.3 * KTy, tol)
    _check_parameter_gradients(K, x, y, tol)
    _check_norms(K, like, tol)


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
    """
    f.check(len(like), like.shape[1:])
    tol, name = _tolerance(like), type(f).__name__
    z = _random(like, 0)
    for step in STEPS:
        with torch.no_grad():
            p = f.prox(z, step)
            if p.shape != z.shape:
                raise ErgodualError(
                    f"{name}'s prox maps {tuple(z.shape)} to {tuple(p.shape)}; keep the shape."
                )
            _check_minimal(f, z, p, step, tol)
            moreau = p + step * f.prox_conjugate(z / step, 1 / step)
            _same(f"{name}'s prox and prox_conjugate break Moreau's identity", moreau, z, tol)
        for which in ("prox", "prox_conjugate"):
            _check_in_place(f, which, z, step, tol)
            _check_derivatives(f, which, z, step, tol)
    _check_conjugate(f, z, tol)


def _check_parameter_gradients(K: Operator, x: Tensor, y: Tensor, tol: float) -> None:
    tensors, name = K.tensors(), type(K).__name__
    with torch.no_grad():
        found = K.gradients(y, x)
    if len(found) != len(tensors):
        raise ErgodualError(
            f"{name}.gradients gives {len(found)} tensors and tensors() {len(tensors)}; give one "
            "for each, None where it needs none."
        )
    learned = [(i, t) for i, t in enumerate(tensors) if t.requires_grad]
    if not learned:
        return
    with torch.enable_grad():
        value = (K(x) * y).sum()
    expected = torch.autograd.grad(value, [t for _, t in learned], materialize_grads=True)
    for (i, t), right in zip(learned, expected, strict=True):
        ours = found[i]
        ours = torch.zeros_like(t) if ours is None else ours
        said = f"{name}.gradients of tensor {i}, of shape {tuple(t.shape)}, is not the tape's"
        _same(said, ours, right, tol)


def _check_norms(K: Operator, like: Tensor, tol: float) -> None:
    domain, name = like.shape[1:], type(K).__name__
    bound, v, least = K.norm_bound(domain), _random(like, 3)[:1], 0.0
    with torch.no_grad():
        for _ in range(50):
            size = float(v.norm())
            if size == 0:
                break
            v = v / size
            Kv = K(v)
            least = max(least, float(Kv.norm()))
            v = K.adjoint(Kv, domain)
    if not bound >= least * (1 - tol):
        raise ErgodualError(
            f"{name}'s norm_bound is {bound:.6g}, and there is a v with |Kv|/|v| = {least:.6g}; "
            "give "
            "a number that is not below the norm."
        )
    norm = float(K.norm(domain).detach())
    if not least * (1 - tol) <= norm <= bound * (1 + tol) + tol:
        raise ErgodualError(
            f"{name}'s norm is {norm:.6g}; it must lie between {least:.6g}, a |Kv|/|v|, and its "
            f"norm_bound, {bound:.6g}."
        )


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
            other = objective(p + scale * _random(z, 10 + seed))
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
        _same(f"{type(f).__name__}'s {which}_ is not its {which} written over z", t, expected, tol)


def _check_derivatives(
    f: Function, which: Literal["prox", "prox_conjugate"] | str, z: Tensor, step: float, tol: float
) -> None:
    prox, said = getattr(f, which), f"{type(f).__name__}'s {which}_vjp"
    g = _random(z, 4)
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
        _same(f"{said} is not the tape's gradient in z", in_z, taped[0], tol)
        in_step = total(in_z * (p - z)).sum() / step
        _near(f"{said} and the step: <vjp, p - z>/step and the tape", in_step, taped[1], tol, g, z)
        wanted = [i for i, t in enumerate(f.tensors()) if t.requires_grad]
        if wanted and len(found) != len(f.tensors()):
            raise ErgodualError(
                f"{said} gives {len(found)} gradients for {len(f.tensors())} tensors."
            )
        for i, right in zip(wanted, taped[2:], strict=True):
            ours = found[i]
            ours = torch.zeros_like(right) if ours is None else ours
            _same(f"{said} is not the tape's gradient in tensor {i}", ours, right, tol)
        if z.dtype != torch.float64:  # differences need the digits
            return
        h = torch.finfo(z.dtype).eps ** (1 / 3)
        v = _random(z, 5)
        slope = (dots(prox(z + h * v, step) - prox(z - h * v, step), g) / (2 * h)).sum()
        _near(f"{said}: <vjp, v> and central differences", (in_z * v).sum(), slope, h, g, v)


def _check_conjugate(f: Function, z: Tensor, tol: float) -> None:
    step = 0.7
    with torch.no_grad():
        x = f.prox(z, step)
        y = (z - x) / step  # a subgradient of f at x, where Fenchel–Young is an equality
        try:
            conjugate = f.conjugate(y)
            if bool(conjugate.isinf().any()):  # a bound may be missed by a rounding
                y = f.prox_conjugate(y, torch.finfo(y.dtype).tiny ** 0.5)
                conjugate = f.conjugate(y)
        except NotImplementedError:
            return
        said = f"{type(f).__name__}'s value and conjugate: f(x) + f*(y) and <x, y>"
        _near(said, f.value(x) + conjugate, dots(x, y), 10 * tol, x, y)


def _random(like: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)


def _tolerance(like: Tensor) -> float:
    return float(torch.finfo(like.dtype).eps ** 0.7)


def _same(said: str, ours: Tensor, right: Tensor, tol: float) -> None:
    if ours.shape != right.shape:
        raise ErgodualError(f"{said}: shapes {tuple(ours.shape)} and {tuple(right.shape)}.")
    missed = float((ours - right).norm()) / max(1.0, float(right.norm()))
    if not missed <= tol:
        raise ErgodualError(f"{said}: relative difference {missed:.2g}.")


def _near(said: str, ours: Tensor, right: Tensor, tol: float, a: Tensor, b: Tensor) -> None:
    size = max(1.0, float(norms(a).max() * norms(b).max()) if a.ndim > 1 and b.ndim > 1 else 1.0)
    missed = float((ours - right).abs().max()) / size
    if not missed <= tol:
        raise ErgodualError(f"{said} are {ours.tolist()} and {right.tolist()}; they must agree.")
