"""``ergodual evaluate``: dequantizers side by side."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ergodual.errors import ErgodualError

if TYPE_CHECKING:
    from rich.table import Table

    from ergodual.experiments.evaluate import Row

HEADINGS = {
    "snr_db": "SNR",
    "delta_snr_db": "gain",
    "si_sdr_db": "SI-SDR",
    "segmental_snr_db": "seg. SNR",
    "lsd_db": "LSD",
    "estoi": "ESTOI",
    "pesq_wb": "PESQ",
    "audio_seconds_per_second": "audio s/s",
}


@dataclass(frozen=True)
class Evaluate:
    """Measure dequantizers on good recordings, which are quantized first.

    Compared are the quantized signal; with --train, linear least squares with projection and a
    perceptron of as many parameters as a model, which learn from these recordings; the DCT solved
    to convergence; l1 analysis with a Gabor frame; and the learned models. OUT gets measures.json
    and measures.csv: mean, 95 % interval and lowest value over the files. PESQ is among them after
    pip install ergodual[pesq]. Among them are the levels over the original, octave by octave, which
    show what is too weak or too strong; levels.svg draws them after pip install ergodual[report].
    """

    corpus: Path
    """Folder of WAV or FLAC files to measure on."""
    out: Path
    """Folder for the table; measures there are replaced."""
    bits: tuple[int, ...] = (4, 5, 6)
    """Word lengths of the quantizer."""
    quantizer: Literal["mid-rise", "mid-tread", "mu-law", "a-law"] = "mid-rise"
    """Its kind; mu-law and a-law have 8 bits."""
    models: tuple[str, ...] = ("ergodic=speech-16k",)
    """Learned models as NAME=MODEL: a model that comes with Ergodual, a file, or a folder of files
    for several word lengths.
    """
    restored: tuple[str, ...] = ()
    """What other programs made of these recordings, as NAME=FOLDER: FOLDER/BITS holds files by the
    same names, restored from what ergodual quantize --normalize makes of them.
    """
    train: Path | None = None
    """Folder of recordings for those methods that have to learn here."""
    gabor: bool = True
    """Whether the Gabor frame is compared too, which takes most of the time."""
    threads: int = 1
    """Threads for the products."""

    def run(self) -> None:
        """Measure, write, print."""
        import csv
        import io
        import json

        import torch
        from rich.console import Console

        from ergodual.cli.progress import progress_bar
        from ergodual.cli.ranges import check_threads
        from ergodual.experiments.evaluate import Setting, as_dicts, evaluate
        from ergodual.files import sweep, write_atomically
        from ergodual.speech.quantizers import MidRise

        for bits in self.bits:
            MidRise(bits)
        if self.quantizer in ("mu-law", "a-law") and self.bits != (8,):
            raise ErgodualError(f"--quantizer {self.quantizer} has 8 bits; add --bits 8.")
        models = _pairs("--models", self.models, "NAME=MODEL, for instance ergodic=speech-16k")
        restored = {
            name: Path(folder)
            for name, folder in _pairs("--restored", self.restored, "NAME=FOLDER").items()
        }
        taken = {"quantized", "linear", "perceptron", "dct", "gabor", *models} & restored.keys()
        if taken:
            raise ErgodualError(
                f"--restored has {min(taken)!r}, which is the name of another row; give another."
            )
        if self.out.is_file():
            raise ErgodualError(f"{self.out} is a file; --out must be a folder.")
        check_threads(self.threads)
        torch.set_num_threads(self.threads)
        setting = Setting(
            self.corpus, self.bits, self.quantizer, models, self.train, self.gabor, restored
        )
        with progress_bar("%") as bar:
            task = bar.add_task("measuring", total=100, note="")
            rows = evaluate(
                setting,
                lambda what, share: bar.update(task, completed=round(100 * share), note=what),
            )
        plain = as_dicts(rows)
        self.out.mkdir(parents=True, exist_ok=True)
        sweep(self.out)
        write_atomically(
            self.out / "measures.json",
            json.dumps({"command": self._command(), "rows": plain}, indent=1, allow_nan=False)
            + "\n",
        )
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(
            ["bits", "method", "measure", "mean", "ci95_low", "ci95_high", "least", "files"]
        )
        table.writerows(
            [
                *(row[name] for name in ("bits", "method", "measure", "mean")),
                *row["ci95"],
                *(row[name] for name in ("least", "files")),
            ]
            for row in plain
        )
        write_atomically(self.out / "measures.csv", text.getvalue())
        console = Console()
        for bits in self.bits:
            console.print(_table(bits, [row for row in rows if row.bits == bits]))
            console.print(_levels(bits, [row for row in rows if row.bits == bits]))
        files = [self.out / "measures.json", self.out / "measures.csv", *self._draw(rows)]
        console.print("\n".join(map(str, files)), soft_wrap=True)

    def _draw(self, rows: list[Row]) -> list[Path]:
        """The levels, where there is something to draw with."""
        if importlib.util.find_spec("matplotlib") is None:
            return []
        from ergodual.experiments.level_plots import levels_figure
        from ergodual.experiments.plots import save_figure
        from ergodual.speech.measures import is_level

        panels: dict[str, dict[str, dict[str, float]]] = {}
        for row in rows:
            if is_level(row.measure):
                panel = panels.setdefault(f"{row.bits} bits", {})
                panel.setdefault(row.method, {})[row.measure] = row.mean
        return [save_figure(levels_figure(panels), self.out / "levels")]

    def _command(self) -> str:
        options = [
            f"--corpus {self.corpus.name}",
            f"--bits {' '.join(map(str, self.bits))}",
            f"--quantizer {self.quantizer}",
        ]
        options.append(f"--models {' '.join(self.models)}")
        if self.restored:
            options.append(f"--restored {' '.join(self.restored)}")
        return " ".join(["ergodual evaluate", *options])


def _pairs(option: str, given: tuple[str, ...], form: str) -> dict[str, str]:
    """NAME=VALUE as a dictionary."""
    found = {}
    for one in given:
        name, is_, value = one.partition("=")
        if not (name and is_ and value):
            raise ErgodualError(f"{option} has {one!r}; give {form}.")
        found[name] = value
    return found


def _table(bits: int, rows: list[Row]) -> Table:
    from rich.table import Table

    table = Table(
        title=f"{bits} bits, mean over {max(row.files for row in rows)} files; ± half the 95 % "
        "interval"
    )
    table.add_column("method")
    there = [measure for measure in HEADINGS if any(row.measure == measure for row in rows)]
    for measure in there:
        table.add_column(HEADINGS[measure], justify="right")
    by_name = {(row.method, row.measure): row for row in rows}
    for method in dict.fromkeys(row.method for row in rows):
        cells = [by_name.get((method, measure)) for measure in there]
        table.add_row(method, *("" if cell is None else _cell(cell) for cell in cells))
    return table


def _levels(bits: int, rows: list[Row]) -> Table:
    from rich.table import Table

    from ergodual.speech.measures import is_level, octave_of

    found = {(row.method, octave_of(row.measure)): row for row in rows if is_level(row.measure)}
    table = Table(title=f"{bits} bits, level over the original in dB, octaves in Hz; 0 is right")
    table.add_column("method")
    octaves = sorted({octave for _, octave in found})
    for low, high in octaves:
        table.add_column(f"{low:.0f}–{high:.0f}", justify="right")
    for method in dict.fromkeys(row.method for row in rows):
        cells = [found.get((method, octave)) for octave in octaves]
        table.add_row(method, *("" if cell is None else f"{cell.mean:+.1f}" for cell in cells))
    return table


def _cell(row: Row) -> str:
    digits = 0 if row.measure == "audio_seconds_per_second" else 3 if row.measure == "estoi" else 2
    half = row.mean - row.ci95[0]  # unknown of one file
    interval = f" ± {half:.2f}" if row.measure == "snr_db" and half == half else ""
    return f"{row.mean:.{digits}f}{interval}"
