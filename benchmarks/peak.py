"""The most multiplications and additions that a core can do: a loop over registers alone."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

SOURCE = """
typedef float lanes __attribute__((vector_size(64)));
float fused(long rounds, float scale, float shift) {
    lanes sums[16], factor = scale + (lanes){0}, term = shift + (lanes){0};
    for (int i = 0; i < 16; i++) sums[i] = (float)i + (lanes){0};
    for (long k = 0; k < rounds; k++)
        for (int i = 0; i < 16; i++) sums[i] = sums[i] * factor + term;
    float found = 0;
    for (int i = 0; i < 16; i++) found += sums[i][0];
    return found;
}
"""
PER_ROUND = 2 * 16 * 16
ROUNDS = 4_000_000


@cache
def peak() -> float | None:
    """GFLOP/s of fused multiply-adds of float32 on one core, the best of five runs; None where
    there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "fused.c", Path(folder) / "fused.so"
        source.write_text(SOURCE)
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
        subprocess.run(
            [compiler, *flags, str(source), "-o", str(library)], check=True, capture_output=True
        )
        fused = ctypes.CDLL(str(library)).fused
        fused.argtypes, fused.restype = (
            [ctypes.c_long, ctypes.c_float, ctypes.c_float],
            (ctypes.c_float),
        )
        return max(_speed(fused) for _ in range(5))


def _speed(fused: ctypes._NamedFuncPointer) -> float:
    begun = time.perf_counter()
    fused(ROUNDS, 0.5, 1.0)
    return 1e-9 * ROUNDS * PER_ROUND / (time.perf_counter() - begun)
