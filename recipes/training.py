"""``ergodual train`` with the options that served best, for one word length after another."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

OPTIONS = (
    "--optimizer adam --schedule cosine --batch 64 --per-iteration --relative --frame 320 --rows "
    "640 --regulariser l21 --units half-steps --shift --windowed"
)
ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "src" / "ergodual" / "data" / "models" / "speech-16k"
"""The models that come with the package."""
JOBS = int(os.environ.get("JOBS", "2"))
"""Trainings side by side."""
Name = int | str
"""Of a model: its word length, or, for G.711, this one."""
G711 = "g711"


@dataclass(frozen=True)
class Recipe:
    """How the models of several word lengths, and that for G.711, come from one corpus.

    Attributes
    ----------
    corpus
        Folder of recordings below that of the corpora, which the configurations name like this too.
    options
        More of them.
    first, epochs
        The word length that starts from the DFT, and its epochs.
    chains
        The others, each of which starts from the one before it; the first of a chain from
        ``first``.
    further, rate
        Their epochs and learning rate: at 1e-3 their loss rises above where it was, the more the
        finer the quantizer.
    """

    corpus: str
    options: str
    first: int
    epochs: int
    chains: tuple[tuple[Name, ...], ...]
    further: int
    rate: float = 2e-4

    def train(self, corpora: Path, out: Path) -> dict[Name, str]:
        """Learn all of them into OUT/NAME, ``JOBS`` chains side by side, and give the commands;
        what is there is gone on with.
        """
        commands: dict[Name, str] = {self.first: self._command(self.first, self.epochs, None, out)}
        for chain in self.chains:
            for before, name in zip((self.first, *chain), chain, strict=False):
                commands[name] = self._command(name, self.further, before, out)
        run_training(commands[self.first], corpora, out)
        with ThreadPoolExecutor(JOBS) as pool:
            for done in [
                pool.submit(self._follow, chain, commands, corpora, out) for chain in self.chains
            ]:
                done.result()
        return {name: commands[name].replace(f"{out}/", "") for name in sorted(commands, key=str)}

    def _command(self, name: Name, epochs: int, init: Name | None, out: Path) -> str:
        quantizer = "--bits 8 --quantizer mu-law" if name == G711 else f"--bits {name}"
        start = "" if init is None else f" --init {out}/{init}/model.safetensors --lr {self.rate:g}"
        return (
            f"ergodual train --corpus {self.corpus} --out {out}/{name} {quantizer} "
            f"--epochs {epochs} {OPTIONS} {self.options}{start}"
        )

    def _follow(
        self, chain: tuple[Name, ...], commands: dict[Name, str], corpora: Path, out: Path
    ) -> None:
        for name in chain:
            run_training(commands[name], corpora, out)


def run_training(command: str, corpora: Path, out: Path) -> None:
    """Run a command, or go on with what it has begun; its paths are below CORPORA or OUT."""
    words = command.split()
    run = Path(words[words.index("--out") + 1])
    resume = ["--resume"] if run.exists() else []
    print(command.replace(f"{out}/", ""), flush=True)
    subprocess.run([sys.executable, "-m", *words, *resume], cwd=corpora, check=True)
