"""What products in TF32 or bfloat16 do to the gradient (``torch.set_float32_matmul_precision``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import ergodual as ed
from benchmarks import sweeps
from benchmarks.measure import paired, ratio, report

BATCH, DEPTH = 256, 8
NOTES = [
    f"Batch {BATCH}, depth {DEPTH}, Reverse; the relative error of the gradient in K against "
    "float64. highest: float32; high: TF32 on a GPU (on a CPU as torch decides); medium: bfloat16 "
    "where the processor has it. `ergodual train --precision` sets the same switch.",
]


def main(out: Path) -> None:
    """highest, high and medium, on a GPU too where there is one."""
    rows = []
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        exact = gradient(device, torch.float64)()
        run = gradient(device, torch.float32)

        def at(precision: str, run: Callable[[], torch.Tensor] = run) -> torch.Tensor:
            torch.set_float32_matmul_precision(precision)
            return run()

        seconds = paired({name: partial(at, name) for name in ("highest", "high", "medium")})
        for name in seconds:
            error = float((at(name).double() - exact).norm() / exact.norm())
            rows.append(
                {
                    "device": device,
                    "precision": name,
                    "error of the gradient": error,
                    "time/highest": ratio(seconds, name, "highest"),
                }
            )
    torch.set_float32_matmul_precision("highest")
    report("precision", "Precision of the products", rows, out, NOTES)


def gradient(device: str, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    """A gradient, waited for."""
    x_tilde, g = (t.to(device, dtype) for t in sweeps.pair(BATCH))
    K = ed.Dense.dct(sweeps.N, dtype).to(device)
    model = ed.Unrolled(
        ed.Problem(ed.L1(), ed.Box(radius=sweeps.RADIUS), K),
        DEPTH,
        ed.StepSizes.fixed(sweeps.STEP, sweeps.STEP),
    )

    def run() -> torch.Tensor:
        K.matrix.grad = None
        model(x_tilde).backward(g)
        if device == "cuda":
            torch.cuda.synchronize()
        assert K.matrix.grad is not None
        return K.matrix.grad

    return run
