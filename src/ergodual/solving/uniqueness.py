"""Whether the derivatives that a linear system gives are the only ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ergodual.operators.norms import matrix_of
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.solving.at_solution import FixedPoint
from ergodual.solving.linear_solvers import Solve, System, fits
from ergodual.solving.linearised import Linearised
from ergodual.tensors import largest, random_like

NEGLIGIBLE = {torch.float64: 1e-4, torch.float32: 1e-2}
"""What a part of the kernel may change, relative to what a random vector changes: more than is
left by eigenvalues that count as 0, and far less than where a derivative does not exist.
"""


def leaves_unique(at: Linearised, solve: Solve, system: System, wanted: Wanted) -> Tensor:
    """Where no part of the system's kernel changes a derivative that is wanted, ``(batch,)``.

    A random right-hand side leaves a random vector (P_0, S_0) of the kernel. With P_0 ≠ 0 the
    solution itself is not unique. With S_0 ≠ 0 only y is not, and where y enters a derivative it
    has no one value: rows of K that are redundant stay so when x̃ moves, but not when K does.

    Parameters
    ----------
    at, solve
        The system.
    system
        Its solution for g.
    wanted
        What is asked for.
    """
    unique: Tensor = system.residual <= torch.finfo(system.P.dtype).eps ** 0.4
    point, negligible = at.point, NEGLIGIBLE.get(at.point.r.dtype, 1e-2)
    random = random_like(point.r, 3), random_like(point.y, 4)
    # random vectors of the active set
    P, S = at.sums(*(M(v) for M, v in zip((at.M_P, at.M_D), random, strict=True)))
    of_set, of_all = (_of_dual(at, v, None, wanted) for v in (S, random[1]))
    if not unique.any() or all(a <= 1e-6 * b for a, b in zip(of_set, of_all, strict=True)):
        return unique  # y enters nothing, and g, as good as random, has shown that x̂ is unique
    kernel = solve(*random, 0.0)
    nothing = torch.zeros_like(P), torch.zeros_like(S)
    unique = unique & (at.size(kernel.left_P, nothing[1]) <= negligible * at.size(P, nothing[1]))
    in_dual, all_dual = (at.size(nothing[0], v) for v in (kernel.left_S, S))
    for i in ((in_dual > negligible * all_dual) & unique).nonzero()[:, 0].tolist():
        found, usual = (
            _of_dual(at, v, i, wanted) for v in (kernel.left_S / in_dual[i], S / all_dual[i])
        )
        unique[i] = all(a <= negligible * b for a, b in zip(found, usual, strict=True))
    return unique


def stays_silent(
    landed: FixedPoint, below: Linearised, above: Linearised, wanted: Wanted
) -> Tensor:
    """Samples whose x̂ is 0 and stays so, since y can answer any small change of K, ``(batch,)``."""
    one = landed.instance
    silent = torch.zeros(one.batch, dtype=torch.bool, device=landed.r.device)
    if one.shift is None or "shift" in wanted.names or id(one.G) in wanted.modules:
        return silent
    if not fits(one):
        return silent
    eps = torch.finfo(landed.r.dtype).eps
    small = largest(one.shift + landed.r) <= eps**0.6 * largest(one.shift)
    if not small.any():
        return silent
    matrix = matrix_of(one.K, one.domain, one.like)
    (loose, inner_below), (loose_above, inner_above) = (
        [t > 0 for t in each.fingerprint()] for each in (below, above)
    )
    for i in small.nonzero()[:, 0].tolist():
        rows, columns = inner_below[i] & inner_above[i], loose[i] | loose_above[i]
        A = matrix[rows][:, columns]
        silent[i] = int(torch.linalg.matrix_rank(A)) == A.shape[1]
    return silent


def _of_dual(at: Linearised, S: Tensor, i: int | None, wanted: Wanted) -> list[float]:
    """The sizes of the gradients that S brings, of one sample or of all."""
    if i is not None:
        S = torch.zeros_like(S).index_copy_(0, torch.tensor([i], device=S.device), S[i : i + 1])
    nothing = torch.zeros_like(at.point.r)
    found: Gradients = at.point.collect(at.all_sums(nothing, S, nothing), nothing, wanted)
    if "offset" in found.named and at.point.instance.reach is not None:
        found.named["offset"] = found.named["offset"][:, : at.point.instance.reach]
    tensors = [t for ts in found.of_module.values() for t in ts] + list(found.named.values())
    return [0.0 if t is None else float(t.norm()) for t in tensors]
