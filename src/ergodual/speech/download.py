"""The public corpora, downloaded with known hashes."""

from __future__ import annotations

import tarfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ergodual.errors import ErgodualError
from ergodual.fetching import fetch, unwritable

if TYPE_CHECKING:
    from rich.progress import Progress

Name = Literal["ieee", "librispeech"]

IEEE = "https://raw.githubusercontent.com/chrbraue/primal_dual_networks/032c7bb93e9c0821b2ca05e5124e09d33d405988/icassp2019/IEEE_corpus/"
LIBRISPEECH = "https://www.openslr.org/resources/12/"
LIBRISPEECH_ARCHIVES = {
    # the sums that OpenSLR publishes beside the archives
    "train-clean-100.tar.gz": "md5:2a93770f6d5c6c964bc36631d331a522",
    "dev-clean.tar.gz": "md5:42e2234ba48799c1f50f24a7926300a1",
}


def ieee_registry() -> dict[str, str]:
    """File and SHA-256 of the training and development sentences.

    The 108 test sentences are left out: we know no verified hash of theirs.
    """
    text = (resources.files("ergodual") / "speech" / "ieee.sha256").read_text()
    return {
        name: f"sha256:{digest}" for digest, name in (line.split() for line in text.splitlines())
    }


def download(
    name: Name,
    to: Path,
    progress: bool = False,
    address: str | None = None,
    registry: dict[str, str] | None = None,
) -> list[Path]:
    """Fetch a corpus; files that are there with the right hash are not fetched again.

    Parameters
    ----------
    name
        ``"ieee"``: the IEEE (Harvard) sentences of the paper, to ``to/train`` and ``to/dev``.
        ``"librispeech"``: the parts train-clean-100 and dev-clean, 6.7 GB, unpacked in ``to``.
    to
        The folder, made where it is missing.
    progress
        Whether to show bars on standard error: the files, and the bytes of each archive.
    address, registry
        Another place, and other files with their hashes.

    Returns
    -------
    The folders with the audio. LibriSpeech's archives are kept beside theirs, so that a second call
    knows them.

    Raises
    ------
    ErgodualError
        If the network or the folder does not allow it, or a file has another hash.
    """
    address = address or (IEEE if name == "ieee" else LIBRISPEECH)
    registry = registry or (ieee_registry() if name == "ieee" else LIBRISPEECH_ARCHIVES)
    try:
        to.mkdir(parents=True, exist_ok=True)
        with _bars(progress) as bars:
            counted = bars.add_task("files", total=len(registry))
            for file, digest in registry.items():
                archive = file.endswith(".tar.gz")
                bar = _Bar(bars, file) if archive else None
                fetch(address + file, digest, to, _local(file), bar)
                if archive:
                    _unpack(to / file, to)
                bars.advance(counted)
    except OSError as error:
        raise unwritable(error, to) from error
    return [to / "train", to / "dev"] if name == "ieee" else [to / "LibriSpeech"]


def _local(file: str) -> str:
    """train_data/x.wav goes to train/x.wav."""
    return file.replace("_data/", "/")


def _bars(progress: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), disable=not progress, transient=True)


class _Bar:
    """What pooch asks of a progress bar (its own would need tqdm), drawn by rich."""

    def __init__(self, bars: Progress, name: str) -> None:
        self._bars, self._task, self._total = bars, bars.add_task(name, total=None), 0

    @property
    def total(self) -> int:
        """Bytes of the file; pooch sets it at each attempt, which therefore starts from nothing."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        self.reset()

    def update(self, amount: int) -> None:
        """That many bytes more."""
        self._bars.advance(self._task, amount)

    def reset(self) -> None:
        """Back to nothing."""
        self._bars.reset(self._task, total=self._total or None)

    def close(self) -> None:
        """The end; rich clears the bars itself."""


def _unpack(archive: Path, to: Path) -> None:
    done = archive.with_suffix(".unpacked")
    if done.exists():
        return
    try:
        with tarfile.open(archive) as content:
            content.extractall(to, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise ErgodualError(
            f"{archive} is not an archive that can be unpacked safely; remove it and try again."
        ) from error
    done.touch()
