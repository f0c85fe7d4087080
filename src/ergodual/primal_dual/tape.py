"""The forward sweep (3)–(5), and automatic differentiation through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from ergodual.autocast import let_none_cast
from ergodual.instance import Instance
from ergodual.primal_dual.entropy import Entropic
from ergodual.primal_dual.plan import as_met, require_steps
from ergodual.primal_dual.steps import Steps
from ergodual.tensors import Number


class Iterates(NamedTuple):
    """What an iteration makes.

    Attributes
    ----------
    y, r
        y^k and r^k.
    dual, primal
        What the proxes give; y^k and r^k unless the iteration is relaxed.
    z_dual, z_primal
        What the proxes take; None where it is not kept. Of entropy steps the logarithms of y^k and
        r^k (see :class:`~ergodual.Entropy`).
    """

    y: Tensor
    r: Tensor
    dual: Tensor
    primal: Tensor
    z_dual: Tensor | None
    z_primal: Tensor | None


def iterations(
    instances: Sequence[Instance],
    sigma: Sequence[Number],
    tau: Sequence[Number],
    theta: Sequence[Number],
    rho: Sequence[Number] | None,
) -> Iterator[Iterates]:
    """(3)–(5), one iteration after the other; with ρ relaxed, as :class:`~ergodual.Relaxed`."""
    one = instances[0]
    begun = start(one)
    y, r = begun.y, begun.r
    from_y, from_r = one.zeros_dual(), one.zeros_primal()
    u = one.estimate(r)
    for k, (F, G, K, _, offset, *_) in enumerate(instances):
        Ku = K(u) if offset is None else K(u) + offset
        z_dual = from_y + sigma[k] * Ku
        if isinstance(F, Entropic):
            z_dual, dual = F.step(z_dual, sigma[k])
        else:
            dual = F.prox_conjugate(z_dual, sigma[k])
        y = dual if rho is None else y + rho[k] * (dual - y)
        z_primal = from_r - tau[k] * K.adjoint(y, one.domain)
        if isinstance(G, Entropic):
            z_primal, primal = G.step(z_primal, tau[k])
        else:
            primal = G.prox(z_primal, tau[k])
        u = one.estimate(primal + theta[k] * (primal - r))
        r = primal if rho is None else r + rho[k] * (primal - r)
        from_y = z_dual if isinstance(F, Entropic) else y
        from_r = z_primal if isinstance(G, Entropic) else r
        yield Iterates(y, r, dual, primal, z_dual, z_primal)


def start(one: Instance) -> Iterates:
    """What the first iteration begins with."""
    zeros_y, zeros_r = one.zeros_dual(), one.zeros_primal()
    y = one.F.start(zeros_y) if isinstance(one.F, Entropic) else zeros_y
    r = one.G.start(zeros_r) if isinstance(one.G, Entropic) else zeros_r
    return Iterates(y, r, y, r, zeros_y, zeros_r)


def unroll(instances: Sequence[Instance], steps: Steps, weights: Tensor) -> Tensor:
    """x̂ = shift + Σ_k α_k r^k with r^k from (3)–(5); keeps no iterate but the last.

    Parameters
    ----------
    instances
        The problem of each iteration.
    steps
        σ, τ and θ of each, and ρ.
    weights
        α of shape ``(depth,)``.
    """
    x_hat = instances[0].estimate(instances[0].zeros_primal())
    sigma, tau, _ = as_met(instances, steps)
    rho = None if steps.rho is None else steps.rho.unbind()
    found = iterations(instances, sigma.unbind(), tau.unbind(), steps.theta.unbind(), rho)
    for made, alpha in zip(found, weights, strict=True):
        x_hat = x_hat + alpha * made.primal
    return x_hat


class Tape:
    """Gradients by torch's own tape: every operation of the sweep is recorded.

    Serves any problem, and derivatives of any order; the slow one. Not under ``torch.autocast``.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> model = ed.Unrolled(problem, depth=8, adjoint=ed.Tape())
    >>> model(torch.tensor([[0.5, 1.5, 0.5, -0.5]])).square().sum().backward()
    >>> problem.K.matrix.grad.shape
    torch.Size([4, 4])
    """

    def __call__(self, instances: Sequence[Instance], steps: Steps, weights: Tensor) -> Tensor:
        """x̂, with a gradient in everything that has one."""
        require_steps(steps)
        return let_none_cast(unroll(instances, steps, weights))
