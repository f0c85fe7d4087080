"""A module in the place of a prox."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.functions.base import Function
from ergodual.tensors import Number, described, require

UNSTEADY = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm, nn.RReLU)
"""Layers that do not do the same twice while they are trained."""


class LearnedProx(Function):
    """A module in the place of a prox: of prox_{τG} as G, and of prox_{σF*} as F.

    So the iterations of ``Unrolled`` minimise nothing: they are layers of a network, as in Adler,
    Öktem, "Learned primal-dual reconstruction", IEEE TMI 2018. The step sizes are not told to the
    module. There is no function, and so neither value nor conjugate, and ``solve``, ``Solved``,
    gaps and rules for derivatives at a solution refuse it. Derivatives replay the module at the
    argument of the prox, which alone is kept.

    Parameters
    ----------
    module
        From z, ``(batch, *sample)``, to as many numbers; for instance a denoiser.

    Raises
    ------
    ErgodualError
        If it is no module, or its result has another shape than its input.

    Examples
    --------
    >>> denoiser = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Tanh())
    >>> problem = ed.InverseProblem(data=ed.SquaredL2(), G=ed.LearnedProx(denoiser))
    >>> network = ed.Unrolled(problem, depth=4, output=ed.Last())
    >>> network(torch.randn(2, 1, 8, 8)).square().sum().backward()
    >>> denoiser[0].weight.grad.shape
    torch.Size([1, 1, 3, 3])
    """

    per_sample = ()

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, nn.Module) or isinstance(module, Function):
            raise ErgodualError(
                f"LearnedProx got {described(module)}; give a module from z to what takes the "
                "place of its prox (a function of the library is F or G itself)."
            )
        self.module = module

    def value(self, x: Tensor) -> Tensor:
        raise ErgodualError(NO_FUNCTION)

    def conjugate(self, y: Tensor) -> Tensor:
        raise ErgodualError(NO_FUNCTION)

    def prox(self, z: Tensor, step: Number) -> Tensor:
        """The module of z, whatever the step."""
        found: Tensor = self.module(z)
        require(
            isinstance(found, Tensor) and found.shape == z.shape,
            lambda: (
                f"The module of LearnedProx makes {described(found)} of {described(z)}; it must "
                "keep the shape."
            ),
        )
        return found

    def prox_conjugate(self, z: Tensor, step: Number) -> Tensor:
        """The same, as it is this prox that the iteration takes of F."""
        return self.prox(z, step)


NO_FUNCTION = (
    "LearnedProx is a module in the place of a prox and no function: it has no value and no "
    "conjugate, and iterations with it minimise nothing; take Unrolled, or a function."
)


def learned_in(functions: Iterable[Function]) -> list[LearnedProx]:
    """Those that are, or are parts of, these functions."""
    parts = {id(part): part for f in functions for part in f.modules()}
    return [part for part in parts.values() if isinstance(part, LearnedProx)]


def require_functions(*functions: Function) -> None:
    """Raise :class:`ErgodualError` where a module stands in the place of a prox."""
    require(not learned_in(functions), NO_FUNCTION)


def require_replayable(functions: Iterable[Function], steps: Iterable[Tensor | None]) -> None:
    """Raise :class:`ErgodualError` where a module in the place of a prox does not do the same
    twice, or a gradient in σ or τ is wanted, which the sweep would take for that of a prox.
    """
    learned = learned_in(functions)
    if not learned:
        return
    for part in (part for one in learned for part in one.modules()):
        require(
            not (isinstance(part, UNSTEADY) and part.training),
            f"The module of LearnedProx has a {type(part).__name__}, which does not do the same "
            "when the derivative replays it; call eval() on it, or take adjoint=ed.Tape().",
        )
    require(
        not any(t is not None and t.requires_grad for t in steps),
        "Steps sigma and tau are learned beside a LearnedProx, which does not know them, and the "
        "reverse sweep has their gradients for proxes alone; take adjoint=ed.Tape(), or steps "
        "that are given.",
    )
