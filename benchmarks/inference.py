"""How much audio a second of computing restores, and how long one frame takes."""

from __future__ import annotations

from pathlib import Path

import torch

import ergodual as ed
from benchmarks.measure import one_core, paired, ratio, report
from benchmarks.sweeps import RADIUS, N, pair, product

RATE = 16_000
BATCHES = 1024, 256, 1
NOTES = [
    f"One core, disjoint frames of {N} samples at {RATE} Hz. floor: the 2d products alone, by the "
    "fastest exact kernel. With batch 1 the time of a call is the latency that the computing adds "
    "to that of the frame (20 ms).",
]


def main(out: Path) -> None:
    """Depth 1 and 8, in batches and frame by frame."""
    one_core()
    rows = []
    for depth in (1, 8):
        for batch in BATCHES:
            x_tilde, _ = pair(batch)
            K = ed.Dense.dct(N)
            model = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=RADIUS), K), depth)
            A, y, r = (
                K.matrix.detach().clone(),
                torch.empty(batch, N),
                torch.empty(batch, N),
            )

            def ours(model: ed.Unrolled = model, x_tilde: torch.Tensor = x_tilde) -> None:
                with torch.no_grad():
                    model(x_tilde)

            def floor(
                depth: int = depth, A: torch.Tensor = A, y: torch.Tensor = y, r: torch.Tensor = r
            ) -> None:
                for _ in range(depth):
                    product(r, A.T, y)
                    product(y, A, r)

            seconds = paired({"ours": ours, "floor": floor}, rounds=21)
            best = sorted(seconds["ours"])[len(seconds["ours"]) // 2]
            rows.append(
                {
                    "depth": depth,
                    "batch": batch,
                    "ours/floor": ratio(seconds, "ours", "floor"),
                    "audio seconds per second": batch * N / RATE / best,
                    "ms per call": 1e3 * best,
                }
            )
    report("inference", "Inference", rows, out, NOTES)
