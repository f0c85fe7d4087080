"""Install the newest wheel of a folder into fresh environments, without extras and with each, and
try it outside of the checkout: what an environment has the extras for works, and all else is said
in one sentence that names the pip command.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ENVIRONMENTS = ("", "speech", "images", "cli", "report", "speech,cli", "all", "app")
ALL = {"speech", "images", "cli", "report"}


class Try(NamedTuple):
    """What is run, and the extras that it needs."""

    needs: set[str]
    what: str


CORE = """
import torch, ergodual as ed
from ergodual.bilevel import fit
x_true = (torch.arange(16) > torch.randint(4, 12, (64, 1))).float()
x_tilde = x_true + 0.1 * torch.randn(64, 16)
F = ed.L1(torch.nn.Parameter(torch.tensor(0.1)))
problem = ed.Problem(F=F, G=ed.SquaredL2(), K=ed.Gradient())
assert ed.solve(problem, x_tilde, tol=1e-3).converged.all()
fit(ed.Unrolled(problem, depth=8, output=ed.Last()), x_tilde, x_true, epochs=2)
assert ed.detect(torch.rand(800)).said
"""
SPEECH = """
import torch, ergodual as ed
tool = ed.Dequantizer.load("speech-16k")
samples = (8 * torch.sin(torch.arange(8000) / 9) * torch.sin(torch.arange(8000) / 800)).round() / 8
assert not torch.equal(tool.restore(samples).float(), samples)
"""
IMAGES = """
import torch, ergodual as ed
F, K = ed.load_regulariser("natural-grey").terms(noise=0.1)
from ergodual import images
noisy = images.add_noise(torch.rand(1, 32, 32), 0.1)
images.write_image("noisy.png", noisy)
assert images.ssim(images.read_image("noisy.png"), noisy.clamp(0, 1)) > 0.99
ed.solve(ed.Problem(F=F, G=ed.SquaredL2(), K=K), noisy.unsqueeze(0), tol=1e-2)
"""
RECORDING = """
import math, os, struct, wave
os.mkdir("recordings")
with wave.open("recordings/in.wav", "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    samples = [round(7 * math.sin(t / 9) * math.sin(t / 800)) << 12 for t in range(16000)]
    file.writeframes(struct.pack("<16000h", *samples))
"""
APP = """
import signal, subprocess, sys
command = [sys.argv[1], "app", "--no-browser"]
signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background it is ignored
server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
address = server.stdout.readline()
server.send_signal(signal.SIGINT)
sys.exit(server.wait())
"""
TRIES = (
    Try(set(), CORE),
    Try(set(), RECORDING),
    Try({"speech"}, SPEECH),
    Try({"images"}, IMAGES),
    Try({"cli"}, "ergodual --help"),
    Try({"cli", "speech"}, "ergodual dequantize recordings/in.wav out.wav"),
    Try({"cli", "speech"}, "ergodual train --corpus recordings --depth 2 --epochs 1 --out run"),
    Try({"cli", "speech", "report"}, "ergodual report run --out run.html"),
    Try({"cli", "speech", "report", "app"}, APP),
)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--constraints", type=Path, help="versions to take")
    arguments.add_argument("--python", default=sys.executable, help="the one to make them with")
    given = arguments.parse_args()
    wheel = max(given.folder.glob("*.whl"), key=lambda one: one.stat().st_mtime).resolve()
    versions = [] if given.constraints is None else ["-c", str(given.constraints.resolve())]
    wrong = 0
    for extras in ENVIRONMENTS:
        with tempfile.TemporaryDirectory(prefix="ergodual-") as folder:
            subprocess.run([given.python, "-m", "venv", f"{folder}/venv"], check=True)
            what = f"{wheel}[{extras}]" if extras else str(wheel)
            pip = [f"{folder}/venv/bin/python", "-m", "pip", "--disable-pip-version-check"]
            subprocess.run([*pip, "--quiet", "install", *versions, what], check=True)
            faults = [fault for one in TRIES if (fault := tried(one, extras, Path(folder)))]
        print(f"[{extras}]: {'as it should be' if not faults else ''}", *faults, sep="\n")
        wrong += len(faults)
    return int(wrong > 0)


def tried(one: Try, extras: str, folder: Path) -> str | None:
    """What is wrong with it in this environment, if anything is."""
    found = set(extras.split(",")) | (ALL if extras in ("all", "app") else set())
    binaries = folder / "venv/bin"
    command = [str(binaries / "python"), "-I", "-c", one.what, str(binaries / "ergodual")]
    if one.what.startswith("ergodual "):
        command = [str(binaries / "ergodual"), *one.what.split()[1:]]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if ran.returncode == 0:  # one extra may bring what another does
        return None
    missing = one.needs - found
    said = ran.stderr.strip().splitlines()[-1:]
    if missing and said:
        sentences = {f"run pip install 'ergodual[{extra}]'." for extra in missing}
        if any(said[0].endswith(sentence) for sentence in sentences):
            return None
    return f"{one.what.strip()}\nleft with {ran.returncode} and said {said}\n"


if __name__ == "__main__":
    sys.exit(main())
