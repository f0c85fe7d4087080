"""A problem of each iteration on images and signals: Reverse against the tape, time and memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import ergodual as ed
from benchmarks.measure import ROOT, one_core, paired, ratio, report
from benchmarks.memory import status

DEPTH = 8
NOTES = [
    "One core, float32, depth 8, balanced steps, 1/k weights; a gradient in all kernels and "
    "weights. 2-D: batch 16, 1 × 64 × 64, 48 filters 7 × 7, padding same, L1 and a quadratic data "
    "term. 1-D: batch 4, 5360 samples, 640 filters of 320, stride 80, L21 of pairs and a box. "
    "products: the 6d products (forward, adjoint, kernel gradient) alone, by the same functions. "
    "Memory: the highest resident memory during a gradient above that before it, in a process of "
    "its own; bars: ≤ 0.75 of the tape's time shared, ≤ 0.85 per iteration, ≤ 0.6 of its memory.",
]
Run = Callable[[], Any]


def problem(setting: str, seed: int) -> tuple[ed.Problem, torch.Tensor]:
    """One iteration's problem, and what is observed."""
    generator = torch.Generator().manual_seed(seed)
    if setting == "2-D, L1":
        kernel = torch.randn(48, 1, 7, 7, generator=generator) / 49
        x = torch.randn(16, 1, 64, 64, generator=torch.Generator().manual_seed(0))
        weight = torch.nn.Parameter(torch.full((48, 1, 1), 0.1))
        return ed.Problem(ed.L1(weight), ed.SquaredL2(), ed.Conv(kernel)), x
    kernel = ed.Dense.dft(320, 640).matrix.detach()[:, None] / 2
    kernel = kernel + 0.01 * torch.randn(kernel.shape, generator=generator)
    x = torch.randn(4, 1, 5360, generator=torch.Generator().manual_seed(0))
    weight = torch.nn.Parameter(torch.full((320, 1), 0.1))
    K = ed.Conv(kernel, stride=80, padding="none")
    return ed.Problem(ed.L21(weight, size=2), ed.Box(radius=0.2), K), x


def gradient(setting: str, shared: bool, adjoint: Any, depth: int = DEPTH) -> Run:
    """One gradient of everything that is learned."""
    problems = [problem(setting, 0 if shared else seed) for seed in range(1 if shared else depth)]
    x = problems[0][1]
    posed = problems[0][0] if shared else [one for one, _ in problems]
    steps = ed.StepSizes.fixed(0.5, 0.5)
    model = ed.Unrolled(posed, depth if shared else None, steps, adjoint=adjoint)
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) / len(x)

    def run() -> list[torch.Tensor]:
        model.zero_grad()
        model(x).backward(g)
        return [p.grad for p in model.parameters() if p.grad is not None]

    return run


def products(setting: str) -> Run:
    """The products of one gradient alone: 2d forward, 2d back, and 2d kernel gradients."""
    one, x = problem(setting, 0)
    K = one.K
    with torch.no_grad():
        y = K(x)

    def run() -> None:
        with torch.no_grad():
            for _ in range(2 * DEPTH):
                K(x)
                K.adjoint(y, x.shape[1:])
                K.gradients(y, x)

    return run


def main(out: Path) -> None:
    """Two settings, shared and per iteration."""
    one_core()
    rows = []
    for setting in ("2-D, L1", "1-D, L21"):
        for shared in (True, False):
            runs = {
                "reverse": gradient(setting, shared, ed.Reverse()),
                "tape": gradient(setting, shared, ed.Tape()),
                "products": products(setting),
            }
            for ours, theirs in zip(runs["reverse"](), runs["tape"](), strict=True):
                missed = float((ours - theirs).norm() / theirs.norm())
                if missed > 2e-2:
                    raise AssertionError(f"Reverse computes another gradient: {missed:.2g}")
            seconds = paired(runs, rounds=11, least=0.0)
            peak = {way: in_a_process(setting, shared, way) for way in ("reverse", "tape")}
            rows.append(
                {
                    "setting": setting,
                    "operators": "one" if shared else "one an iteration",
                    "reverse/tape": ratio(seconds, "reverse", "tape"),
                    "reverse/products": ratio(seconds, "reverse", "products"),
                    "tape/products": ratio(seconds, "tape", "products"),
                    "reverse ms": 1e3 * min(seconds["reverse"]),
                    "memory: reverse/tape": peak["reverse"] / peak["tape"],
                    "reverse MB": peak["reverse"] / 1e6,
                    "tape MB": peak["tape"] / 1e6,
                }
            )
            print(f"{setting}, {rows[-1]['operators']}: done", file=sys.stderr)
    report("networks", "One gradient through a primal-dual network", rows, out, NOTES)


def in_a_process(setting: str, shared: bool, way: str) -> int:
    """Bytes."""
    code = f"from benchmarks.networks import peak; print(peak({setting!r}, {shared}, {way!r}))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(run.stdout)


def peak(setting: str, shared: bool, way: str) -> int:
    """Bytes that one gradient needs at most in this process, which must be a fresh one."""
    one_core()
    adjoint = {"reverse": ed.Reverse, "tape": ed.Tape}[way]()
    gradient(setting, True, adjoint, 1)()
    run = gradient(setting, shared, adjoint)
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident memory anew from here
    before = status("VmRSS")
    run()
    return status("VmHWM") - before
