"""The forward sweep (3)–(5), and automatic differentiation through it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ergodual.autocast import let_none_cast
from ergodual.instance import Instance
from ergodual.primal_dual.plan import by_coordinate, part_sizes, require_steps
from ergodual.primal_dual.steps import Steps
from ergodual.tensors import Number


def unroll(instances: Sequence[Instance], steps: Steps, weights: Tensor) -> Tensor:
    """x̂ = shift + Σ_k α_k r^k with r^k from (3)–(5); keeps no iterate but the last.

    Parameters
    ----------
    instances
        The problem of each iteration.
    steps
        σ, τ and θ of each.
    weights
        α of shape ``(depth,)``.
    """
    one = instances[0]
    r, y = one.zeros_primal(), one.zeros_dual()
    u, x_hat = one.estimate(r), one.estimate(r)
    pairs = zip(instances, _dual_steps(instances, steps.sigma), *steps[1:], weights, strict=True)
    for (F, G, K, _, offset, *_), sigma, tau, theta, alpha in pairs:
        Ku = K(u) if offset is None else K(u) + offset
        y = F.prox_conjugate(y + sigma * Ku, sigma)
        previous, r = r, G.prox(r - tau * K.adjoint(y, one.domain), tau)
        u = one.estimate(r + theta * (r - previous))
        x_hat = x_hat + alpha * r
    return x_hat


def _dual_steps(instances: Sequence[Instance], sigma: Tensor) -> Sequence[Number]:
    if sigma.ndim == 1:
        return sigma.unbind()
    return by_coordinate(sigma, part_sizes(instances, sigma.shape[1]))


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
