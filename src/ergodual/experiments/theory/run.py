"""All parts, each kept when it is finished."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from safetensors.torch import load, save
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.experiments.folders import AGAIN, claim
from ergodual.experiments.plots import save_figure
from ergodual.experiments.pool import work_off
from ergodual.experiments.theory import costs, depths, lemma1, theorem2, transfer
from ergodual.experiments.theory.frames import Frames, draw_frames
from ergodual.experiments.theory.operators import Learned, compared, followed, learn
from ergodual.experiments.theory.setting import PARTS, Part, Setting
from ergodual.files import read_json, write_atomically
from ergodual.speech.corpora import Corpus, load_corpus

DRAWN: dict[Part, Callable[[dict[str, Any]], Figure]] = {
    "lemma1": lemma1.draw,
    "theorem2": theorem2.draw,
    "depths": depths.draw,
    "transfer": transfer.draw,
    "costs": costs.draw,
}


class Progress(NamedTuple):
    """So many of all steps (epochs of operators, parts) are done, the last of them this."""

    done: int
    of: int
    note: str


def measure_all(
    corpus: Path,
    out: Path,
    setting: Setting,
    jobs: int | None = None,
    parts: tuple[Part, ...] = PARTS,
    report: Callable[[Progress], None] | None = None,
    on_corpus: Callable[[Corpus], None] | None = None,
) -> dict[str, Any]:
    """Measure what ``out`` does not hold yet, and write ``theory.json`` with all that it then
    holds.

    Parameters
    ----------
    corpus
        A folder of WAV or FLAC files.
    out
        Where everything is written: ``setting.json``, ``parts/``, ``operators/``, ``theory.json``.
    setting
        Sizes and rates.
    jobs
        How many processes of one thread each learn operators at once; the number of cores if None.
    parts
        Which parts.
    report
        Called after each epoch of each operator and after each part.
    on_corpus
        Called with the corpus once it is clear that ``out`` can be used.

    Raises
    ------
    ErgodualError
        If the corpus, the setting or ``jobs`` cannot be used, or ``out`` holds results of another
        setting.
    """
    setting.check()
    if jobs is not None and jobs < 1:
        raise ErgodualError(f"The value of --jobs is {jobs}; it must be at least 1.")
    loaded = load_corpus(corpus, setting.frame)
    frames = draw_frames(loaded, setting)
    described = {
        **asdict(setting),
        "depths": sorted(set(setting.depths)),
        "quantizer": "mid-rise, the paper's convention",
        **frames.described,
    }
    claim(out, described, "results")
    if on_corpus is not None:
        on_corpus(loaded)
    for folder in ("parts", "operators"):
        (out / folder).mkdir(exist_ok=True)
    wanted = [part for part in PARTS if part in parts and not _kept(out, part).exists()]
    runs = _runs(setting, wanted)
    progress = _Counter(len(runs) * (setting.epochs + 2) + len(wanted), report or (lambda _: None))
    jobs = jobs or os.cpu_count() or 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        begun = time.perf_counter()
        _learn(runs, corpus, frames, out, setting, jobs, progress)
        for part in wanted:
            content = _measure(part, frames, out, setting)
            write_atomically(
                _kept(out, part),
                json.dumps({**content, "seconds": time.perf_counter() - begun}) + "\n",
            )
            progress.add(1, part)
            begun = time.perf_counter()
    finally:
        torch.set_num_threads(threads)
    found: dict[str, Any] = {
        part: read_json(_kept(out, part), AGAIN) for part in PARTS if _kept(out, part).exists()
    }
    machine = {"torch": torch.__version__, "cores": os.cpu_count(), "processes": jobs}
    content = {"setting": described, "machine": machine, **found}
    write_atomically(out / "theory.json", json.dumps(content, indent=1) + "\n")
    return content


def draw(content: dict[str, Any], out: Path) -> list[Path]:
    """Write a figure for each part; the names of all files."""
    return [
        save_figure(figure(content[part]), out / part)
        for part, figure in DRAWN.items()
        if part in content
    ] + [out / "theory.json"]


def _kept(out: Path, part: Part) -> Path:
    return out / "parts" / f"{part}.json"


def _runs(setting: Setting, wanted: list[Part]) -> list[Learned]:
    """Those that the parts need, the longest first."""
    needed = (compared(setting) if "transfer" in wanted else []) + (
        followed() if "depths" in wanted else []
    )
    return sorted(
        dict.fromkeys(needed),
        key=lambda run: (run.gradient == "implicit", run.depth or math.inf),
        reverse=True,
    )


def _measure(part: Part, frames: Frames, out: Path, setting: Setting) -> dict[str, Any]:
    if part == "depths":
        return depths.measure(
            {f"learned {run.gradient}, d = {run.depth}": _operator(out, run) for run in followed()},
            frames,
            setting,
        )
    if part == "transfer":
        return transfer.measure(
            [_read(out, run) for run in compared(setting)], frames.held_out, setting
        )
    measures = {"lemma1": lemma1.measure, "theorem2": theorem2.measure, "costs": costs.measure}
    return measures[part](frames, setting)


class _Counter:
    def __init__(self, of: int, report: Callable[[Progress], None]) -> None:
        self._done, self._of, self._report = 0, of, report

    def add(self, steps: int, note: str) -> None:
        self._done += steps
        self._report(Progress(self._done, self._of, note))


def _learn(
    runs: list[Learned],
    corpus: Path,
    frames: Frames,
    out: Path,
    setting: Setting,
    jobs: int,
    progress: _Counter,
) -> None:
    pending = [run for run in runs if not _file(out, run).exists()]
    for run in runs:
        if run not in pending:
            progress.add(setting.epochs + 2, run.name)
    if jobs == 1:
        for run in pending:
            _learn_one(run, frames, out, setting, progress.add)
    elif pending:
        pieces = [(run, out, setting) for run in pending]
        work_off(
            _work,
            pieces,
            min(jobs, len(pending)),
            _prepare,
            (corpus, setting),
            lambda told: progress.add(*told),
        )


def _file(out: Path, run: Learned) -> Path:
    return out / "operators" / f"{run.name}.json"


def _operator(out: Path, run: Learned) -> Tensor:
    return load(_file(out, run).with_suffix(".safetensors").read_bytes())["K"]


def _read(out: Path, run: Learned) -> dict[str, Any]:
    return read_json(_file(out, run), AGAIN, "gradient", "depth", "transfer")


_frames: Frames
_told: multiprocessing.SimpleQueue[tuple[int, str]]
"""Of this worker process, and where it says what is done."""


def _prepare(
    corpus: Path, setting: Setting, told: multiprocessing.SimpleQueue[tuple[int, str]]
) -> None:
    global _frames, _told
    _frames, _told = draw_frames(load_corpus(corpus, setting.frame), setting), told


def _work(run: Learned, out: Path, setting: Setting) -> None:
    _learn_one(run, _frames, out, setting, lambda *step: _told.put(step))


def _learn_one(
    run: Learned, frames: Frames, out: Path, setting: Setting, tell: Callable[[int, str], None]
) -> None:
    K, how = learn(run, frames, setting, lambda _: tell(1, run.name))
    content = {**how, "transfer": transfer.follow(K, frames.held_out, setting)}
    write_atomically(_file(out, run).with_suffix(".safetensors"), save({"K": K.contiguous()}))
    write_atomically(_file(out, run), json.dumps(content) + "\n")
    tell(1, run.name)
