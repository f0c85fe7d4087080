"""The ranges of options that several commands have."""

from __future__ import annotations

from ergodual.errors import ErgodualError


def check_threads(threads: int) -> None:
    """Raise :class:`ErgodualError` for a number of threads that torch would not survive."""
    _check("threads", threads, range(1, 1025))


def check_seed(seed: int) -> None:
    """Raise :class:`ErgodualError` for a seed that a generator of random numbers does not take."""
    _check("seed", seed, range(2**63))


def _check(option: str, value: int, allowed: range) -> None:
    if value not in allowed:
        raise ErgodualError(
            f"The value of --{option} is {value}; it must be from {allowed[0]} to {allowed[-1]}."
        )
