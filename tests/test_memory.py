"""Memory that is kept for what is asked for next."""

import ctypes
import subprocess
import sys

import pytest

import ergodual as ed

SAME_PIECES = """
import resource
import torch
import ergodual as ed
if {kept}:
    assert ed.reuse_memory()
for _ in range(20):
    piece = torch.ones(10_000_000)  # larger than all that glibc keeps by itself
    del piece
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(kept: bool) -> int:
    """How often the system had to give a page."""
    code = SAME_PIECES.format(kept=kept)
    return int(subprocess.check_output([sys.executable, "-c", code]))


@pytest.mark.skipif(
    not (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")), reason="needs glibc"
)
def test_what_is_freed_is_used_again() -> None:
    pages = 10_000_000 * 4 // 4096
    assert faults(kept=False) - faults(kept=True) > 10 * pages


@pytest.mark.parametrize("failure", [AttributeError, OSError, TypeError])
def test_other_c_libraries_are_left_alone(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: object) -> None:
        raise failure

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert not ed.reuse_memory()
