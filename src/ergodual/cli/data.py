"""``ergodual data``: download a public corpus."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class Data:
    """Download a public speech corpus, with known hashes.

    ieee: the IEEE (Harvard) sentences of the paper, 16 kHz, 504 to train on and 108 to measure on,
    52 MB; no licence is stated for them. librispeech: read English, train-clean-100 and dev-clean,
    6.7 GB, CC BY 4.0. What is there already is not fetched again.
    """

    corpus: tyro.conf.Positional[Literal["ieee", "librispeech"]]
    """Which corpus."""
    to: Path
    """The folder it goes to; made where it is missing."""

    def run(self) -> None:
        """Download, and say where the audio is."""
        from ergodual.speech.download import download

        for folder in download(self.corpus, self.to, progress=sys.stderr.isatty()):
            print(folder)
