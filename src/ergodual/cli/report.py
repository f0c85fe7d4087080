"""``ergodual report``: a page on a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ergodual.errors import ErgodualError


@dataclass(frozen=True)
class Report:
    """Make one self-contained page of a run of ergodual train: what was learned, how, and how it
    sounds.

    It shows the operator beside the one that learning began with, the loss and the step sizes, and
    for a few clips measures, pictures (with the predicted thresholds of models of whole recordings)
    and players for the true, the quantized and the restored sound. Nothing is loaded from
    elsewhere, so the page can be sent to anyone.
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The folder that ergodual train wrote to."""
    out: Path
    """The page, an .html file; one that is there is replaced."""
    clips: Path | None = None
    """Folder of good recordings to quantize and restore; None means those of --dev in RUN if they
    are still there, else the synthetic speech that comes with Ergodual.
    """
    count: int = 3
    """How many of them are shown."""
    seconds: float = 6.0
    """How much of each."""

    def run(self) -> None:
        """Check, draw, and say where it is."""
        import torch

        from ergodual.cli.progress import progress_bar
        from ergodual.experiments.report import write_report
        from ergodual.experiments.runs import load_run
        from ergodual.files import sweep
        from ergodual.speech.corpora import synthetic_speech

        for name in ("count", "seconds"):
            if not 0 < getattr(self, name) < 1e6:
                raise ErgodualError(
                    f"The value of --{name} is {getattr(self, name)}; it must be positive and "
                    "below a million."
                )
        if self.out.suffix.lower() != ".html":
            raise ErgodualError(f"{self.out} does not end in .html; give --out a name that does.")
        if not self.out.parent.is_dir():
            raise ErgodualError(
                f"{self.out.parent} is not a folder; make it first, or write elsewhere."
            )
        run = load_run(self.source)
        dev = Path(run.config.get("dev") or "")
        clips = self.clips or (
            dev if run.config.get("dev") and dev.is_dir() else synthetic_speech()
        )
        torch.set_num_threads(1)
        sweep(self.out.parent)
        with progress_bar("%") as bar:
            task = bar.add_task("report", total=100, note="")
            write_report(
                run,
                self.source.resolve().name,
                clips,
                self.out,
                self.count,
                self.seconds,
                lambda what, share: bar.update(task, completed=round(100 * share), note=what),
            )
        print(self.out)
