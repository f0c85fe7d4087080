"""A corpus that does not fit into memory: decoded once into a file, and read from there in shuffled
blocks.

The samples of each recording go to ``samples.f32`` as they are and its scale, by which the frames
are divided when they are read, to ``index.json``. An epoch goes through the file in pieces of
consecutive frames whose order is shuffled; so many pieces as fill a block are held at once, and the
frames of a block are shuffled among themselves. The disk sees long reads only, and a second thread
reads the next block meanwhile.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.filesize import decimal
from torch import Tensor

from ergodual.bilevel.checkpoint import digest
from ergodual.bilevel.data import CHUNK, Pair, Share, shuffled
from ergodual.errors import ErgodualError
from ergodual.files import replacing, sweep, write_atomically
from ergodual.speech.corpora import BYTES, Gathering, bytes_of
from ergodual.speech.frames import require_length, scale

T = TypeVar("T")

FORMAT = 1
PIECE = 256
"""Consecutive frames that stay together in a block."""
BLOCK_BYTES = 1 << 26
"""Size of a block; two are in memory at a time."""


@dataclass(frozen=True)
class StoredCorpus:
    """The frames of a corpus on a disk.

    Attributes
    ----------
    samples
        The file of samples.
    n
        Samples a frame.
    rate
        Sampling rate in Hz.
    ends
        For each recording, the number of frames up to its end.
    scales
        For each recording, what its samples are divided by.
    notes
        Sentences about files that were skipped or mixed down.
    """

    samples: Path
    n: int
    rate: int
    ends: NDArray[np.int64]
    scales: NDArray[np.float32]
    notes: list[str]

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def files(self) -> int:
        """How many recordings the frames come from."""
        return len(self.ends)

    @property
    def digest(self) -> int:
        """A checksum of the recordings, by their lengths and their peaks."""
        return digest([torch.from_numpy(self.ends), torch.from_numpy(self.scales)])

    def read(self, start: int, stop: int) -> Tensor:
        """Frames start … stop − 1, or up to the last."""
        stop = min(stop, len(self))
        found = np.fromfile(
            self.samples, np.float32, (stop - start) * self.n, offset=start * self.n * BYTES
        )
        if len(found) < (stop - start) * self.n:
            raise ErgodualError(
                f"{self.samples} has been cut short since it was made; remove it and start again."
            )
        frames = found.reshape(-1, self.n)
        frames /= self.scales[
            np.searchsorted(self.ends, np.arange(start, stop), side="right"), None
        ]
        return torch.from_numpy(frames)

    def data(self, pair: Callable[[Tensor], Pair]) -> OnDisk:
        """For learning; ``pair`` makes (x̃, x†) from x†."""
        return OnDisk(self, pair)


class OnDisk:
    """A stored corpus as :class:`~ergodual.bilevel.Data`."""

    def __init__(self, corpus: StoredCorpus, pair: Callable[[Tensor], Pair]) -> None:
        self._corpus, self._pair = corpus, pair

    def __len__(self) -> int:
        return len(self._corpus)

    def batches(self, size: int, seed: int, epoch: int, first: int, share: Share) -> Iterator[Pair]:
        """This share of each mini-batch of ``size`` frames, from mini-batch ``first`` on."""
        piece = size * -(-PIECE // size)  # whole mini-batches, so that none lies in two blocks
        in_block = max(1, BLOCK_BYTES // (piece * self._corpus.n * BYTES))
        starts = (shuffled(len(self) // piece, seed, epoch) * piece).tolist()
        if (
            len(self) % piece
        ):  # the short piece comes last, so that every mini-batch before it is whole
            starts.append(len(self) // piece * piece)
        blocks = [starts[i : i + in_block] for i in range(0, len(starts), in_block)]
        done = first * size // (piece * in_block)
        skip = first * size - done * piece * in_block
        reads = (
            self._block(starts, piece, (seed, epoch, number))
            for number, starts in enumerate(blocks)
            if number >= done
        )
        for block in ahead(reads):
            for start in range(skip, len(block), size):
                yield self._pair(share.of(block[start : start + size]))
            skip = 0

    def chunks(self, share: Share) -> Iterator[Pair]:
        """This share of all frames, once, from the first to the last."""
        for start in share.of(range(0, len(self), CHUNK)):
            yield self._pair(self._corpus.read(start, start + CHUNK))

    def _block(
        self, starts: Sequence[int], piece: int, key: tuple[int, ...]
    ) -> Callable[[], Tensor]:
        """Reads some pieces and shuffles their frames, which go where they belong one piece at a
        time.
        """

        def read() -> Tensor:
            counts = [min(piece, len(self) - start) for start in starts]
            block = torch.empty(sum(counts), self._corpus.n)
            for start, places in zip(
                starts, torch.split(shuffled(len(block), *key), counts), strict=True
            ):
                block[places] = self._corpus.read(start, start + len(places))
            return block

        return read


def ahead(reads: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of calls; a second thread makes the next one while the last is in use."""
    with ThreadPoolExecutor(1) as reader:
        waiting: list[Future[T]] = []
        for read in reads:
            waiting.append(reader.submit(read))
            if len(waiting) == 2:
                yield waiting.pop(0).result()
        for last in waiting:
            yield last.result()


