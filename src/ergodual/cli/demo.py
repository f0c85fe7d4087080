"""``ergodual demo``: the main job on a small corpus, in a few minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Demo:
    """Learn, draw the paper's figures and dequantize a clip, in about three minutes on two cores.

    Without --corpus it learns from synthetic speech (made with espeak-ng) that comes with the
    package. The last file in the order of the names is held out: it is quantized, restored with
    what was learned from the others, and measured.
    """

    corpus: Path | None = None
    """Folder of at least two WAV or FLAC files (default: the synthetic speech of the package)."""
    out: Path = Path("demo")
    """Folder for pictures, audio and numbers; an earlier demo there is replaced."""
    bits: int = 4
    """Word length of the quantizer, 1 to 16."""

    def run(self) -> None:
        """Run it, and say what came out."""
        import torch
        from rich.console import Console
        from rich.table import Table

        from ergodual.cli.progress import progress_bar
        from ergodual.experiments.demo import run_demo
        from ergodual.speech.corpora import synthetic_speech

        # the products are too small for more to pay, and on a busy machine they would wait for
        # each other
        torch.set_num_threads(1)
        console = Console(soft_wrap=True, highlight=False)
        corpus = synthetic_speech() if self.corpus is None else self.corpus
        console.print(
            "Learning from synthetic speech (espeak-ng)."
            if self.corpus is None
            else f"Learning from {corpus}."
        )
        with progress_bar("%") as bar:
            task = bar.add_task("demo", total=100, note="")
            result = run_demo(
                corpus,
                self.out,
                self.bits,
                lambda what, share: bar.update(task, completed=int(100 * share), note=what),
            )
        for sentence in result.learned_from:
            console.print(f"  {sentence}")

        table = Table(title=f"{result.held_out.name}, which was not learned from")
        table.add_column("signal")
        table.add_column("SNR in dB", justify="right")
        table.add_column("gain in dB", justify="right")
        before = next(iter(result.snr.values()))
        for name, snr in result.snr.items():
            table.add_row(name, f"{snr:.2f}", "" if snr == before else f"{snr - before:+.2f}")
        console.print(table)
        for kind, files in result.files.items():
            console.print(f"{kind}: " + ", ".join(map(str, files)))
