"""A short run of ``make trial``: random problems, and nothing wrong without a word."""

import pytest

from benchmarks.trial import run, tried

CASES = (4, 14, 26, 40, 48, 72, 101, 138)
"""Cases of all kinds, some of which were wrong once."""


@pytest.mark.parametrize("index", CASES)
def test_random_problems(index: int) -> None:
    outcomes = tried(index)
    assert len(outcomes) == 12
    assert not [each for each in outcomes if each[1] in ("wrong", "raised")]


def test_what_is_wrong_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [("solve, float64", "solved", ""), ("solve, float64", "wrong", "by far")]
    monkeypatch.setattr("benchmarks.trial.tried", lambda index: said)
    counts, wrong = run(8, seed=5)
    assert counts["solve, float64", "wrong"] == 2
    assert wrong == [f"case {i}: solve, float64, wrong: by far" for i in (5, 6)]
