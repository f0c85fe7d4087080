"""A corpus on disk gives the frames that it gives in memory, in an order of its own that depends on
seed and epoch alone.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

import ergodual as ed
from ergodual.bilevel.data import InMemory, Share
from ergodual.speech import store
from ergodual.speech.audio import BLOCK
from ergodual.speech.corpora import find_audio, load_corpus
from ergodual.speech.store import OnDisk, StoredCorpus, ahead, store_corpus

N = 10


def alone(frames: Tensor) -> tuple[Tensor, Tensor]:
    return frames, frames


@pytest.fixture
def folder(recordings: Callable[..., Path]) -> Path:
    """Five usable files of different lengths, one in stereo, one silent, one too short."""
    folder = recordings(count=4, samples=7013)
    soundfile.write(
        folder / "stereo.flac",
        0.3 * np.random.default_rng(0).standard_normal((4321, 2)).clip(-3, 3),
        16_000,
    )
    soundfile.write(folder / "silent.wav", np.zeros(1000), 16_000)
    soundfile.write(folder / "short.wav", np.ones(N - 1) / 2, 16_000)
    return folder


def stored(folder: Path, to: Path) -> StoredCorpus:
    return store_corpus(find_audio(folder), N, to)


def test_the_same_frames_as_in_memory(folder: Path, tmp_path: Path) -> None:
    disk, memory = stored(folder, tmp_path / "store"), load_corpus(folder, N)
    assert torch.equal(disk.read(0, len(disk)), memory.frames)
    assert (disk.rate, disk.files, disk.notes, len(disk)) == (
        memory.rate,
        memory.files,
        memory.notes,
        len(memory),
    )
    chunks = list(disk.data(alone).chunks(Share()))
    assert torch.equal(torch.cat([x_true for _, x_true in chunks]), memory.frames)
    assert torch.equal(disk.read(690, 720), memory.frames[690:720])  # across the end of a file


def test_a_recording_that_is_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    signal = np.sin(np.arange(BLOCK + 12_345) / 9) * np.linspace(0.2, 0.9, BLOCK + 12_345)
    soundfile.write(tmp_path / "corpus" / "long.flac", signal, 16_000)
    disk = stored(tmp_path / "corpus", tmp_path / "store")
    assert torch.equal(disk.read(0, len(disk)), load_corpus(tmp_path / "corpus", N).frames)


@pytest.mark.parametrize("kind", ["memory", "disk"])
@given(
    size=st.integers(1, 700),
    first=st.integers(0, 5),
    workers=st.integers(1, 3),
    block=st.sampled_from([1, 256 * N * 4, 512 * N * 4, 1 << 26]),
)
@example(size=469, first=5, workers=1, block=1 << 26)  # nothing left
@example(size=700, first=5, workers=2, block=256 * N * 4)  # less than nothing
@settings(max_examples=25, deadline=None)
def test_every_frame_once_an_epoch_whoever_asks(
    kind: str,
    size: int,
    first: int,
    workers: int,
    block: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    numbered = torch.arange(2345.0)[:, None].expand(-1, N).contiguous()
    if kind == "disk":
        file = tmp_path_factory.mktemp("store") / "samples.f32"
        numbered.numpy().tofile(file)
        corpus = StoredCorpus(file, N, 16_000, np.asarray([2345]), np.ones(1, np.float32), [])
        data, store.BLOCK_BYTES = OnDisk(corpus, alone), block
    else:
        data = InMemory(numbered, pair=alone)
    try:
        whole = [x[:, 0] for x, _ in data.batches(size, 3, 4, 0, Share())]
        assert [len(x) for x in whole] == [min(size, 2345 - i) for i in range(0, 2345, size)]
        assert torch.equal(torch.cat(whole).sort().values, numbered[:, 0])
        shares = [
            [x[:, 0] for x, _ in data.batches(size, 3, 4, first, Share(i, workers))]
            for i in range(workers)
        ]
        for batch, *parts in zip(whole[first:], *shares, strict=True):
            assert torch.equal(torch.cat(parts).sort().values, batch.sort().values)
        again = [x[:, 0] for x, _ in data.batches(size, 3, 5, 0, Share())]
        assert not torch.equal(torch.cat(again), torch.cat(whole))
    finally:
        store.BLOCK_BYTES = 1 << 26


def test_what_is_there_is_used_again_and_what_is_not_is_made_again(
    folder: Path, tmp_path: Path
) -> None:
    to = tmp_path / "store"
    first = stored(folder, to)
    made = (to / "samples.f32").stat().st_mtime_ns
    assert len(stored(folder, to)) == len(first)
    assert (to / "samples.f32").stat().st_mtime_ns == made
    for spoil in (
        lambda: (to / "index.json").write_text("{"),
        lambda: os.truncate(to / "samples.f32", 100),
        lambda: os.utime(folder / "0.wav", ns=(1, 1)),
        lambda: (folder / "1.wav").unlink(),
    ):
        spoil()
        (to / ".samples.f32.ergodual-0123abcd.tmp").touch()  # of one that was killed
        assert torch.equal(stored(folder, to).read(0, 10**6), load_corpus(folder, N).frames)
    assert sorted(file.name for file in to.iterdir()) == ["index.json", "samples.f32"]


def test_a_disk_that_is_too_small(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(
        ed.ErgodualError, match=r"has 1.0 kB left and the decoded samples take 133.5 kB; free some"
    ):
        stored(folder, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_bad_recordings_leave_nothing_half_written(folder: Path, tmp_path: Path) -> None:
    content = (folder / "3.wav").read_bytes()
    (folder / "3.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(ed.ErgodualError, match="3.wav is truncated"):
        stored(folder, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_file_cut_short_after_it_was_made(folder: Path, tmp_path: Path) -> None:
    disk = stored(folder, tmp_path / "store")
    os.truncate(disk.samples, 1000)
    with pytest.raises(ed.ErgodualError, match="has been cut short"):
        list(disk.data(alone).batches(32, 0, 1, 0, Share()))


def test_an_error_of_the_second_thread_arrives() -> None:
    def fail() -> int:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(ahead(iter([lambda: 1, fail])))
