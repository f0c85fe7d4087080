"""What a sweep depends on, by name: offsets, numbers, and the tensors of every function and
operator.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.functions import Function
from ergodual.instance import Instance
from ergodual.operators import Operator
from ergodual.primal_dual.gradients import Gradients, Wanted
from ergodual.primal_dual.plan import Plan
from ergodual.primal_dual.steps import Steps
from ergodual.tensors import frozen, replaced


class Inputs:
    """The tensors that x̂ may have a gradient in, in the order in which autograd gets them.

    Parameters
    ----------
    instances, steps, weights
        What is iterated; at a solution there are no steps and no weights.

    Attributes
    ----------
    instances
        What is iterated, with copies of the modules that keep what they hold now: so the backward
        pass uses what the forward pass saw, whatever was put in its place since.
    modules
        Every such copy, once.
    tensors
        By name: those of the offsets, steps and weights, then ``"i.j"``, the j-th of module i.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        steps: Steps | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.steps, self.weights = steps, weights
        different = {id(one): one for one in instances}
        held = {id(term): term for one in different.values() for term in (one.K, one.F, one.G)}
        copies: dict[int, Any] = {key: frozen(term) for key, term in held.items()}
        self.modules: list[Operator | Function] = list(copies.values())
        self.instances = _with_modules(instances, copies)
        offsets = {"shift": instances[0].shift, "offset": instances[0].offset}
        self.tensors = {name: t for name, t in offsets.items() if t is not None}
        if steps is not None and weights is not None:
            given = {name: t for name, t in steps._asdict().items() if t is not None}
            self.tensors |= {**given, "weights": weights}
        for i, module in enumerate(held.values()):
            self.tensors |= {f"{i}.{j}": t for j, t in enumerate(module.tensors())}

    def aliased(self, tensors: Sequence[Tensor]) -> tuple[Inputs, list[Tensor]]:
        """The same of aliases of these tensors, in the order of :attr:`tensors`, and the aliases.

        No alias was made from another one, so that the derivative in each is the partial one, and
        has derivatives in all that it depends on.
        """
        aliases = [t.view_as(t) for t in tensors]
        named = dict(zip(self.tensors, aliases, strict=True))
        copies: dict[int, Any] = {}
        for i, module in enumerate(self.modules):
            places: dict[int, Tensor] = {}
            for j, t in enumerate(module.tensors()):  # one that is there twice has one alias
                places.setdefault(id(t), named[f"{i}.{j}"])
            copies[id(module)] = replaced(module, places)
        made = copy.copy(self)
        if self.steps is not None:
            made.steps, made.weights = Steps(*map(named.get, Steps._fields)), named["weights"]  # type: ignore[arg-type]
        made.instances = [
            one._replace(shift=named.get("shift"), offset=named.get("offset"))
            for one in _with_modules(self.instances, copies)
        ]
        made.modules = list(copies.values())
        return made, aliases

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
            for j, t in enumerate(found.of_module.get(id(module), [])):
                held = self.tensors[f"{i}.{j}"]
                if t is not None and t.shape != held.shape:
                    raise ErgodualError(
                        f"{type(module).__name__} gives a gradient of shape {tuple(t.shape)} for a "
                        f"tensor of shape {tuple(held.shape)}; give them in the order of tensors()."
                    )
                named[f"{i}.{j}"] = t
        for name in ("sigma", "tau"):  # a step for several coordinates
            found_here = named.get(name)
            if found_here is not None:
                named[name] = found_here.sum_to_size(self.tensors[name].shape)
        return [named.get(name) for name in self.tensors]


def _with_modules(instances: Sequence[Instance], modules: dict[int, Any]) -> list[Instance]:
    """With others in the place of the modules of these ids; one that is shared stays shared."""
    made: dict[int, Instance] = {}
    for one in instances:
        if id(one) not in made:
            F, G, K = (modules[id(term)] for term in (one.F, one.G, one.K))
            made[id(one)] = one._replace(F=F, G=G, K=K)
    return [made[id(one)] for one in instances]
