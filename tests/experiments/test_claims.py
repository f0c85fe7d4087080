"""The claims, on runs with numbers made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from ergodual.experiments.claims import claims, claims_table


def run(
    depth: int, output: str, loss: list[float], gradient_norm: float, seed: int = 0
) -> dict[str, Any]:
    return {
        "depth": depth,
        "output": output,
        "seed": seed,
        "loss": loss,
        "gradient_norm": [9.0, gradient_norm],
    }


def runs(
    first: tuple[float, ...] = (5, 4, 3),
    ergodic: tuple[tuple[float, ...], tuple[float, ...]] = ((4, 3, 2), (3, 2, 1)),
    plain: tuple[tuple[float, ...], tuple[float, ...]] = ((6, 5, 4), (7, 6, 5)),
    norms: tuple[float, float, float, float, float] = (1.0, 1.1, 1.2, 2.0, 4.0),
) -> list[dict[str, Any]]:
    """Depth 1, then ergodic and plain at depths 2 and 4; the gradient norms in that order."""
    return [
        run(1, "plain", list(first), norms[0]),
        run(2, "ergodic", list(ergodic[0]), norms[1]),
        run(4, "ergodic", list(ergodic[1]), norms[2]),
        run(2, "plain", list(plain[0]), norms[3]),
        run(4, "plain", list(plain[1]), norms[4]),
    ]


@pytest.mark.parametrize(
    ("ergodic", "epochs"),
    [
        (((4, 3, 2), (3, 2, 1)), [0, 1, 2]),
        (((4, 5, 2), (3, 2, 1)), [0, 2]),  # d = 2 above d = 1 in the middle
        (((4, 3, 2), (3, 3, 1)), [0, 2]),  # equal is not below
        (((6, 5, 4), (3, 2, 1)), []),
    ],
)
def test_the_epochs_at_which_the_ergodic_loss_falls_with_depth(
    ergodic: Any, epochs: list[int]
) -> None:
    assert claims(runs(ergodic=ergodic))["ergodic_falls"] == {"0": epochs}


@pytest.mark.parametrize(
    ("plain", "epochs"),
    [
        (((6, 5, 4), (7, 6, 5)), {"2": [0, 1, 2], "4": [0, 1, 2]}),
        (((6, 3, 4), (4, 4, 5)), {"2": [0, 2], "4": [2]}),
    ],
)
def test_the_epochs_at_which_a_plain_loss_lies_above_depth_1(
    plain: Any, epochs: dict[str, list[int]]
) -> None:
    assert claims(runs(plain=plain))["plain_above_depth_1"] == {"0": epochs}


@pytest.mark.parametrize(
    ("norms", "ergodic", "plain"),
    [
        ((1.0, 1.1, 1.2, 2.0, 4.0), (1.2, True), (4.0, True)),
        ((1.0, 1.1, 1.4, 2.0, 2.5), (1.4, False), (2.5, False)),
        ((1.0, 0.5, 0.5, 0.25, 1.0), (2.0, False), (4.0, True)),  # depth 1 counts
    ],
)
def test_the_spread_of_the_last_gradient_norms(
    norms: Any, ergodic: tuple[float, bool], plain: tuple[float, bool]
) -> None:
    spread = claims(runs(norms=norms))["gradient_spread"]
    for output, (ratio, meets) in {"ergodic": ergodic, "plain": plain}.items():
        assert spread[output]["0"]["with_depth_1"] == pytest.approx(ratio)
        assert spread[output]["0"]["meets_bar"] is meets


@pytest.mark.parametrize(
    ("ergodic", "said"),
    [
        (((4, 3, 2), (3, 2, 1)), "at all epochs"),
        (((4, 5, 2), (3, 2, 1)), "at epochs 0, 2 of 0–2"),
        (((4, 3, 4), (3, 2, 1)), "at epochs 0–1 of 0–2"),
        (((6, 5, 4), (3, 2, 1)), "at no epoch"),
    ],
)
def test_the_table_says_where_a_claim_holds(ergodic: Any, said: str) -> None:
    shown = claims_table(claims(runs(ergodic=ergodic)), epochs=2)
    assert next(iter(shown.columns[2].cells)) == said
    assert shown.row_count == 1 + 2 + 2


def test_each_seed_is_judged_alone() -> None:
    second = [{**one, "seed": 1} for one in runs(ergodic=((6, 5, 4), (3, 2, 1)))]
    found = claims(runs() + second)["ergodic_falls"]
    assert found == {"0": [0, 1, 2], "1": []}


def test_without_depth_1_nothing_is_said_about_it() -> None:
    found = claims([one for one in runs() if one["depth"] > 1])
    assert found["plain_above_depth_1"] == {}
    assert found["ergodic_falls"] == {"0": [0, 1, 2]}