def store_corpus(
    files: Sequence[Path],
    frame_length: int,
    folder: Path,
    on_file: Callable[[], None] | None = None,
) -> StoredCorpus:
    """Decode recordings into a folder, as :func:`~ergodual.speech.corpora.load_corpus` does into
    memory.

    What is there already is used again if it was made from the same files (names, sizes and times)
    and frame length.

    Parameters
    ----------
    files
        The recordings.
    frame_length
        Samples a frame.
    folder
        Gets ``samples.f32`` and ``index.json``; it takes four bytes a sample.
    on_file
        Called after each file.

    Raises
    ------
    ErgodualError
        If a file is not whole, finite audio, if the sampling rates differ, if no frame is left, or
        if the disk is too small.
    """
    require_length(frame_length)
    identity = {"format": FORMAT, "n": frame_length, "files": [_identity(file) for file in files]}
    samples, index = folder / "samples.f32", folder / "index.json"
    if (found := _load(samples, index, identity)) is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    index.unlink(missing_ok=True)
    needed, free = bytes_of(files), shutil.disk_usage(folder).free
    if needed > free:
        raise ErgodualError(
            f"{folder} has {decimal(free)} left and the decoded samples take {decimal(needed)}; "
            "free some, or give another folder for them."
        )
    gathering = Gathering(files, frame_length)
    ends, scales = [0], []
    sweep(folder)
    try:
        with replacing(samples) as out:
            for file, audio in gathering:
                peak, length = np.float32(0), 0
                for block in audio.mono_blocks():
                    peak, length = max(peak, np.abs(block).max()), length + len(block)
                    out.write(block.tobytes())
                if gathering.takes(file, length, bool(peak)):
                    ends.append(ends[-1] + length // frame_length)
                    scales.append(float(scale(peak)))
                out.seek(ends[-1] * frame_length * BYTES)
                if on_file is not None:
                    on_file()
            out.truncate()
            gathering.require(len(scales))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(samples)) from error
    content = {
        "identity": identity,
        "rate": gathering.rate,
        "ends": ends[1:],
        "scales": scales,
        "notes": gathering.notes,
    }
    write_atomically(index, json.dumps(content))
    return _corpus(samples, content)


def _identity(file: Path) -> list[str | int]:
    status = file.stat()
    return [str(file.resolve()), status.st_size, status.st_mtime_ns]


def _load(samples: Path, index: Path, identity: dict[str, Any]) -> StoredCorpus | None:
    """What an earlier run made of the same files, if it is whole."""
    try:
        content = json.loads(index.read_text())
        corpus = _corpus(samples, content)
        whole = (
            content["identity"] == identity
            and samples.stat().st_size == len(corpus) * corpus.n * BYTES
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return corpus if whole else None


def _corpus(samples: Path, content: dict[str, Any]) -> StoredCorpus:
    ends, scales = np.asarray(content["ends"], np.int64), np.asarray(content["scales"], np.float32)
    return StoredCorpus(
        samples, content["identity"]["n"], content["rate"], ends, scales, content["notes"]
    )
