"""The theory's experiments on a corpus of three short files."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import ergodual as ed
from ergodual.bilevel.loss import HalfSquared
from ergodual.cli import main
from ergodual.experiments.theory import theorem2
from ergodual.experiments.theory.frames import Frames, draw_frames, problem_of
from ergodual.experiments.theory.operators import Learned, compared
from ergodual.experiments.theory.outputs import OUTPUTS, output_of
from ergodual.experiments.theory.run import Progress, measure_all
from ergodual.experiments.theory.setting import PARTS, Setting, powers_up_to
from ergodual.experiments.theory.sweep import (
    Run,
    adjoints,
    gradient,
    iterate,
    masks,
    weighted_steps,
)
from ergodual.speech.corpora import load_corpus

SMALL = Setting(
    frame=16,
    lemma_frames=2,
    lemma_depth=4,
    directions=4,
    limit_frames=2,
    limit_depth=200,
    max_depth=16,
    batches=2,
    depths=(1, 8),
    frames=40,
    held_out=16,
    epochs=1,
    batch=8,
    truncated=4,
    deepest=60,
    cost_depth=1000,
    cost_batch=2,
    repeats=1,
)
OPTIONS = [
    word
    for name in SMALL.__dataclass_fields__
    if name != "depths" and getattr(SMALL, name) != getattr(Setting(), name)
    for word in (f"--{name.replace('_', '-')}", str(getattr(SMALL, name)))
] + ["--depths", "1", "8", "--jobs", "1"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, noise = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    for i in range(3):
        samples = np.sin(0.12 * (i + 1) * np.arange(700)) + 0.1 * noise.standard_normal(700)
        soundfile.write(folder / f"{i}.wav", 0.5 * samples / np.abs(samples).max(), 16_000)
    return folder


@pytest.fixture(scope="module")
def finished(
    corpus: Path,
    tmp_path_factory: pytest.TempPathFactory,
    leave_behind: Callable[[Path], Path],
) -> Path:
    """What the command writes; the tests leave the folder as it is."""
    out = tmp_path_factory.mktemp("theory")
    leave_behind(out)
    assert main(["theory", "--corpus", str(corpus), "--out", str(out), *OPTIONS]) == 0
    return out


@pytest.fixture(scope="module")
def content(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "theory.json").read_text())
    return found


@pytest.fixture(scope="module")
def frames(corpus: Path) -> Frames:
    return draw_frames(load_corpus(corpus, SMALL.frame), SMALL)


def test_every_part_has_numbers_and_a_figure(finished: Path, content: dict[str, Any]) -> None:
    assert set(content) == {"setting", "machine", *PARTS}
    assert {f"{part}.svg" for part in PARTS} <= {file.name for file in finished.iterdir()}
    assert not list(finished.rglob("*.tmp*"))  # not what a killed run left, either
    setting = content["setting"]
    assert {name: setting[name] for name in ("bits", "weight", "epochs", "lr", "deepest")} == {
        "bits": 4,
        "weight": 20.0,
        "epochs": 1,
        "lr": SMALL.lr,
        "deepest": 60,
    }
    assert (setting["files"], setting["files_held_out"], setting["frames_held_out"]) == (3, 1, 16)


def test_held_out_frames_are_from_other_files(frames: Frames) -> None:
    learned, held_out = (
        {tuple(row) for row in truth.tolist()} for truth in (frames.learned[1], frames.held_out[1])
    )
    assert (len(learned), len(held_out)) == (40, 16)
    assert not learned & held_out


def test_lemma_1_holds_as_corrected_only(content: dict[str, Any]) -> None:
    rows = content["lemma1"]["rows"]
    assert [(row["output"], row["depth"]) for row in rows] == [
        (output, depth) for output in ("plain", "1/k") for depth in (1, 2, 4)
    ]
    assert max(row["corrected"] for row in rows) <= 1e-7
    assert min(row["printed"] for row in rows) > 1e-3


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_sweep_as_written_is_the_library_s(frames: Frames, output: str) -> None:
    x_tilde, x_true = frames.sounding(5, SMALL.bits)
    problem, depth = problem_of(SMALL, dtype=torch.float64), 7
    steps = weighted_steps(problem, 3.0)
    model = ed.Unrolled(
        problem, depth, ed.StepSizes.fixed(*steps), output_of(output, depth), ed.Tape()
    )
    x_hat = model(x_tilde)
    (taped,) = torch.autograd.grad(HalfSquared()(x_hat, x_true).sum(), problem.K.tensors())
    run, alpha = iterate(problem, x_tilde, depth, *steps), output_of(output, depth)(depth)
    g = x_hat.detach() - x_true
    torch.testing.assert_close(
        gradient(problem, x_tilde, run, alpha, g, shift=0), taped, rtol=1e-12, atol=1e-12
    )
    assert (gradient(problem, x_tilde, run, alpha, g, shift=1) - taped).norm() > 1e-3 * taped.norm()


def test_theorem_2_counterexample(content: dict[str, Any]) -> None:
    found = content["theorem2"]["counterexample"]
    assert (found["M_P"], found["M_D"], found["rank of K"]) == ([0, 1], [0, 0], 2)
    assert found["delta_P"] == pytest.approx([0, -0.3])
    assert found["K primal"] == pytest.approx(0.3 * math.sqrt(2))  # as printed it should be 0
    assert found["masked primal"] == found["masked dual"] == 0


def test_theorem_2_on_speech(content: dict[str, Any]) -> None:
    found = content["theorem2"]
    dct = found["DCT"]["plain"]
    assert min(found["DCT"]["kernel"]) == 0
    assert min(dct["masked primal"][-9:]) < 1e-2 * dct["masked primal"][0]
    differences = found["first differences"]["plain"]
    assert max(found["first differences"]["kernel"]) > 0
    assert min(differences["masked primal"][:60]) == 0
    assert differences["K primal"][60] > 0.05


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_adjoints_for_every_depth_are_those_of_a_sweep(frames: Frames, output: str) -> None:
    x_tilde, x_true = frames.sounding(1, SMALL.bits)
    problem = problem_of(SMALL, dtype=torch.float64)
    run = iterate(problem, x_tilde, 50, *weighted_steps(problem, 3.0))
    at, g = Run(run.y[-1], run.r[-1], *run[2:]), x_tilde + run.r[-1] - x_true
    found = theorem2._against_depth(problem, at, g, 16)
    M_P, M_D = masks(problem, at.r, at.y)
    for i, depth in enumerate(powers_up_to(16)):
        still = Run(at.y.expand(17, *at.y.shape), at.r.expand(17, *at.r.shape), *run[2:])
        *_, first = adjoints(problem, still, output_of(output, depth)(depth), g)
        with torch.no_grad():
            expected = (M_D * problem.K(M_P * first.primal)).norm() / g.norm()
        assert found[output]["masked primal"][i] == pytest.approx(float(expected), rel=1e-10)


def test_gradient_norms(content: dict[str, Any], frames: Frames) -> None:
    found = content["depths"]
    assert list(found["cases"]) == [
        "DCT, balanced steps",
        "DCT",
        "learned plain, d = 8",
        "learned ergodic, d = 8",
    ]
    assert found["depths"] == [1, 2, 4, 8, 16]
    for case in found["cases"].values():
        assert (
            len({round(case[output][0], 6) for output in OUTPUTS}) == 1
        )  # at depth 1 they are the same
    model = ed.Unrolled(
        problem_of(SMALL), 4, ed.StepSizes.balanced(), ed.Ergodic("uniform"), ed.Tape()
    )
    norms = []
    for rows in (slice(0, 8), slice(8, 16)):
        x_tilde, x_true = (t[rows] for t in frames.learned)
        (slope,) = torch.autograd.grad(
            HalfSquared()(model(x_tilde), x_true).mean(), model.problem.K.tensors()
        )
        norms.append(float(slope.norm()))
    assert found["cases"]["DCT, balanced steps"]["uniform"][2] == pytest.approx(
        sum(norms) / 2, rel=1e-4
    )


@pytest.mark.parametrize("depth", [1, 8, 60])
@pytest.mark.parametrize(("output", "layer"), [("plain", ed.Last()), ("1/k", ed.Ergodic("1/k"))])
def test_transfer_is_the_loss_of_a_run_at_that_depth(
    finished: Path, content: dict[str, Any], frames: Frames, depth: int, output: str, layer: Any
) -> None:
    x_tilde, x_true = frames.held_out
    for operator in content["transfer"]["operators"]:
        K = load_file(
            finished
            / "operators"
            / f"{Learned(operator['gradient'], operator['depth']).name}.safetensors"
        )["K"]
        with torch.no_grad():
            x_hat = ed.Unrolled(
                problem_of(SMALL, K), depth, ed.StepSizes.weighted(SMALL.weight), layer
            )(x_tilde)
        curve = operator["transfer"]
        loss = curve[output][curve["depths"].index(depth)]
        assert loss == pytest.approx(float(HalfSquared()(x_hat, x_true).mean()), rel=1e-3)


def test_what_agrees_bit_for_bit_is_learned_once(content: dict[str, Any]) -> None:
    learned = [(one["gradient"], one["depth"]) for one in content["transfer"]["operators"]]
    assert learned == [
        ("plain", 1),
        ("plain", 8),
        ("ergodic", 8),
        ("truncated", 8),
        *((gradient, depth) for gradient in ("stationary", "implicit") for depth in (1, 8)),
        ("implicit", None),
    ]
    assert [Learned(*one) for one in learned] == compared(SMALL)
    shares = [one["irregular"] for one in content["transfer"]["operators"]]
    assert all(
        (0 <= share <= 1) if one[0] == "implicit" else share is None
        for one, share in zip(learned, shares, strict=True)
    )
    *unrolled, solved = [one["unsolved"] for one in content["transfer"]["operators"]]
    assert unrolled == [None] * len(unrolled)
    assert 0 < solved < 1  # in 60 iterations


def test_costs(content: dict[str, Any]) -> None:
    found = content["costs"]
    rows, depth = found["rows"], SMALL.cost_depth
    assert found["regular"] == 1
    for name in ("Tape", "Reverse", "Checkpointed"):
        assert rows[name]["with_reverse"]["median"] == pytest.approx(1, abs=1e-9)
    # the reverse sweep at a great depth and the derivative of the solution are one
    assert rows["Reverse"]["with_solution"]["median"] == pytest.approx(1, abs=1e-5)
    assert rows["Implicit"]["with_reverse"]["median"] == pytest.approx(1, abs=1e-5)
    assert rows["Implicit"]["at_solution"]["median"] == pytest.approx(1, abs=1e-9)
    assert rows["OneStep"]["at_solution"]["median"] < 0.99
    assert rows["Reverse"]["over_reverse"] == 1
    # y⁰ … y^d, r^−1 … r^d and x̃, α_k, and σ, τ and θ, in float32
    numbers = 2 * 16 * (2 * depth + 4) + depth + 3
    assert rows["Reverse"]["megabytes"] == pytest.approx(4e-6 * numbers)
    assert (
        rows["Neumann(8)"]["megabytes"]
        < rows["Truncated(8)"]["megabytes"]
        < rows["Checkpointed"]["megabytes"]
    )
    assert rows["Reverse"]["megabytes"] < rows["Tape"]["megabytes"]


def test_it_goes_on_with_what_is_missing(
    corpus: Path, finished: Path, content: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "again"
    shutil.copytree(finished, out)
    kept = [*(out / "parts").iterdir(), *(out / "operators").iterdir()]
    for file in kept:
        os.utime(file, (0, 0))
    for name in (
        "parts/transfer.json",
        "operators/truncated-d8.json",
        "operators/plain-d1.json",
        "theory.json",
    ):
        (out / name).unlink()
    told: list[Progress] = []
    found = measure_all(corpus, out, SMALL, jobs=2, report=told.append)
    again = {file.stem for file in kept if file.stat().st_mtime > 0}
    assert again == {"transfer", "truncated-d8", "plain-d1"}
    assert json.loads((out / "theory.json").read_text()) == json.loads(json.dumps(found))
    assert (told[-1].done, told[-1].of) == (len(compared(SMALL)) * (SMALL.epochs + 2) + 1,) * 2
    assert found["lemma1"] == content["lemma1"]
    curves = [
        [one["transfer"] for one in which["transfer"]["operators"]] for which in (found, content)
    ]
    assert curves[0] == curves[1]


def test_one_part_alone(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["theory", "--corpus", str(corpus), "--out", str(out), *OPTIONS, "--parts", "lemma1"]
    assert main(command) == 0
    assert set(json.loads((out / "theory.json").read_text())) == {"setting", "machine", "lemma1"}
    said = capsys.readouterr()
    assert said.out.splitlines()[-2:] == [str(out / name) for name in ("lemma1.svg", "theory.json")]
    assert said.err == ""  # no progress bar where nobody watches
    assert main([*command, "--weight", "3"]) == 2
    assert "results of another setting: weight was 20.0 and is now 3.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--bits", "17"], "17 bits"),
        (["--frame", "1"], "--frame is 1; it must be at least 2"),
        (["--depths", "0"], "--depths is 0"),
        (["--depths"], "--depths is 0"),
        (["--held-out", "0"], "--held-out"),
        (["--lr", "nan"], "--lr"),
        (["--limit-weight", "-1"], "--limit-weight"),
        (["--cost-batch", "0"], "--cost-batch"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_bad_values_are_a_sentence_and_status_2(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    assert (
        main(
            [
                "theory",
                "--corpus",
                str(corpus),
                "--out",
                str(tmp_path / "out"),
                *OPTIONS,
                *arguments,
            ]
        )
        == 2
    )
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_corpora_and_folders_are_a_sentence(
    recordings: Callable[..., Path],
    corpus: Path,
    tmp_path: Path,
    frames: Frames,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        main(
            [
                "theory",
                "--corpus",
                str(recordings("one", count=1)),
                "--out",
                str(tmp_path / "out"),
                *OPTIONS,
            ]
        )
        == 2
    )
    assert "one recording; give two" in capsys.readouterr().err
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").write_text("precious")
    assert (
        main(["theory", "--corpus", str(corpus), "--out", str(tmp_path / "papers"), *OPTIONS]) == 2
    )
    assert "not empty" in capsys.readouterr().err
    silent = replace(frames, learned=(torch.full((3, 16), 1 / 16), torch.zeros(3, 16)))
    with pytest.raises(ed.ErgodualError, match="near silence"):
        silent.sounding(2, 4)
