"""A disk that is soon full."""

import resource
import signal
from collections.abc import Iterator

import pytest

LIMIT = 20_000


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """While it lasts, no file can grow beyond 20,000 bytes: the nearest thing to a full disk that needs no rights."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)
