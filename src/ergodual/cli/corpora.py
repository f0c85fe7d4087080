"""Opening corpora for a command: in memory where they fit, else from a file, with a bar while it is
made.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ergodual.cli.progress import progress_bar
from ergodual.errors import ErgodualError

if TYPE_CHECKING:
    from rich.console import Console

    from ergodual.bilevel.workers import Workers
    from ergodual.speech.corpora import Corpus
    from ergodual.speech.store import StoredCorpus


def open_corpora(
    folders: dict[str, Path],
    n: int,
    memory: float,
    store: Path,
    workers: Workers,
    claim: Callable[[], None],
) -> dict[str, Corpus | StoredCorpus]:
    """The frames of some folders of recordings.

    Parameters
    ----------
    folders
        By name.
    n
        Samples a frame.
    memory
        A corpus of more gigabytes than that is decoded into the folder of its name below ``store``,
        by the first process on each machine, while the others wait.
    store
        Where that is.
    workers
        The processes of the run.
    claim
        Called by the leading one once all that is in memory has been found good, before anything is
        written.
    """
    from ergodual.speech.corpora import bytes_of, find_audio, load_corpus
    from ergodual.speech.store import store_corpus

    files = {name: find_audio(folder) for name, folder in folders.items()}
    found: dict[str, Corpus | StoredCorpus] = {
        name: load_corpus(some, n) for name, some in files.items() if bytes_of(some) <= memory * 1e9
    }
    _require_one_rate(folders, found)
    if workers.leads:
        claim()
    workers.wait()
    for name in [name for name in files if name not in found]:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            with progress_bar("files", show=workers.leads) as bar:
                task = bar.add_task(f"decoding {folders[name]}", total=len(files[name]), note="")
                store_corpus(files[name], n, store / name, partial(bar.advance, task))
        workers.wait()
        found[name] = store_corpus(files[name], n, store / name)  # is there by now
    _require_one_rate(folders, found)
    return {name: found[name] for name in folders}


def describe(console: Console, folder: Path, corpus: Corpus | StoredCorpus, n: int) -> None:
    """Print what was found, and what was skipped."""
    minutes = len(corpus) * n / corpus.rate / 60
    found = (
        f"{folder}: {corpus.files} files at {corpus.rate} Hz, {len(corpus)} frames of {n} samples "
        f"({minutes:.1f} min)"
    )
    for sentence in (*corpus.notes, found):
        console.print(sentence, soft_wrap=True, highlight=False, markup=False)


def _require_one_rate(folders: dict[str, Path], found: dict[str, Corpus | StoredCorpus]) -> None:
    for one, other in itertools.pairwise(name for name in folders if name in found):
        if found[one].rate != found[other].rate:
            raise ErgodualError(
                f"{folders[other]} is sampled at {found[other].rate} Hz and {folders[one]} at "
                f"{found[one].rate} Hz; they must agree: resample one of them."
            )
