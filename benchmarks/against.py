"""This checkout against an earlier commit: the same gradient and training step, by turns.

``python -m benchmarks against [--commit REV]``. Each version lives in a process of its own, on one
core, and runs only when told to; a pair of times is taken one right after the other, and who begins
changes from pair to pair.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, report

COMMIT = "b51cccd"
PAIRS = 61
NOTES = [
    f"One core. new/old: the median of {PAIRS} ratios of times taken one right after the other, "
    "and "
    "the 95 % interval of that median (from order statistics). Old is commit {commit}.",
]

SERVER = '''
import sys, time, statistics, torch
sys.path[:0] = [sys.argv[1] + "/src", sys.argv[1]]
import ergodual as ed
from benchmarks import sweeps
from benchmarks.measure import one_core
assert ed.__file__.startswith(sys.argv[1]), ed.__file__
one_core()
def step(batch, depth):
    """A training step as fit does it, but for reading the data: loss, gradient, update."""
    from ergodual.bilevel import HalfSquared
    torch.manual_seed(0)
    K = ed.Dense.dct(sweeps.N)
    model = ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=sweeps.RADIUS), K), depth)
    stepper = torch.optim.SGD(model.parameters(), lr=0.05, foreach=False)
    x_tilde, x_true = (torch.randn(batch, sweeps.N) / 4 for _ in range(2))
    loss = HalfSquared()
    def run():
        stepper.zero_grad()
        value = loss(model(x_tilde), x_true).sum() / batch
        value.backward()
        torch.nn.utils.get_total_norm([K.matrix.grad])
        stepper.step()
    return run
runs = {}
for line in sys.stdin:
    name, batch, depth, least = line.split()
    key = name, int(batch), int(depth)
    if key not in runs:
        output = ed.Last() if name == "plain" else None
        if name == "step":
            made = step(*key[1:])
        else:
            made = sweeps.ours(*key[1:], ed.Reverse(), output)
        made()
        begun = time.perf_counter(); made(); once = time.perf_counter() - begun
        runs[key] = made, max(1, round(float(least) / once))
    run, repeats = runs[key]
    begun = time.perf_counter()
    for _ in range(repeats):
        run()
    print((time.perf_counter() - begun) / repeats, flush=True)
'''


class Server:
    """A version of the library that times its own runs when asked."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )

    def seconds(self, name: str, batch: int, depth: int, least: float = 0.05) -> float:
        """Of one run, the mean over as many as fill ``least`` seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name} {batch} {depth} {least}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main(out: Path, commit: str = COMMIT) -> None:
    """Gradients at batch 32, 256, 1024 × depth 1, 8, 64; steps at depth 8."""
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(old), commit],
            cwd=ROOT,
            check=True,
        )
        try:
            servers = {"old": Server(old), "new": Server(ROOT)}
            rows = [measured(servers, *row) for row in _rows()]
        finally:
            for server in servers.values():
                server.process.kill()
            subprocess.run(["git", "worktree", "remove", "--force", str(old)], cwd=ROOT, check=True)
    report(
        "against",
        "This checkout over an earlier commit",
        rows,
        out,
        [NOTES[0].format(commit=commit)],
    )


def _rows() -> list[tuple[str, int, int]]:
    sizes = [(batch, depth) for batch in (32, 256, 1024) for depth in (1, 8, 64)]
    gradients = [(name, *size) for name in ("gradient", "plain") for size in sizes]
    return gradients + [("step", batch, 8) for batch in (32, 256)]


def measured(servers: dict[str, Server], name: str, batch: int, depth: int) -> dict[str, Any]:
    """The median ratio and its interval."""
    ratios = []
    for pair in range(PAIRS + 2):
        order = ["old", "new"] if pair % 2 else ["new", "old"]
        seconds = {version: servers[version].seconds(name, batch, depth) for version in order}
        if pair >= 2:  # the first ones make the model and warm the caches
            ratios.append(seconds["new"] / seconds["old"])
    ratios.sort()
    # the number of ratios below the true median is binomial with p = ½
    reach = round(0.98 * PAIRS**0.5)
    low, high = ratios[PAIRS // 2 - reach], ratios[PAIRS // 2 + reach]
    print(f"{name}, batch {batch}, depth {depth}: done", file=sys.stderr)
    return {
        "what": name,
        "batch": batch,
        "depth": depth,
        "new/old": statistics.median(ratios),
        "from": low,
        "to": high,
        "slower": bool(low > 1 and statistics.median(ratios) > 1.02),
    }
