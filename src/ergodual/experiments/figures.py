"""The paper's Figures 1 and 2: plain and ergodic outputs learned at several depths."""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.table import Table

from ergodual.bilevel import fit
from ergodual.errors import ErgodualError
from ergodual.experiments.claims import claims
from ergodual.experiments.folders import AGAIN, claim
from ergodual.experiments.plots import gradient_figure, loss_figure, save_figure
from ergodual.experiments.pool import work_off
from ergodual.files import read_json, write_atomically
from ergodual.primal_dual import StepSizes, Unrolled
from ergodual.speech.corpora import Corpus, load_corpus
from ergodual.speech.model import ModelSpec, build
from ergodual.speech.quantizers import MidRise

Output = Literal["plain", "ergodic"]
OUTPUTS: tuple[Output, ...] = ("plain", "ergodic")


@dataclass(frozen=True)
class Setting:
    """What all runs of a figure have in common.

    Attributes
    ----------
    depths
        Numbers of iterations d. At d = 1 the plain and the ergodic output are the same; it is
        trained once, as plain.
    bits
        Word length of the quantizer, in the paper's convention.
    epochs, seeds
        How long each run learns, and how many runs there are of each kind.
    lr
        Learning rate of the first epoch; that of epoch e = 0, 1, … is lr/√(1 + e).
    steps, weight
        The step size rule.
    theta
        Extrapolation, θ; 1 is Chambolle and Pock's, 0 none.
    batch
        Frames a mini-batch.
    frame
        Samples a frame, n.
    """

    depths: tuple[int, ...] = (1, 2, 4, 8)
    bits: int = 4
    epochs: int = 20
    seeds: int = 3
    lr: float = 0.05
    steps: Literal["balanced", "weighted"] = "balanced"
    weight: float = 1.0
    theta: float = 1.0
    batch: int = 32
    frame: int = 320

    def check(self) -> None:
        """Raise :class:`ErgodualError` if a value is out of its range."""
        MidRise(self.bits)
        counts = {
            "epochs": self.epochs,
            "seeds": self.seeds,
            "batch": self.batch,
            "frame": self.frame,
        }
        for name, value in {**counts, "depths": min(self.depths, default=0)}.items():
            if value < 1:
                raise ErgodualError(f"The value of --{name} is {value}; it must be at least 1.")
        for name, number in {"lr": self.lr, "weight": self.weight}.items():
            if not 0 < number < 1e30:
                raise ErgodualError(
                    f"The value of --{name} is {number}; it must be positive and below 1e30."
                )
        if not 0 <= self.theta <= 1:
            raise ErgodualError(f"The value of --theta is {self.theta}; it must be from 0 to 1.")
        if self.weight != 1 and self.steps == "balanced":
            raise ErgodualError(
                f"--weight {self.weight} means nothing for balanced steps; add --steps weighted."
            )

    def runs(self) -> list[Run]:
        """Every run, the longest first."""
        return [
            Run(depth, output, seed)
            for seed in range(self.seeds)
            for depth in sorted(set(self.depths), reverse=True)
            for output in (OUTPUTS if depth > 1 else OUTPUTS[:1])
        ]


@dataclass(frozen=True)
class Run:
    """One training."""

    depth: int
    output: Output
    seed: int

    @property
    def name(self) -> str:
        """Its file name, without an ending."""
        return f"d{self.depth}-{self.output}-s{self.seed}"


@dataclass(frozen=True)
class Progress:
    """An epoch of a run is done."""

    run: Run
    epoch: int
    loss: float


def learn_all(
    corpus: Path,
    out: Path,
    setting: Setting,
    jobs: int | None = None,
    report: Callable[[Progress], None] | None = None,
    on_corpus: Callable[[Corpus], None] | None = None,
) -> dict[str, Any]:
    """Train every run and write ``figures.json``; runs that ``out`` already holds are taken from
    there.

    Parameters
    ----------
    corpus
        A folder of WAV or FLAC files.
    out
        Where everything is written: ``setting.json``, ``runs/``, ``figures.json``.
    setting
        What is learned.
    jobs
        How many processes of one thread each work at once; the number of cores if None.
    report
        Called after each epoch of each run, and once, with the last epoch, for each run that is
        taken from ``out``.
    on_corpus
        Called with the corpus once it is clear that ``out`` can be used.

    Returns
    -------
    The content of ``figures.json``.

    Raises
    ------
    ErgodualError
        If the corpus, the setting or ``jobs`` cannot be used, or ``out`` holds runs of another
        setting.
    """
    setting.check()
    if jobs is not None and jobs < 1:
        raise ErgodualError(f"The value of --jobs is {jobs}; it must be at least 1.")
    loaded = load_corpus(corpus, setting.frame)
    described: dict[str, Any] = {
        **asdict(setting),
        "depths": sorted(set(setting.depths)),
        "schedule": "lr/sqrt(1 + epoch)",
        "quantizer": "mid-rise, the paper's convention",
        "depth_1": "plain and ergodic are the same there; trained once, listed as plain",
        "frames": len(loaded.frames),
        "files": loaded.files,
        "rate": loaded.rate,
    }
    claim(out, described, "figures")
    if on_corpus is not None:
        on_corpus(loaded)
    (out / "runs").mkdir(exist_ok=True)
    report = report or (lambda _: None)
    pending = []
    for run in setting.runs():
        if _result(out, run).exists():
            report(Progress(run, setting.epochs, _read(out, run)["loss"][-1]))
        else:
            pending.append(run)
    begun = time.perf_counter()
    if pending:
        pieces, at_once = (
            [(run, out, setting) for run in pending],
            min(jobs or os.cpu_count() or 1, len(pending)),
        )
        work_off(_learn, pieces, at_once, _prepare, (corpus, setting), report)
    done = sorted(setting.runs(), key=lambda run: (run.depth, run.output, run.seed))
    runs = [_read(out, run) for run in done]
    content = {
        "setting": described,
        "machine": {
            "torch": torch.__version__,
            "cores": os.cpu_count(),
            "processes": jobs or os.cpu_count(),
        },
        "wall_seconds": _wall_seconds(out, time.perf_counter() - begun if pending else 0.0),
        "claims": claims(runs),
        "runs": runs,
    }
    write_atomically(out / "figures.json", json.dumps(content, indent=1) + "\n")
    return content


