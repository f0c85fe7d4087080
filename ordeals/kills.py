"""A folder run of ``ergodual dequantize`` that is killed, and the same command again: OUT is as
from an undisturbed run, and nothing is left over.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import soundfile
import torch
from rich.progress import track

from ergodual.cli import main as ergodual
from ergodual.files import TEMPORARY, write_atomically
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio, synthetic_speech

COUNT, SEED = 100, 0
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
NAMES = ("a.wav", "b.flac", "c/d.aiff", "c/e.w64", "c/f/g.caf", "h.au", "i.wav", "j.flac")
SECONDS = 2.0
"""Of each recording."""
Files = dict[str, bytes]


def main(out: Path, count: int) -> int:
    """Write what was found; 1 where OUT differed or something was left over."""
    begun = time.perf_counter()
    found = run(count, SEED)
    found = {"command": "make kills", "seed": SEED, **found}
    found["seconds"] = round(time.perf_counter() - begun)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "kills.json", json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 1 if found["wrong"] else 0


def run(count: int, seed: int, names: tuple[str, ...] = NAMES) -> dict[str, object]:
    """So many kills of a process that was running, each followed by the same command."""
    torch.set_num_threads(1)  # a fork has no other threads
    # which kernel multiplies is measured, and another one has other last bits
    os.environ["ERGODUAL_PRODUCTS"] = "torch"
    draw, wrong = Random(seed), list[str]()
    effective: Counter[str] = Counter()
    temporary, moments, kept = 0, list[float](), list[int]()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        _make(source, names)
        given = contents(source)
        _run(source, target)
        begun = time.perf_counter()
        _run(source, target)
        seconds = time.perf_counter() - begun
        whole = contents(target)
        for number in track(range(count), "kills", disable=not sys.stderr.isatty()):
            kind = SIGNALS[number % len(SIGNALS)]
            while True:  # until it was running when it was killed
                shutil.rmtree(target)
                moment = draw.random() * seconds
                if _killed(source, target, kind, moment):
                    break
            effective[kind.name] += 1
            moments.append(moment)
            left = contents(target) if target.exists() else {}
            half = [name for name in left if TEMPORARY.fullmatch(Path(name).name)]
            temporary += len(half)
            kept.append(len(left) - len(half))
            if half and kind != signal.SIGKILL:
                wrong.append(f"kill {number}, {kind.name}: left {half}")
            if any(whole.get(name) != left[name] for name in left.keys() - set(half)):
                wrong.append(f"kill {number}, {kind.name}: what was there was not whole")
            _run(source, target)
            if contents(target) != whole:
                wrong.append(f"kill {number}, {kind.name}: OUT is another one after a second run")
            there = {path.name for path in Path(folder).iterdir()}
            if contents(source) != given or there != {"in", "out"}:
                wrong.append(f"kill {number}, {kind.name}: something was written elsewhere")
    return {
        "kills": dict(effective),
        "files of a run": len(whole),
        "seconds of a run": round(seconds, 2),
        "moments of kills, in seconds": [round(q, 2) for q in statistics.quantiles(moments, n=4)],
        "files that were done when it was killed, in the mean": statistics.fmean(kept),
        "temporary files that kill -9 left and the next run removed": temporary,
        "wrong": wrong,
    }


def contents(folder: Path) -> Files:
    """Of all files below a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _make(folder: Path, names: tuple[str, ...]) -> None:
    clips = find_audio(synthetic_speech())
    for number, name in enumerate(names):
        samples, rate, _ = read_audio(clips[number % len(clips)])
        samples = samples[: round(SECONDS * rate)]
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, np.rint(samples * 8) / 8, rate, "PCM_16")


def _run(source: Path, target: Path) -> None:
    """The command in a process of its own, to its end."""
    process = _begun(source, target)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status:
        raise RuntimeError(f"an undisturbed run ended with status {status}")


def _killed(source: Path, target: Path, kind: signal.Signals, moment: float) -> bool:
    """Whether it ended by being killed after so many seconds."""
    process = _begun(source, target)
    time.sleep(moment)
    os.kill(process, kind)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return status in (-kind, 128 + kind)


def _begun(source: Path, target: Path) -> int:
    if process := os.fork():
        return process
    status = 3
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(silence, stream)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a shell in the background ignores
        status = ergodual(["dequantize", str(source), str(target)])
    finally:
        os._exit(status)
