"""``ergodual theory``: what theory says of the sweeps and the gradients, measured on a corpus."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from ergodual.experiments.theory.setting import PARTS, Part, Setting

if TYPE_CHECKING:
    from ergodual.experiments.theory.run import Progress


@dataclass(frozen=True)
class Theory:
    """Measure what theory says: gradients, their limits, and operators beyond the depth they were
    learned at.

    lemma1: Lemma 1 against central differences, as printed and as corrected. theorem2: where the
    adjoints of the reverse sweep go, for the plain output and for averages. depths: gradient norms
    at depths 1 to 512. transfer: operators learned at several depths by several gradients, and at
    the solution, followed to depth 10,000. costs: accuracy, time and memory of every gradient. With
    the defaults all of it takes about half an hour on two cores, most of that for transfer. What is
    finished is kept in OUT, so that the same command goes on where it was interrupted.
    """

    corpus: Path
    """Folder of WAV or FLAC files; a tenth of them, at least one, is held out."""
    out: Path
    """Folder for a figure of each part (SVG and PNG), theory.json and what is kept."""
    parts: tuple[Part, ...] = PARTS
    """What is measured."""
    jobs: int = os.cpu_count() or 1
    """Operators learned at once, one thread each; by default as many as there are cores."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = Setting()

    def run(self) -> None:
        """Measure, draw, and say where it is."""
        from rich.console import Console

        from ergodual.cli.corpora import describe
        from ergodual.cli.progress import progress_bar
        from ergodual.experiments.theory.run import draw, measure_all

        with progress_bar("steps") as bar:
            task = bar.add_task("measuring", total=None, note="")

            def report(progress: Progress) -> None:
                bar.update(task, completed=progress.done, total=progress.of, note=progress.note)

            on_corpus = partial(describe, Console(), self.corpus, n=self.setting.frame)
            content = measure_all(
                self.corpus, self.out, self.setting, self.jobs, self.parts, report, on_corpus
            )
        print("\n".join(str(file) for file in draw(content, self.out)))