def draw(content: dict[str, Any], out: Path) -> list[Path]:
    """Write ``figure1`` and ``figure2``; the names of all files."""
    drawn = [
        save_figure(loss_figure(content["runs"]), out / "figure1"),
        save_figure(gradient_figure(content["runs"]), out / "figure2"),
    ]
    return [*drawn, out / "figures.json"]


def table(content: dict[str, Any]) -> Table:
    """Loss and gradient norm at the end, mean over the seeds, a row for each depth and output."""
    found = Table(title="Mean over the seeds")
    for heading in (
        "d",
        "output",
        "loss at first",
        "loss at last",
        "gradient norm at last",
        "s/epoch",
    ):
        found.add_column(heading, justify="right")
    kinds = sorted({(run["output"], run["depth"]) for run in content["runs"]}, reverse=True)
    for output, depth in sorted(kinds, key=lambda kind: (kind[0] == "ergodic", kind[1])):
        runs = [run for run in content["runs"] if (run["output"], run["depth"]) == (output, depth)]
        last = [
            (
                run["loss"][0],
                run["loss"][-1],
                run["gradient_norm"][-1],
                statistics.median(run["seconds"][1:]),
            )
            for run in runs
        ]
        means = [statistics.fmean(column) for column in zip(*last, strict=True)]
        found.add_row(
            str(depth),
            output,
            f"{means[0]:.4f}",
            f"{means[1]:.4f}",
            f"{means[2]:.3f}",
            f"{means[3]:.1f}",
        )
    return found


def _wall_seconds(out: Path, more: float) -> float:
    """The time that all calls together took (a call that was killed leaves none)."""
    file = out / "figures.json"
    return more + (read_json(file, AGAIN, "wall_seconds")["wall_seconds"] if file.exists() else 0.0)


def _result(out: Path, run: Run) -> Path:
    return out / "runs" / f"{run.name}.json"


def _read(out: Path, run: Run) -> dict[str, Any]:
    return read_json(
        _result(out, run), AGAIN, *asdict(run), "loss", "gradient_norm", "norm", "seconds"
    )


_frames: tuple[torch.Tensor, torch.Tensor]
_told: multiprocessing.SimpleQueue[Progress]
"""Observations and ground truths of this worker process, and where it says what is done."""


def _prepare(corpus: Path, setting: Setting, told: multiprocessing.SimpleQueue[Progress]) -> None:
    global _frames, _told
    truth = load_corpus(corpus, setting.frame).frames
    _frames, _told = (MidRise(setting.bits, clip=False).quantize(truth), truth), told


def _learn(run: Run, out: Path, setting: Setting) -> None:
    spec = ModelSpec(n=setting.frame, depth=run.depth, output=run.output)
    built = build(spec, bits=setting.bits)
    steps = StepSizes.weighted(setting.weight, setting.theta)
    model = Unrolled(built.problem, run.depth, steps, built.output)
    checkpoint = out / "runs" / f"{run.name}.pt"
    history = fit(
        model,
        *_frames,
        epochs=setting.epochs,
        batch_size=setting.batch,
        lr=setting.lr,
        seed=run.seed,
        checkpoint=checkpoint,
        resume=True,
        identity=json.loads(json.dumps({**asdict(setting), **asdict(run)})),
        on_epoch=lambda epoch: _told.put(Progress(run, epoch.epoch, epoch.train_loss)),
    )
    result = {
        **asdict(run),
        "loss": [epoch.train_loss for epoch in history.epochs],
        "gradient_norm": [epoch.gradient_norm for epoch in history.epochs[1:]],
        "norm": [epoch.norm for epoch in history.epochs],
        "seconds": [epoch.seconds for epoch in history.epochs],
    }
    write_atomically(_result(out, run), json.dumps(result) + "\n")
    checkpoint.unlink()
