"""Learning rates that change from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from ergodual.errors import ErgodualError

Schedule = Literal["sqrt", "inverse", "cosine", "constant"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)


def learning_rate(name: str | Callable[[int], float], lr: float, epoch: int, epochs: int) -> float:
    """The learning rate of an epoch.

    Parameters
    ----------
    name
        ``"sqrt"``: lr/√(1 + epoch); ``"inverse"``: lr/(1 + epoch); ``"cosine"``: from lr to 0 along
        half a cosine; ``"constant"``: lr; or a function of the epoch, which is then used instead of
        lr.
    lr
        The learning rate of the first epoch.
    epoch
        How many epochs are done already: 0 for the first.
    epochs
        How many there will be.

    Raises
    ------
    ErgodualError
        If the name is unknown, or the function gives a number that is negative or not finite.

    Examples
    --------
    >>> from ergodual.bilevel import learning_rate
    >>> [learning_rate("sqrt", 0.06, epoch, epochs=8) for epoch in (3, 8)]
    [0.03, 0.02]
    """
    if callable(name):
        given = float(name(epoch))
        if not (math.isfinite(given) and given >= 0):
            raise ErgodualError(
                f"The schedule gives the learning rate {given} for epoch {epoch}; it must be a "
                "finite number, at least 0."
            )
        return given
    rules: dict[str, Callable[[], float]] = {
        "sqrt": lambda: lr / math.sqrt(1 + epoch),
        "inverse": lambda: lr / (1 + epoch),
        "cosine": lambda: lr * (1 + math.cos(math.pi * epoch / epochs)) / 2,
        "constant": lambda: lr,
    }
    if name not in rules:
        raise ErgodualError(
            f"The schedule is {name!r}; it must be one of {', '.join(SCHEDULES)}, or a function "
            "of the epoch."
        )
    return rules[name]()
