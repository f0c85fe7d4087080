"""``ergodual train`` with the options that served best, for one word length after another."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

OPTIONS = (
    "--optimizer adam --schedule cosine --batch 64 --per-iteration --relative --frame 320 --rows 640 --regulariser l21 "
    "--units half-steps --shift --windowed"
)
FURTHER = "--lr 2e-4"
"""For those that start from another: at 1e-3 their loss rises above where it was, the more the finer the quantizer."""
ROOT = Path(__file__).parent.parent
JOBS = int(os.environ.get("JOBS", "2"))
"""Trainings side by side."""


@dataclass(frozen=True)
class Recipe:
    """How the models of several word lengths come from one corpus.

    Attributes
    ----------
    corpus
        Folder of recordings below that of the corpora, which the configurations name like this too.
    options
        More of them.
    first, epochs
        The word length that starts from the DFT, and its epochs.
    chains
        The others, each of which starts from the one before it; the first of a chain from ``first``.
    further
        Their epochs.
    """

    corpus: str
    options: str
    first: int
    epochs: int
    chains: tuple[tuple[int, ...], ...]
    further: int

    def train(self, corpora: Path, out: Path) -> dict[int, str]:
        """Learn all of them into OUT/BITS, ``JOBS`` chains side by side, and give the commands; what is there is gone on with."""
        commands = {self.first: self._command(self.first, self.epochs, None, out)}
        for chain in self.chains:
            for before, bits in zip((self.first, *chain), chain, strict=False):
                commands[bits] = self._command(bits, self.further, before, out)
        self._run(commands[self.first], corpora, out)
        with ThreadPoolExecutor(JOBS) as pool:
            for done in [pool.submit(self._follow, chain, commands, corpora, out) for chain in self.chains]:
                done.result()
        return {bits: command.replace(f"{out}/", "") for bits, command in sorted(commands.items())}

    def _command(self, bits: int, epochs: int, init: int | None, out: Path) -> str:
        start = "" if init is None else f" --init {out}/{init}/model.safetensors {FURTHER}"
        return f"ergodual train --corpus {self.corpus} --out {out}/{bits} --bits {bits} --epochs {epochs} {OPTIONS} {self.options}{start}"

    def _follow(self, chain: tuple[int, ...], commands: dict[int, str], corpora: Path, out: Path) -> None:
        for bits in chain:
            self._run(commands[bits], corpora, out)

    def _run(self, command: str, corpora: Path, out: Path) -> None:
        words = command.split()
        run = Path(words[words.index("--out") + 1])
        if (run / "model.safetensors").exists():
            return
        resume = ["--resume"] if run.exists() else []
        print(command.replace(f"{out}/", ""), flush=True)
        subprocess.run([sys.executable, "-m", *words, *resume], cwd=corpora, check=True)
