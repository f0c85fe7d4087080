"""A check of operators that users write; the tables of our own tests call it too."""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.autocast import in_own_type
from ergodual.checks.compare import (
    batch_of,
    near,
    same,
    tolerance,
)
from ergodual.consistency import require_type_kept
from ergodual.errors import ErgodualError
from ergodual.operators import Operator
from ergodual.tensors import dots, plain, random_like


@in_own_type
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

    Examples
    --------
    >>> x = torch.randn(2, 5, dtype=torch.float64)
    >>> ed.check_operator(ed.Gradient(), like=x)
    >>> wrong = ed.from_torch(lambda x: 2 * x, adjoint=lambda y: 3 * y)
    >>> ed.check_operator(wrong, like=x)
    Traceback (most recent call last):
    ergodual.errors.ErgodualError: Foreign's adjoint: <Kx, y> and <x, K^T y> are ...
    """
    if not isinstance(K, Operator):
        raise ErgodualError(f"check_operator got a {type(K).__name__}; give an ed.Operator.")
    K, like = plain(K), batch_of(like)
    name, tol = type(K).__name__, tolerance(like)
    domain = like.shape[1:]
    codomain = K.codomain(domain)
    x, other = random_like(like, 0), random_like(like, 1)
    with torch.no_grad():
        Kx = K(x)
        require_type_kept(K, x, Kx)
        if Kx.shape != (len(like), *codomain):
            raise ErgodualError(
                f"{name} maps {tuple(x.shape)} to {tuple(Kx.shape)}, and its codomain says "
                f"{tuple(codomain)} for a sample; make them agree."
            )
        y = random_like(Kx, 2)
        same(f"{name} is not linear", K(2 * x - 3 * other), 2 * Kx - 3 * K(other), tol)
        same(f"{name} mixes the samples of a batch", K(x[:1]), Kx[:1], tol)
        KTy = K.adjoint(y, domain)
        if KTy.shape != x.shape:
            raise ErgodualError(
                f"{name}'s adjoint maps {tuple(y.shape)} to {tuple(KTy.shape)}; it must give "
                f"{tuple(x.shape)}."
            )
        near(f"{name}'s adjoint: <Kx, y> and <x, K^T y>", dots(Kx, y), dots(x, KTy), tol, Kx, y)
        for keep in (0.5, 1.0, 0.0):
            # as the sweeps call them: onto something else, and over the base itself
            said = f"{name}'s forward_onto is not {keep:g} y - 0.3 Kx"
            right = keep * y - 0.3 * Kx
            same(said, K.forward_onto(y, x, -0.3, out=torch.empty_like(y), keep=keep), right, tol)
            over = y.clone()
            same(said, K.forward_onto(over, x, -0.3, out=over, keep=keep), right, tol)
            said = f"{name}'s adjoint_onto is not {keep:g} x - 0.3 K^T y"
            right = keep * x - 0.3 * KTy
            same(said, K.adjoint_onto(x, y, -0.3, out=torch.empty_like(x), keep=keep), right, tol)
            over = x.clone()
            same(said, K.adjoint_onto(over, y, -0.3, out=over, keep=keep), right, tol)
    _check_parameter_gradients(K, x, y, tol)
    _check_norms(K, like, tol)


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
    if not value.requires_grad:
        raise ErgodualError(
            f"{name} has tensors that need gradients, and its forward lets none through; remove "
            "detach() and the like."
        )
    different = {id(t): t for _, t in learned}
    taped = torch.autograd.grad(value, list(different.values()), materialize_grads=True)
    for t, right in zip(different.values(), taped, strict=True):
        # one that is there twice has the sum of its gradients
        ours = [found[i] for i, other in learned if other is t]
        whole = sum((g for g in ours if g is not None), torch.zeros_like(t))
        said = f"{name}.gradients of a tensor of shape {tuple(t.shape)} is not the tape's"
        same(said, whole, right, tol)


def _check_norms(K: Operator, like: Tensor, tol: float) -> None:
    domain, name = like.shape[1:], type(K).__name__
    bound, v, least = K.norm_bound(domain), random_like(like, 3)[:1], 0.0
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
            "give a number that is not below the norm."
        )
    if type(K).norm is Operator.norm:  # that of a large operator takes long
        return
    norm = float(K.norm(domain).detach())
    if not least * (1 - tol) <= norm <= bound * (1 + tol) + tol:
        raise ErgodualError(
            f"{name}'s norm is {norm:.6g}; it must lie between {least:.6g}, a |Kv|/|v|, and its "
            f"norm_bound, {bound:.6g}."
        )
