"""Learned primal-dual: iterations with modules in the place of both proxes, and memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Size, Tensor, nn

from ergodual.errors import ErgodualError
from ergodual.functions import LearnedProx
from ergodual.instance import Instance
from ergodual.operators import Operator, Unmatched
from ergodual.operators.channel import Channel
from ergodual.primal_dual.outputs import Last
from ergodual.primal_dual.steps import StepSizes
from ergodual.primal_dual.unrolled import Adjoint, Unrolled
from ergodual.problem import LowerLevel, require_batch
from ergodual.tensors import described, require


class LearnedPrimalDual(nn.Module):
    """Chambolle–Pock iterations with modules in the place of both proxes, and memory: Algorithm 3
    of Adler, Öktem, "Learned primal-dual reconstruction", IEEE TMI 2018.

    With y of M channels like b, x of M channels like what is sought, and y⁰ = x⁰ = 0, for k = 1..d

        y^k = Γ_k(y^{k−1}, σ A x₂^{k−1}, σ b),    x^k = Λ_k(x^{k−1}, −τ Aᵀ y₁^k),

    and x̂ = x₁^d. These are the layers of ``Unrolled`` for an :class:`Unmatched` pair, of A to and
    from further channels, and :class:`LearnedProx`; so its adjoints go through, and ``Reverse``
    keeps no more than what the modules are given.

    Parameters
    ----------
    A
        The forward operator.
    duals, primals
        Γ_k and Λ_k, as many of both: modules from ``(batch, M + 2, *codomain)`` and ``(batch, M +
        1, *domain)``, in the order above, to M channels.
    memory
        M ≥ 1. With one channel, x₂ is x₁.
    steps
        σ and τ; ``StepSizes.balanced(theta=0)`` if None, which takes some 30 products for ‖A‖ in
        each call where A does not know it.
    adjoint
        How gradients flow; ``Reverse()`` if None.
    domain
        The shape of a sample of x, where that of b does not tell it.

    Raises
    ------
    ErgodualError
        If there are not as many duals as primals, at least one, or they make other shapes.

    Examples
    --------
    >>> A = ed.Tomography(16, angles=8)
    >>> duals = [torch.nn.Conv2d(7, 5, 3, padding=1) for _ in range(3)]
    >>> primals = [torch.nn.Conv2d(6, 5, 3, padding=1) for _ in range(3)]
    >>> model = ed.LearnedPrimalDual(A, duals, primals, memory=5)
    >>> model(A(torch.rand(2, 16, 16))).shape
    torch.Size([2, 16, 16])
    """

    def __init__(
        self,
        A: Operator,
        duals: Sequence[nn.Module],
        primals: Sequence[nn.Module],
        memory: int = 5,
        steps: StepSizes | None = None,
        adjoint: Adjoint | None = None,
        domain: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        require(
            isinstance(A, Operator),
            lambda: f"A is {described(A)}; it must be an operator, as ed.Tomography(64, 30).",
        )
        if len(duals) != len(primals):
            raise ErgodualError(
                f"There are {len(duals)} modules for the dual and {len(primals)} for the primal "
                "variable; give one of both for each iteration."
            )
        require(memory >= 1, f"The memory is of {memory} channels; give at least 1.")
        channels = (memory + 1, memory + 2)
        K = Unmatched(
            Channel(A, min(1, memory - 1), memory, channels), Channel(A, memory, 0, channels)
        )
        found = [
            _Iteration(_prox(dual, memory), _prox(primal, memory), K, memory, domain)
            for dual, primal in zip(duals, primals, strict=True)
        ]
        steps = StepSizes.balanced(theta=0.0) if steps is None else steps
        self.network = Unrolled(found, steps=steps, output=Last(), adjoint=adjoint)

    def forward(self, observation: Tensor) -> Tensor:
        """x̂ of the observations b, ``(batch, *domain)``."""
        found: Tensor = self.network(observation)
        return found[:, 0]


class _Iteration(LowerLevel):
    """What an iteration makes of b: y and x with a channel for each product, and one for b."""

    def __init__(
        self,
        F: LearnedProx,
        G: LearnedProx,
        K: Operator,
        memory: int,
        domain: tuple[int, ...] | None,
    ) -> None:
        super().__init__()
        self.F, self.G, self.K = F, G, K
        self.memory, self.given_domain = memory, domain

    def operator(self) -> Operator:
        return self.K

    def _instance(self, observation: Tensor) -> Instance:
        require_batch(observation)
        channels, seen = self.memory + 2, observation.shape[1:]
        given = self.given_domain
        domain = self.K.domain(Size((channels, *seen))) if given is None else (channels - 1, *given)
        if self.K.codomain(Size(domain))[1:] != seen:
            raise ErgodualError(
                f"A sample of the observations has shape {tuple(seen)}, and A makes "
                f"{tuple(self.K.codomain(Size(domain))[1:])} of x of shape {tuple(domain[1:])}; "
                "give observations of that shape, or another domain=."
            )
        others = observation.new_zeros((len(observation), channels - 1, *seen))
        offset = torch.cat([others, observation[:, None]], 1)
        return self._posed((self.F, self.G, self.K), None, offset, Size(domain), observation)


class _Remembering(nn.Module):
    """A module's M channels, and zeros in those that products are added to."""

    def __init__(self, module: nn.Module, memory: int) -> None:
        super().__init__()
        self.module, self.memory = module, memory

    def forward(self, z: Tensor) -> Tensor:
        found: Tensor = self.module(z)
        expected = (len(z), self.memory, *z.shape[2:])
        require(
            isinstance(found, Tensor) and found.shape == expected,
            lambda: (
                f"A module of LearnedPrimalDual makes {described(found)} of {described(z)}; it "
                f"must make {self.memory} channels, a tensor of shape {expected}."
            ),
        )
        return torch.cat([found, torch.zeros_like(z[:, self.memory :])], 1)


def _prox(module: nn.Module, memory: int) -> LearnedProx:
    return LearnedProx(_Remembering(LearnedProx(module).module, memory))
