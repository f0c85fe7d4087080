"""What several test files need: a folder of small recordings, and a disk that is soon full."""

import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import settings

torch.set_num_threads(1)  # the tests' products are tiny
settings.register_profile("ergodual", deadline=None)  # the first example of a test loads code
settings.load_profile("ergodual")


@pytest.fixture
def recordings(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder with that many recordings of sums of sines and noise."""

    def make(name: str = "corpus", count: int = 3, samples: int = 700, rate: int = 16_000) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        generator = np.random.default_rng(count + samples)
        for i in range(count):
            time = np.arange(samples) / rate
            signal = np.sin(2 * np.pi * 300 * (i + 1) * time) + 0.1 * generator.standard_normal(
                samples
            )
            soundfile.write(
                folder / f"{i}.wav", 0.5 * signal / np.abs(signal).max(), rate, subtype="PCM_16"
            )
        return folder

    return make


@pytest.fixture(scope="session")
def leave_behind() -> Callable[[Path], Path]:
    """Make a folder hold what a killed run leaves; the next one removes it."""

    def leave(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        left = folder / ".out.json.ergodual-0123abcd.tmp"
        left.write_bytes(b"half")
        return left

    return leave


LIMIT = 20_000


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """While it lasts, no file can grow beyond 20,000 bytes: the nearest thing to a full disk that
    needs no rights.
    """
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)
