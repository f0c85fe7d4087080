"""
Many processes
==============

Several processes share each mini-batch and sum their gradients. The number of processes changes the
speed and nothing else: here are one and two, started by torchrun on this machine.

:Application: speech, dequantization
:Regulariser: ℓ1 analysis, learned operator
:Algorithm: unrolled, averages, many processes
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

corpus = files("ergodual") / "data/synthetic"
folder = Path(tempfile.mkdtemp())


def learned(processes: int) -> list[float]:
    """The losses of a training on the synthetic speech that comes with the package."""
    out = folder / str(processes)
    command = f"train --corpus {corpus} --out {out} --depth 2 --epochs 2 --batch 256 --threads 1"
    starter = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    subprocess.run(
        [sys.executable, *(starter if processes > 1 else []), "-m", "ergodual", *command.split()],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return [json.loads(line)["train_loss"] for line in (out / "log.jsonl").read_text().splitlines()]


# %%
# The obvious way: one process
# ----------------------------
#
# .. code-block:: sh
#
#    ergodual train --corpus DIR --out run --batch 256

one = learned(1)
print(one)

# %%
# Two processes
# -------------
# ``--batch`` counts the frames of both together. Where one of them dies, torchrun starts all again
# and they go on from the last checkpoint; :doc:`/many-processes` has several machines, Slurm and
# Kubernetes.
#
# .. code-block:: sh
#
#    torchrun --nproc-per-node 2 -m ergodual train --corpus DIR --out run --batch 256

two = learned(2)
print(two)
largest = max(abs(a / b - 1) for a, b in zip(one, two, strict=True))
print(f"largest relative difference of the losses: {largest:.1e}")
