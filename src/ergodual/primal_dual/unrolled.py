"""The primal-dual algorithm, stopped after a fixed number of iterations, as a layer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Size, Tensor, nn

from ergodual.autocast import in_own_type
from ergodual.errors import ErgodualError
from ergodual.functions import Function
from ergodual.instance import Instance
from ergodual.operators import Operator
from ergodual.primal_dual.entropy import Entropy
from ergodual.primal_dual.forward import estimate
from ergodual.primal_dual.outputs import Ergodic, Output
from ergodual.primal_dual.plan import Plan
from ergodual.primal_dual.relaxed import Relaxed
from ergodual.primal_dual.reverse import Reverse
from ergodual.primal_dual.safe_steps import warn_of_steps
from ergodual.primal_dual.steps import Steps, StepSizes
from ergodual.primal_dual.tape import unroll
from ergodual.problem import LowerLevel
from ergodual.tensors import plain, require, traced, transformed

Functions = Function | Sequence[Function]
"""One function for all iterations, or one for each."""


class Adjoint(Protocol):
    """How gradients flow through the sweep."""

    def __call__(self, instances: Sequence[Instance], steps: Steps, weights: Tensor) -> Tensor:
        """x̂, differentiable, from the problem of each iteration."""


class Unrolled(nn.Module):
    """d iterations of Chambolle–Pock, (3)–(5) of Brauer, Lorenz 2019, as a differentiable layer.

    Parameters
    ----------
    problem
        The lower-level problem; or a list of d problems, one for each iteration, which makes a
        primal-dual network (Brauer, Lorenz, arXiv 1806.05823).
    depth
        The number of iterations d ≥ 1; that of the problems if there is a list.
    steps
        The step size rule; ``StepSizes.balanced()`` if None.
    output
        The output; ``Ergodic("1/k")`` if None, the paper's for box constraints; of an
        ``InverseProblem`` with an A ``Last()`` is better.
    adjoint
        How gradients flow; ``Reverse()`` if None.

    Raises
    ------
    ErgodualError
        If the depth is below 1 or not that of the list, or the averaging weights are not as many.

    Examples
    --------
    >>> problem = ed.Problem(F=ed.L1(), G=ed.Box(radius=0.5), K=ed.Dense.dct(4))
    >>> model = ed.Unrolled(problem, depth=8)
    >>> x_tilde = torch.tensor([[0.5, 1.5, 0.5, -0.5]])
    >>> x_hat = model(x_tilde)
    >>> x_hat.square().sum().backward()
    >>> problem.K.matrix.grad.shape
    torch.Size([4, 4])
    """

    problem: LowerLevel
    """The problem; of a list of them, an ``nn.ModuleList``."""

    def __init__(
        self,
        problem: LowerLevel | Sequence[LowerLevel],
        depth: int | None = None,
        steps: StepSizes | None = None,
        output: Output | None = None,
        adjoint: Adjoint | None = None,
    ) -> None:
        super().__init__()
        self._listed = not isinstance(problem, LowerLevel)
        if isinstance(problem, LowerLevel):
            self.problem = problem
        else:
            self.problem = cast(LowerLevel, nn.ModuleList(_checked(problem, depth)))
            depth = len(problem)
        _require_parts(steps, output, adjoint)
        self.__dict__["depth"] = _checked_depth(depth)
        self.steps = StepSizes.balanced() if steps is None else steps
        self.output = Ergodic("1/k") if output is None else output
        self.adjoint: Adjoint = Reverse() if adjoint is None else adjoint
        # domains for which given steps have been held against the norm
        self._seen: set[Size] = set()
        self.steps.prepare(self._operators(), self.depth)
        self.output.prepare(self.depth, self.problems[0].like())

    def extra_repr(self) -> str:
        return f"depth={self.depth}, adjoint={type(self.adjoint).__name__}"

    @property
    def depth(self) -> int:
        """The number of iterations d; it may be set, but not to other than that of a list of
        problems, or where steps or averaging weights are of each iteration.
        """
        depth: int = self.__dict__["depth"]
        return depth

    @depth.setter
    def depth(self, depth: int) -> None:
        depth = _checked_depth(depth)
        if self._listed and depth != self.depth:
            raise ErgodualError(
                f"The depth is {depth}, and there is a problem for each of {self.depth} "
                "iterations; make an Unrolled of another list."
            )
        self.output.prepare(depth, self.problems[0].like())
        self.__dict__["depth"] = depth

    @property
    def problems(self) -> list[LowerLevel]:
        """That of each iteration."""
        if self._listed:
            return list(cast(nn.ModuleList, self.problem))  # type: ignore[arg-type]
        return [self.problem] * self.depth

    @in_own_type
    def forward(
        self, observation: Tensor, G: Functions | None = None, F: Functions | None = None
    ) -> Tensor:
        """The estimate x̂.

        Parameters
        ----------
        observation
            x̃ or b, ``(batch, *sample)``.
        G, F
            Other functions for this call: one, or one for each iteration; for instance a box with
            bounds, or an ℓ1 norm with weights, for each sample. Gradients flow into their tensors.

        Returns
        -------
        x̂, ``(batch, *domain)``.

        Raises
        ------
        ErgodualError
            If the observations do not fit the problem in shape, type or device, or the functions
            the iterations.
        """
        kind = observation.device.type if isinstance(observation, Tensor) else "cpu"
        require(
            kind != "meta", "The observations are on the meta device and have no values; move them."
        )
        if not transformed():
            return self._estimate(observation, G, F)
        try:
            return self._estimate(observation, G, F)
        except RuntimeError as error:
            if isinstance(error, ErgodualError):  # a method that is missing
                raise
            raise ErgodualError(
                f"torch.func does not get through here ({str(error).splitlines()[0]}); map over "
                "what needs no checks and no norm, as the observations, or give steps by "
                "StepSizes.fixed and K without vmap."
            ) from error

    def _estimate(self, observation: Tensor, G: Functions | None, F: Functions | None) -> Tensor:
        instances = self.steps.measured(self._instances(observation, G, F))
        one = instances[0]
        K = [each.K for each in instances]
        shared = all(each is one.K for each in K)
        steps = self.steps(one.K if shared else K, self.depth, one.domain, observation)
        asked = self.steps.given() and one.domain not in self._seen
        if asked and not traced():
            warn_of_steps(instances, steps)
            self._seen.add(one.domain)
        weights = self.output(self.depth).to(observation)
        if not torch.is_grad_enabled():
            if traced():
                return unroll(instances, steps, weights)
            return estimate(Plan.read(instances, steps, weights))[0]
        return self.adjoint(instances, steps, weights)

    def numbers(self, domain: Size | None = None) -> tuple[list[float], list[float], list[float]]:
        """σ_k, τ_k and α_k of every iteration; ``domain`` where norms depend on it."""
        with torch.no_grad():
            sigma, tau, *_ = self.steps(self._operators(), self.depth, domain)
            return sigma.tolist(), tau.tolist(), self.output(self.depth).tolist()

    def with_fixed_steps(self, observation: Tensor) -> Unrolled:
        """The same network, of the same tensors, with the steps that it takes for observations of
        this shape as numbers: an inference without norms, which exports to ONNX.
        """
        with torch.no_grad():
            one = self._instances(observation, None, None)[0]
            steps = self.steps(self._operators(), self.depth, one.domain, observation)
        made = copy.copy(self)
        made._modules = dict(self._modules)
        made.steps = StepSizes.fixed(*steps[:3])
        if steps.rho is not None:
            made.steps = Relaxed(made.steps, steps.rho)
        if self.steps.entropic:
            made.steps = Entropy(made.steps)
        return made

    def _operators(self) -> Operator | list[Operator]:
        if not self._listed:
            return self.problem.operator()
        return [problem.operator() for problem in self.problems]

    def _instances(
        self, observation: Tensor, G: Functions | None, F: Functions | None
    ) -> list[Instance]:
        if not self._listed and not isinstance(F, Sequence) and not isinstance(G, Sequence):
            changed = F is not None or G is not None
            problem = self.problem.with_functions(F, G) if changed else self.problem
            return [problem.instance(observation)] * self.depth
        problems = self.problems
        if G is not None or F is not None:
            terms = list(zip(problems, self._each(F, "F"), self._each(G, "G"), strict=True))
            different = {tuple(map(id, three)): three for three in terms}
            made = {key: one.with_functions(*fs) for key, (one, *fs) in different.items()}
            problems = [made[tuple(map(id, three))] for three in terms]
        # a parametrised K in several of them is evaluated once
        problems = list(plain(nn.ModuleList(problems)))  # type: ignore[arg-type]
        known = {id(problem): problem for problem in problems}
        posed = {key: problem.instance(observation) for key, problem in known.items()}
        return _alike([posed[id(problem)] for problem in problems])

    def _each(self, functions: Functions | None, name: str) -> Sequence[Function | None]:
        if functions is None or isinstance(functions, Function):
            return [functions] * self.depth
        if len(functions) != self.depth:
            raise ErgodualError(
                f"There are {len(functions)} functions {name} for {self.depth} iterations; give "
                "one, or one for each."
            )
        return functions


def _checked_depth(depth: int | None) -> int:
    if not isinstance(depth, int) or depth < 1:
        given = "missing" if depth is None else depth
        raise ErgodualError(f"The depth is {given}; it must be a whole number, at least 1.")
    return depth


def _checked(problems: Sequence[LowerLevel], depth: int | None) -> Sequence[LowerLevel]:
    if not isinstance(problems, Sequence):
        raise ErgodualError(
            f"Unrolled got a {type(problems).__name__}; give a Problem, an InverseProblem, or a "
            "list of them, one for each iteration."
        )
    if not problems or any(type(p) is not type(problems[0]) for p in problems):
        kinds = ", ".join(sorted({type(p).__name__ for p in problems})) or "nothing"
        raise ErgodualError(
            f"The list of problems holds {kinds}; give problems of one kind, one for each "
            "iteration."
        )
    if not isinstance(problems[0], LowerLevel):
        raise ErgodualError(
            f"The list of problems holds {type(problems[0]).__name__}; give Problem or "
            "InverseProblem, one for each iteration."
        )
    if depth is not None and depth != len(problems):
        raise ErgodualError(
            f"The depth is {depth} and there are {len(problems)} problems; give one for each "
            "iteration, and leave the depth out."
        )
    return problems


def _alike(instances: list[Instance]) -> list[Instance]:
    """With one offset for all, and operators that are the same where their parts are."""
    first = instances[0]
    last, alike = first, [first]
    for k, one in enumerate(instances[1:], start=1):
        if one.domain != first.domain or one.codomain != first.codomain:
            raise ErgodualError(
                f"The problem of iteration {k + 1} has an operator from {tuple(one.domain)} to "
                f"{tuple(one.codomain)}, and the first one's is from {tuple(first.domain)} to "
                f"{tuple(first.codomain)}; all iterations need the same two shapes."
            )
        if one is not last:
            K = alike[-1].K if one.K.same_as(alike[-1].K) else one.K
            last, one = one, one._replace(K=K, shift=first.shift, offset=first.offset)
        else:
            one = alike[-1]
        alike.append(one)
    return alike


def _require_parts(steps: StepSizes | None, output: Output | None, adjoint: Adjoint | None) -> None:
    """Raise :class:`ErgodualError` for a name or a class in place of an object."""
    require(
        steps is None or isinstance(steps, StepSizes),
        f"steps is {steps!r}; it must be a rule, as ed.StepSizes.balanced().",
    )
    require(
        output is None or isinstance(output, Output),
        f"output is {output!r}; it must be an output, as ed.Last() or ed.Ergodic().",
    )
    require(
        adjoint is None or (callable(adjoint) and not isinstance(adjoint, type)),
        f"adjoint is {adjoint!r}; it must be an adjoint, as ed.Reverse().",
    )
