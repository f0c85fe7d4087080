"""Spoilt files through the commands that read them: restored, copied, or refused in a sentence."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import torch
from rich.progress import track

from ergodual.cli.dequantize import Dequantize
from ergodual.cli.outcomes import said_of
from ergodual.cli.quantize import Quantize
from ergodual.errors import ErgodualError
from ergodual.files import write_atomically
from ergodual.speech.audio import open_audio, read_audio
from ergodual.speech.formats import Raw
from ordeals.forked import AT_ONCE, MEMORY, SECONDS, forked
from ordeals.material import Good, models, recordings
from ordeals.spoiling import spoilt

COUNT, SEED = 10_000, 0
MODELS = 0.15
"""Share of the files that are models."""
WRONG = ("traceback", "hang", "crash", "left behind", "not whole", "no sentence")


def main(out: Path, count: int) -> int:
    """Write the table of outcomes by kind of file; 1 where one of them is wrong."""
    begun = time.perf_counter()
    counts, wrong, memory = run(count, SEED, os.cpu_count() or 1)
    kinds = sorted({kind for kind, _ in counts})
    words = sorted({word for _, word in counts})
    found = {
        "command": "make fuzz" if count == COUNT else f"python -m ordeals fuzz --count {count}",
        "seed": SEED,
        "files": counts.total(),
        "seconds": round(time.perf_counter() - begun),
        "seconds a file at most": SECONDS,
        "megabytes at most": round(memory / 1e6),
        "megabytes of data allowed": round(MEMORY / 1e6),
        "outcomes": {word: sum(counts[kind, word] for kind in kinds) for word in (*words, *WRONG)},
        "kinds": {
            kind: {word: counts[kind, word] for word in words if counts[kind, word]}
            for kind in kinds
        },
        "wrong": wrong,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "fuzz.json", json.dumps(found, indent=1) + "\n")
    print(json.dumps({name: found[name] for name in found if name != "kinds"}, indent=1))
    return 1 if wrong else 0


def run(count: int, seed: int, jobs: int) -> tuple[Counter[tuple[str, str]], list[str], int]:
    """How often each thing came out, by (kind of file, outcome), what was wrong, and the bytes of
    the largest process.
    """
    torch.set_num_threads(1)  # a fork has no other threads
    good()
    counts: Counter[tuple[str, str]] = Counter()
    wrong, memory = list[str](), 0
    first = seed * count
    outcomes = forked(range(first, first + count), tried, jobs)
    total = -(-count // AT_ONCE)
    for some, peak in track(outcomes, "spoilt files", total, disable=not sys.stderr.isatty()):
        memory = max(memory, peak)
        for case, word, text in some:
            counts[drawn(case)[0].kind, word] += 1
            if word in WRONG:
                wrong.append(f"case {case}, {drawn(case)[0].kind}: {word}: {text}")
    return counts, wrong, memory


@cache
def good() -> tuple[list[Good], list[Good]]:
    """Recordings and models, made once, before the first fork."""
    return recordings(), models()


def drawn(case: int) -> tuple[Good, bytes, Random]:
    """A good file, how it is spoilt, and a generator for what else there is to choose."""
    draw = Random(case)
    some = good()[1 if draw.random() < MODELS else 0]
    one = draw.choice(some)
    return one, spoilt(one.content, draw.choice(some).content, draw), draw


def tried(case: int) -> tuple[str, str]:
    """What became of a case, in a folder of its own, with everything silent."""
    one, content, draw = drawn(case)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"in{one.ending}")
        source.write_bytes(content)
        if one.ending == ".safetensors":
            recording = good()[0][0]
            model, source = source, source.with_name(f"in{recording.ending}")
            source.write_bytes(recording.content)
        else:
            model = source.with_name("model.safetensors")
            model.write_bytes(good()[1][0].content)
        before = _names(folder)
        command = _command(source, model, one.raw, draw)
        try:
            with Path(os.devnull).open("w") as silence:
                sys.stdout = sys.stderr = silence
                command()
        except (ErgodualError, OSError) as error:
            said = said_of(error)
            if _names(folder) != before:
                return "left behind", f"{_names(folder)}"
            if "\n" in said or len(said) > 600:
                return "no sentence", said
            return "refused", ""
        except BaseException:
            return "traceback", traceback.format_exc()
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        return _judged(Path(folder), before)


def _command(source: Path, model: Path, raw: str | None, draw: Random) -> Callable[[], object]:
    target = source.with_name(f"out{draw.choice(('.wav', '.wav', '.flac', source.suffix))}")
    kind = draw.random()
    if source.suffix == ".safetensors" or kind < 0.6:
        return Dequantize(source, target, model=str(model), raw=raw).run
    if kind < 0.75:
        piped = Dequantize(Path("-"), target, model=str(model), raw=raw)
        return lambda: _through_a_pipe(source, piped)
    if kind < 0.9:
        return Quantize(source, target, raw=raw).run
    return lambda: read_audio(source)  # as train does


def _through_a_pipe(source: Path, command: Dequantize) -> None:
    """A pipe holds 64 kB, and all files here are smaller."""
    end, beginning = os.pipe()
    os.write(beginning, source.read_bytes())
    os.close(beginning)
    os.dup2(end, 0)
    os.close(end)
    command.run()


def _names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def _judged(folder: Path, before: list[str]) -> tuple[str, str]:
    """Of what was made."""
    made = [name for name in _names(folder) if name not in before]
    if not made:
        return "read", ""
    if len(made) > 1:
        return "left behind", f"{made}"
    try:
        raw = Raw.parse("8000,1,s16le") if made[0].endswith(".raw") else None
        with open_audio(folder / made[0], raw) as audio:
            samples = sum(len(block) for block in audio.blocks())
    except ErgodualError as error:
        return "not whole", str(error)
    return ("done", "") if samples else ("not whole", "no samples")
