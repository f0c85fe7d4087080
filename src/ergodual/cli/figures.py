"""``ergodual figures``: the paper's Figures 1 and 2 on a corpus."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Figures:
    """Draw the paper's two figures: training loss and gradient norm, plain and ergodic, at several
    depths.

    Every pair of a depth and an output is learned from scratch, several times. Each finished run is
    kept in OUT/runs, and each epoch of an unfinished one, so that the same command goes on where it
    was interrupted.
    """

    corpus: Path
    """Folder of WAV or FLAC files to learn from."""
    out: Path
    """Folder for figure1 and figure2 (SVG and PNG), figures.json and the runs."""
    depths: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of iterations d."""
    bits: int = 4
    """Word length of the quantizer, 1 to 16."""
    epochs: int = 20
    """How often each run sees all frames."""
    seeds: int = 3
    """How many runs of each kind, which differ in the order of the frames."""
    lr: float = 0.05
    """Learning rate; that of epoch e = 0, 1, ... is lr/sqrt(1 + e)."""
    steps: Literal["balanced", "weighted"] = "balanced"
    """Step sizes: sigma = tau = 0.99/|K|, or sigma = W * 0.99/|K| and tau = 0.99/(W |K|)."""
    weight: float = 1.0
    """W, for weighted steps."""
    theta: float = 1.0
    """Extrapolation of the dual steps: 1 is Chambolle and Pock's, 0 is none."""
    batch: int = 32
    """Frames a mini-batch."""
    frame: int = 320
    """Samples a frame."""
    jobs: int = os.cpu_count() or 1
    """Runs learned at once, one thread each; by default as many as there are cores."""

    def run(self) -> None:
        """Learn, draw, and say what holds."""
        from rich.console import Console

        from ergodual.cli.corpora import describe
        from ergodual.cli.progress import progress_bar
        from ergodual.experiments.claims import claims_table
        from ergodual.experiments.figures import Progress, Setting, draw, learn_all, table

        setting = Setting(
            self.depths,
            self.bits,
            self.epochs,
            self.seeds,
            self.lr,
            self.steps,
            self.weight,
            self.theta,
            self.batch,
            self.frame,
        )
        console = Console()
        with progress_bar("epochs") as bar:
            task = bar.add_task("learning", total=setting.epochs * len(setting.runs()), note="")

            reached: dict[str, int] = {}

            def report(done: Progress) -> None:
                # a run that goes on from a checkpoint begins with a later epoch
                reached[done.run.name] = done.epoch
                bar.update(
                    task,
                    completed=sum(reached.values()),
                    note=f"{done.run.name}  loss {done.loss:.4f}",
                )
                if done.epoch == setting.epochs:
                    print(
                        f"{done.run.name}: loss {done.loss:.4f} after {done.epoch} epochs",
                        flush=True,
                    )

            on_corpus = partial(describe, console, self.corpus, n=self.frame)
            content = learn_all(self.corpus, self.out, setting, self.jobs, report, on_corpus)
        files = draw(content, self.out)
        console.print(table(content))
        console.print(claims_table(content["claims"], setting.epochs))
        print("\n".join(str(file) for file in files))
