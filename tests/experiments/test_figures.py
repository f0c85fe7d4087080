"""The figures' experiment on a corpus of two short files."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import ergodual as ed
from ergodual.bilevel import HalfSquared
from ergodual.experiments.figures import Progress, Setting, draw, learn_all, table
from ergodual.speech.corpora import load_corpus
from ergodual.speech.quantizers import MidRise

SMALL = Setting(depths=(1, 2), epochs=2, seeds=1, batch=4, frame=16)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    noise = np.random.default_rng(0)
    for name, pitch in (("a", 200), ("b", 310)):
        samples = 0.5 * np.sin(
            2 * np.pi * pitch * np.arange(400) / 8000
        ) + 0.1 * noise.standard_normal(400)
        soundfile.write(folder / f"{name}.wav", samples, 8000)
    return folder


@pytest.fixture(scope="module")
def finished(
    corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], list[Progress]]:
    """A finished experiment; the tests leave its folder as it is."""
    out, told = tmp_path_factory.mktemp("figures"), []
    return out, learn_all(corpus, out, SMALL, jobs=1, report=told.append), told


def lasting(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs without their times."""
    return [
        {key: value for key, value in run.items() if key != "seconds"} for run in content["runs"]
    ]


def test_every_pair_is_learned_and_depth_1_once(
    finished: tuple[Path, dict[str, Any], list[Progress]],
) -> None:
    out, content, told = finished
    assert [(run["depth"], run["output"]) for run in content["runs"]] == [
        (1, "plain"),
        (2, "ergodic"),
        (2, "plain"),
    ]
    for run in content["runs"]:
        assert len(run["loss"]) == len(run["seconds"]) == SMALL.epochs + 1
        assert len(run["gradient_norm"]) == SMALL.epochs
    assert len({(one.run, one.epoch) for one in told}) == len(told) == 3 * (SMALL.epochs + 1)
    assert json.loads((out / "figures.json").read_text()) == json.loads(json.dumps(content))


def test_the_setting_says_what_was_done(
    finished: tuple[Path, dict[str, Any], list[Progress]],
) -> None:
    _, content, _ = finished
    setting = content["setting"]
    assert {key: setting[key] for key in ("bits", "epochs", "seeds", "lr", "steps")} == {
        key: value
        for key, value in asdict(SMALL).items()
        if key in ("bits", "epochs", "seeds", "lr", "steps")
    }
    assert (setting["files"], setting["frames"], setting["rate"]) == (2, 50, 8000)
    assert "once" in setting["depth_1"]


def test_a_finished_experiment_leaves_no_checkpoint(
    finished: tuple[Path, dict[str, Any], list[Progress]],
) -> None:
    out, _, _ = finished
    assert not list((out / "runs").glob("*.pt"))
    assert not list(out.rglob("*.tmp*"))


def test_it_goes_on_with_the_runs_that_are_missing(
    corpus: Path, finished: tuple[Path, dict[str, Any], list[Progress]], tmp_path: Path
) -> None:
    out, content, _ = finished
    again = tmp_path / "again"
    (again / "runs").mkdir(parents=True)
    for file in ("setting.json", "runs/d1-plain-s0.json", "runs/d2-ergodic-s0.json"):
        (again / file).write_bytes((out / file).read_bytes())
    told: list[Progress] = []
    resumed = learn_all(corpus, again, SMALL, jobs=1, report=told.append)
    kept = [one.run.name for one in told[:2]]
    assert sorted(kept) == ["d1-plain-s0", "d2-ergodic-s0"]
    assert [(one.run.name, one.epoch) for one in told[2:]] == [
        ("d2-plain-s0", epoch) for epoch in range(SMALL.epochs + 1)
    ]
    assert lasting(resumed) == lasting(content)


def test_a_finished_experiment_is_only_read(
    corpus: Path, finished: tuple[Path, dict[str, Any], list[Progress]]
) -> None:
    out, content, _ = finished
    told: list[Progress] = []
    assert learn_all(corpus, out, SMALL, jobs=1, report=told.append)["runs"] == content["runs"]
    assert [one.epoch for one in told] == [SMALL.epochs] * 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("setting.json", "give another --out"),
        ("runs/d1-plain-s0.json", "remove it"),
        ("figures.json", "remove it"),
    ],
)
def test_damaged_files_are_named(
    name: str,
    advice: str,
    content: bytes,
    corpus: Path,
    finished: tuple[Path, dict[str, Any], list[Progress]],
    tmp_path: Path,
) -> None:
    again = shutil.copytree(finished[0], tmp_path / "again")
    (again / name).write_bytes(content)
    with pytest.raises(ed.ErgodualError, match=f"{name} is damaged; {advice}") as caught:
        learn_all(corpus, again, SMALL, jobs=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "field"),
    [
        (replace(SMALL, lr=0.1), "lr"),
        (replace(SMALL, bits=5), "bits"),
        (replace(SMALL, depths=(1, 4)), "depths"),
    ],
)
def test_runs_of_another_setting_are_refused(
    corpus: Path,
    finished: tuple[Path, dict[str, Any], list[Progress]],
    setting: Setting,
    field: str,
) -> None:
    out, _, _ = finished
    before = (out / "figures.json").read_bytes()
    with pytest.raises(ed.ErgodualError, match=rf"another setting: {field} was"):
        learn_all(corpus, out, setting, jobs=1)
    assert (out / "figures.json").read_bytes() == before


def test_a_folder_with_other_things_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ed.ErgodualError, match="not empty"):
        learn_all(corpus, tmp_path, SMALL, jobs=1)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"depths": ()}, "depths"),
        ({"depths": (0, 2)}, "depths"),
        ({"epochs": 0}, "epochs"),
        ({"seeds": 0}, "seeds"),
        ({"batch": 0}, "batch"),
        ({"lr": 0.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"weight": -1.0}, "weight"),
        ({"theta": -0.1}, "theta"),
        ({"theta": float("nan")}, "theta"),
        ({"bits": 17}, "17 bits"),
    ],
)
def test_a_value_out_of_range_is_named_before_anything_is_written(
    corpus: Path, tmp_path: Path, changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(ed.ErgodualError, match=named):
        learn_all(corpus, tmp_path / "out", replace(SMALL, **changed), jobs=1)
    assert not (tmp_path / "out").exists()


def test_theta_is_that_of_the_iteration(corpus: Path, tmp_path: Path) -> None:
    # no extrapolation changes nothing before the second iteration
    found = learn_all(corpus, tmp_path, replace(SMALL, theta=0.0, epochs=1), jobs=1)
    frames = load_corpus(corpus, SMALL.frame).frames
    observed = MidRise(SMALL.bits, clip=False).quantize(frames)
    problem = ed.Problem(ed.L1(), ed.Box(radius=MidRise(SMALL.bits).radius), ed.Dense.dct(16))
    for run in found["runs"]:
        output = ed.Last() if run["output"] == "plain" else ed.Ergodic()
        with_none, with_one = (
            ed.Unrolled(problem, run["depth"], ed.StepSizes.balanced(theta), output)
            for theta in (0.0, 1.0)
        )
        loss = [
            float(HalfSquared()(m(observed), frames).detach().mean()) for m in (with_none, with_one)
        ]
        assert run["loss"][0] == pytest.approx(loss[0])
        assert (loss[0] == loss[1]) == (run["depth"] == 1)


def test_draw_and_table(
    finished: tuple[Path, dict[str, Any], list[Progress]], tmp_path: Path
) -> None:
    _, content, _ = finished
    draw(content, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {f"figure{i}.svg" for i in (1, 2)}
    assert table(content).row_count == 3
