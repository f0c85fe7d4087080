"""The public corpora, downloaded with known hashes."""

from __future__ import annotations

import tarfile
from importlib import resources
from pathlib import Path
from typing import Literal

import pooch

from ergodual.errors import ErgodualError

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
    return {name: f"sha256:{digest}" for digest, name in (line.split() for line in text.splitlines())}


def download(
    name: Name, to: Path, progress: bool = False, address: str | None = None, registry: dict[str, str] | None = None
) -> list[Path]:
    """Fetch a corpus; files that are there with the right hash are not fetched again.

    Parameters
    ----------
    name
        ``"ieee"``: the IEEE (Harvard) sentences of the paper, to ``to/train`` and ``to/dev``. ``"librispeech"``: the parts
        train-clean-100 and dev-clean, 6.7 GB, unpacked in ``to``.
    to
        The folder, made where it is missing.
    progress
        Whether to show a bar for each archive.
    address, registry
        Another place, and other files with their hashes.

    Returns
    -------
    The folders with the audio.

    Raises
    ------
    ErgodualError
        If the network or the folder does not allow it, or a file has another hash.
    """
    address = address or (IEEE if name == "ieee" else LIBRISPEECH)
    registry = registry or (ieee_registry() if name == "ieee" else LIBRISPEECH_ARCHIVES)
    try:
        to.mkdir(parents=True, exist_ok=True)
        keeper = pooch.create(path=to, base_url=address, registry=None, retry_if_failed=2)
        keeper.registry = {_local(file): digest for file, digest in registry.items()}
        keeper.urls = {_local(file): address + file for file in registry}
        for file in keeper.registry:
            keeper.fetch(file, downloader=pooch.HTTPDownloader(progressbar=progress and name == "librispeech", timeout=60))
            if file.endswith(".tar.gz"):
                _unpack(to / file, to)
    except ValueError as error:  # pooch: the hash differs
        raise ErgodualError(f"A file of {address} is not the one we know ({error}); try again later.") from error
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise ErgodualError(f"{error.filename or to} cannot be written ({error.strerror}); give another folder.") from error
    except OSError as error:  # all errors of requests are, too
        if error.errno is not None and error.filename is not None:
            raise
        raise ErgodualError(f"{address} cannot be reached; check the network and try again: what has arrived is kept.") from error
    return [to / "train", to / "dev"] if name == "ieee" else [to / "LibriSpeech"]


def _local(file: str) -> str:
    """train_data/x.wav goes to train/x.wav."""
    return file.replace("_data/", "/")


def _unpack(archive: Path, to: Path) -> None:
    done = archive.with_suffix(".unpacked")
    if done.exists():
        return
    try:
        with tarfile.open(archive) as content:
            content.extractall(to, filter="data")
    except tarfile.TarError as error:
        raise ErgodualError(f"{archive} is damaged; remove it and try again.") from error
    done.touch()
