"""Short runs of ``make fuzz`` and ``make kills``, and that these notice what is wrong."""

import os
import signal
import time

import pytest

from ergodual.errors import ErgodualError
from ordeals import fuzz, kills
from ordeals.forked import forked

CASES = range(194, 10_000, 82)
"""Some of ``make fuzz``, of all kinds; 194 once left a result behind an error."""


def test_spoilt_files() -> None:
    fuzz.good()
    outcomes = [outcome for some, _ in forked(CASES, fuzz.tried, 2) for outcome in some]
    assert {outcome.case for outcome in outcomes} == set(CASES)
    assert not [outcome for outcome in outcomes if outcome.word in fuzz.WRONG]
    assert {"done", "refused", "read"} == {outcome.word for outcome in outcomes}
    kinds = {fuzz.drawn(case)[0].kind for case in CASES}
    assert len(kinds) > 50
    assert "model 1" in kinds


def test_all_kinds_are_there() -> None:
    recordings, models = fuzz.good()
    for container in ("WAV", "FLAC", "AIFF", "AU", "CAF", "W64", "RF64", "BW64", "RAW"):
        assert len({one.kind for one in recordings if one.kind.startswith(container)}) >= 3
    assert len(models) == 2


def test_what_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordeals.forked.SECONDS", 1)

    def tried(case: int) -> tuple[str, str]:
        if case == 1:
            time.sleep(60)
        if case == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if case == 4:
            bytes(1 << 31)
        return "done", ""

    outcomes = [outcome for some, _ in forked(range(6), tried, 1) for outcome in some]
    assert [outcome.word for outcome in outcomes] == [
        *("done", "hang", "done", "crash", "crash", "done")
    ]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ErgodualError("a sentence"), "refused"),
        (OSError(28, "No space left on device"), "refused"),
        (ErgodualError("two\nlines"), "no sentence"),
        (RuntimeError("oh"), "traceback"),
    ],
)
def test_errors_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, error: Exception, word: str
) -> None:
    def raises() -> None:
        raise error

    monkeypatch.setattr(fuzz, "_command", lambda *arguments: raises)
    assert fuzz.tried(0)[0] == word


def test_killed_runs() -> None:
    found = kills.run(3, seed=1, names=("a.wav", "b/c.flac"))
    assert found["kills"] == {"SIGKILL": 1, "SIGTERM": 1, "SIGINT": 1}
    assert not found["wrong"]
