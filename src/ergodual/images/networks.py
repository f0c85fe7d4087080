"""Denoisers as values of the library: learned filters in one lower-level problem or in one for each
iteration, with weights that are learned or predicted from the image.

All of them work in units of the noise: they are given y/σ and give x̂/σ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ergodual.functions import L1, Function, Huber, SquaredL2
from ergodual.images.unet import UNet
from ergodual.operators import Conv, Dense
from ergodual.primal_dual import Ergodic, Last, StepSizes, Truncated, Unrolled
from ergodual.problem import Problem

Potential = Literal["l1", "huber"]
WEIGHT = 0.25
"""Of each filter in the beginning, in units of the noise."""
WIDTH = 0.05
"""Of a Huber function's parabola, likewise."""


class Exp(nn.Module):
    """What is learned is the logarithm, so that a number stays positive."""

    def forward(self, logarithm: Tensor) -> Tensor:
        return logarithm.exp()

    def right_inverse(self, value: Tensor) -> Tensor:
        """The logarithm."""
        return value.log()


class Centred(nn.Module):
    """A denoiser that is given images less their means, which come back in the end.

    Parameters
    ----------
    layer
        The denoiser.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, y: Tensor) -> Tensor:
        mean = y.mean((1, 2, 3), keepdim=True)
        found: Tensor = self.layer(y - mean)
        return found + mean


class Mapped(nn.Module):
    """Iterations whose weights a network predicts, at each coefficient, from the image.

    The weights of filter j at p are λ_j exp(m_j(p)), with λ of each iteration and a map m that
    consecutive iterations share. With one operator for all iterations and one map, it is a convex
    problem for each image.

    Parameters
    ----------
    layer
        What iterates, with ℓ1 norms of a weight for each filter.
    network
        Gives ``groups`` maps of as many channels as there are filters.
    groups
        The number of maps.
    """

    def __init__(self, layer: Unrolled, network: nn.Module, groups: int = 2) -> None:
        super().__init__()
        self.layer, self.network, self.groups = layer, network, groups

    def forward(self, y: Tensor) -> Tensor:
        found: Tensor = self.layer(y, F=self.functions(y))
        return found

    def functions(self, y: Tensor) -> list[Function]:
        """Those of each iteration for these images."""
        problems = self.layer.problems
        rows, columns = problems[0].K.codomain(y.shape[1:])[1:]
        top, left = (y.shape[2] - rows) // 2, (y.shape[3] - columns) // 2
        maps = self.network(y)[:, :, top : top + rows, left : left + columns].exp()
        parts = maps.contiguous().chunk(self.groups, 1)
        depth = self.layer.depth
        return [
            L1(problem.F.weight * parts[k * self.groups // depth])
            for k, problem in enumerate(problems)
        ]


def one_operator(
    filters: int = 48, size: int = 7, depth: int = 8, potential: Potential = "l1", seed: int = 0
) -> Unrolled:
    """Min_x ½‖x − y‖² + Σ_j λ_j φ_j(k_j ∗ x) by ``depth`` iterations with an average that is
    learned; φ is |·|, or a Huber function of a width of its own for each filter.
    """
    problem = _problem(filters, size, potential, seed)
    return _iterated(problem, depth)


def near_solution(problem: Problem, depth: int = 16, back: int = 8) -> Unrolled:
    """The last of so many iterations, with gradients through the last ``back`` of them: near enough
    to the solution of a smooth problem to learn the problem itself.
    """
    steps = StepSizes.learned(theta=nn.Parameter(torch.tensor(0.7)), relative=True)
    return Unrolled(problem, depth, steps, Last(), Truncated(back))


def an_operator_per_iteration(
    filters: int = 48, size: int = 7, depth: int = 8, seed: int = 0
) -> Unrolled:
    """A primal-dual network: each iteration has filters, weights and steps of its own."""
    return _iterated([_problem(filters, size, "l1", seed + k) for k in range(depth)], depth)


def with_maps(layer: Unrolled, body: UNet | None = None, groups: int = 2, seed: int = 0) -> Mapped:
    """Weights predicted by a U-Net for the filters of ``layer``, which begin as they are.

    Parameters
    ----------
    layer
        The iterations.
    body
        A U-Net that was trained as a denoiser, whose inner layers the network begins with.
    groups
        How many maps the iterations share.
    seed
        Of the weights that are new.
    """
    count = len(layer.problems[0].operator().tensors()[0])
    network = UNet(groups * count, seed=seed)
    if body is not None:
        own = network.state_dict()
        kept = {k: v for k, v in body.state_dict().items() if own[k].shape == v.shape}
        network.load_state_dict({**own, **kept})
    return Mapped(layer, network, groups)


def cosines(filters: int, size: int, seed: int, noise: float = 0.1) -> Tensor:
    """The first filters of the 2-D cosine transform without its mean, by their frequency, with
    noise of this share of their size; all together about of norm 1, ``(filters, 1, size, size)``.
    """
    rows = Dense.dct(size).matrix.detach()
    kernels = torch.einsum("ai,bj->abij", rows, rows).flatten(0, 1)
    frequency = torch.arange(size).square()
    order = (frequency[:, None] + frequency).flatten().argsort(stable=True)
    kernels = kernels[order[1:]] / size
    copies = -(-filters // len(kernels))  # where more are asked than there are
    kernels = kernels.repeat(copies, 1, 1)[:filters, None]
    draw = torch.Generator().manual_seed(seed)
    return kernels + noise * kernels.std() * torch.randn(kernels.shape, generator=draw)


def _problem(filters: int, size: int, potential: Potential, seed: int) -> Problem:
    def each(value: float) -> nn.Parameter:
        return nn.Parameter(torch.full((filters, 1, 1), value))

    F: Function = L1(each(WEIGHT))
    if potential == "huber":
        F = Huber(each(WEIGHT), each(WIDTH))
        for name in ("weight", "width"):
            parametrize.register_parametrization(F, name, Exp())
    return Problem(F, SquaredL2(), Conv(cosines(filters, size, seed), padding="none"))


def _iterated(problem: Problem | Sequence[Problem], depth: int) -> Unrolled:
    theta = nn.Parameter(torch.full((depth,), 0.9))
    steps = StepSizes.learned(per_iteration=True, theta=theta, relative=True)
    given = depth if isinstance(problem, Problem) else None
    output = Ergodic("learned")
    layer = Unrolled(problem, given, steps, output)
    with torch.no_grad():  # late iterates count most from the beginning
        output.logits.copy_(torch.linspace(-4, 0, depth))
    return layer
