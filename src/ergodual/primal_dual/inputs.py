"""What a sweep depends on, by name: offsets, numbers, and the tensors of every function and
operator.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ergodual.functions import Function
from ergodual.operators import Operator
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.primal_dual.plan import Plan
from ergodual.primal_dual.steps import Steps
from ergodual.problem import Instance
from ergodual.tensors import frozen


class Inputs:
    """The tensors that x̂ may have a gradient in, in the order in which autograd gets them.

    Parameters
    ----------
    instances, steps, weights
        What is iterated; at a solution there are no steps and no weights.

    Attributes
    ----------
    modules
        Every operator and function, once.
    tensors
        By name: those of the offsets, steps and weights, then ``"i.j"``, the j-th of module i.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        steps: Steps | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.instances, self.steps, self.weights = instances, steps, weights
        different = {id(one): one for one in instances}.values()
        found = {id(term): term for one in different for term in (one.K, one.F, one.G)}
        self.modules: list[Operator | Function] = list(found.values())
        offsets = {"shift": instances[0].shift, "offset": instances[0].offset}
        self.tensors = {name: t for name, t in offsets.items() if t is not None}
        if steps is not None and weights is not None:
            self.tensors |= {**steps._asdict(), "weights": weights}
        for i, module in enumerate(self.modules):
            self.tensors |= {f"{i}.{j}": t for j, t in enumerate(module.tensors())}

    def frozen(self) -> Inputs:
        """The same with copies of the modules that keep what they hold now.

        So the backward pass uses what the forward pass saw, whatever was put in its place since.
        """
        copies: dict[int, Any] = {id(module): frozen(module) for module in self.modules}
        different: dict[int, Instance] = {}
        for one in self.instances:
            if id(one) not in different:
                F, G, K = (copies[id(term)] for term in (one.F, one.G, one.K))
                different[id(one)] = one._replace(F=F, G=G, K=K)
        kept = copy.copy(self)
        kept.instances = [different[id(one)] for one in self.instances]
        kept.modules = list(copies.values())
        return kept

    def plan(self) -> Plan:
        """With the steps and weights as numbers."""
        assert self.steps is not None
        assert self.weights is not None
        return Plan.read(self.instances, self.steps, self.weights)

    def wanted(self, needed: Sequence[bool]) -> Wanted:
        """What autograd asks for, in the order of :attr:`tensors`."""
        names = [name for name, need in zip(self.tensors, needed, strict=True) if need]
        indices = {int(name.split(".")[0]) for name in names if "." in name}
        plain = frozenset(name for name in names if "." not in name)
        return Wanted(plain, frozenset(id(self.modules[i]) for i in indices))

    def in_order(self, found: Gradients) -> list[Tensor | None]:
        """Gradients in the order of :attr:`tensors`, None where there is none."""
        named: dict[str, Tensor | None] = dict(found.named)
        for i, module in enumerate(self.modules):
            of_module = found.of_module.get(id(module), [])
            named |= {f"{i}.{j}": t for j, t in enumerate(of_module)}
        return [named.get(name) for name in self.tensors]
