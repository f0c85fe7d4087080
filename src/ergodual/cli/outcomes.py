"""How a command ends that did not do all that it was asked for."""

from __future__ import annotations

from ergodual.errors import ErgodualError


class SomeFailedError(ErgodualError):
    """Some of many files were done, and some were not."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), and tidies up first."""


def failure(failed: list[str], total: int, what: str) -> ErgodualError:
    """Sentences about files that failed, so many of a total, as one error."""
    if total == 1:
        return ErgodualError(failed[0])
    said = f"{len(failed)} of {total} files {what}: " + " ".join(failed)
    return SomeFailedError(said) if len(failed) < total else ErgodualError(said)


def said_of(error: ErgodualError | OSError) -> str:
    """A sentence."""
    if isinstance(error, ErgodualError):
        return str(error)
    where = f" {error.filename}" if error.filename else ""
    return (
        f"The file system refused{where}: {error.strerror or error}; check the space and the "
        "permissions."
    )
