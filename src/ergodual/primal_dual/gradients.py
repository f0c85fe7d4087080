"""Which gradients a backward call asks for, and what it found."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ergodual.errors import ErgodualError


class Wanted(NamedTuple):
    """Which gradients a backward call asks for.

    Attributes
    ----------
    names
        Those of ``shift``, ``offset``, ``sigma``, ``tau``, ``theta``, ``rho`` and ``weights``.
    modules
        The operators and functions whose tensors' gradients are wanted, by ``id``.
    """

    names: frozenset[str]
    modules: frozenset[int]


class Gradients:
    """What a backward call found: by name, and for each module in the order of its tensors."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.named: dict[str, Tensor] = {}
        self.of_module: dict[int, list[Tensor | None]] = {}

    def totals(self, module: nn.Module) -> list[Tensor | None]:
        """Of this module's tensors; None where there is nothing yet."""
        return self.of_module.setdefault(id(module), [None] * len(module.tensors()))  # type: ignore[operator]

    def add(self, module: nn.Module, found: tuple[Tensor | None, ...], scale: float) -> None:
        """Found, times the scale, to the totals."""
        if not found:
            return
        totals = self.totals(module)
        if len(found) != len(totals):
            raise ErgodualError(
                f"A prox derivative of {type(module).__name__} gives {len(found)} gradients; it "
                f"must give one, or None, for each of its {len(totals)} tensors."
            )
        for i, t in enumerate(found):
            if t is not None:
                old = totals[i]
                totals[i] = t * scale if old is None else old.add_(t, alpha=scale)

    def add_named(self, name: str, found: Tensor) -> None:
        """To the gradient of this name, if it is wanted."""
        if name in self.wanted.names:
            old = self.named.get(name)
            self.named[name] = found.clone() if old is None else old.add_(found)
