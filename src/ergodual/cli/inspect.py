"""``ergodual inspect``: what recordings are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ergodual.cli.outcomes import failure, said_of
from ergodual.errors import ErgodualError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from ergodual.speech.dequantizer import Dequantizer
    from ergodual.speech.formats import Raw
    from ergodual.speech.inspecting import Inspection, Part

WIDE = 240
"""Characters of a line where no terminal says how many it has."""


@dataclass(frozen=True)
class Inspect:
    """Say what recordings are, and what dequantizing is expected to gain.

    Of each channel: the word length that its values use, the quantizer that it has been through and
    its lattice, the share of samples on it, an offset, the share that was clipped, and the gain
    that the model had on recordings like it. Nothing is written.
    """

    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IN…")]
    """Recordings, folders of them, or - for a pipe."""
    model: str = "speech-16k"
    """A model that comes with Ergodual, or the file or folder of your own."""
    raw: str | None = None
    """What samples without a header are, as RATE,CHANNELS,ENCODING, for instance 16000,1,s16le."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Look, and say."""
        from ergodual.speech.dequantizer import Dequantizer
        from ergodual.speech.formats import Raw
        from ergodual.speech.inspecting import inspect_file

        if not self.sources:
            raise ErgodualError("There is no recording to inspect; give files or folders.")
        raw = None if self.raw is None else Raw.parse(self.raw)
        dequantizer = Dequantizer.load(self.model)
        recordings, failed = _recordings(self.sources, raw)
        inspect_all(
            recordings,
            failed,
            lambda file, of: inspect_file(file, dequantizer, raw=of),
            self.json,
            without_gains(self.model, dequantizer),
        )


def inspect_all(
    recordings: Sequence[tuple[Path, Raw | None]],
    failed: list[str],
    inspect: Callable[[Path, Raw | None], Inspection],
    as_json: bool = False,
    note: str | None = None,
) -> None:
    """Print what recordings are, as a table or as JSON.

    Parameters
    ----------
    recordings
        Files, and what they are where they have no header.
    failed
        Sentences about what could not be read.
    inspect
        Looks at one.
    as_json
        Whether it is JSON.
    note
        A sentence below the table.

    Raises
    ------
    ErgodualError
        In the end, about all that could not be read.
    """
    from ergodual.cli.progress import progress_bar

    total, found = len(recordings) + len(failed), []
    with progress_bar("files") as bar:
        task = bar.add_task("inspecting", total=len(recordings), note="")
        for file, raw in recordings:
            try:
                found.append(inspect(file, raw))
            except (ErgodualError, OSError) as error:
                failed.append(said_of(error))
            bar.advance(task)
    if as_json:
        _print_json(found, failed)
    elif found:
        _print_table(found)
        if note is not None and any(part.found.quantizer for one in found for part in one.parts):
            print(note)
    if failed:
        raise failure(failed, total, "could not be read")


def without_gains(model: str, dequantizer: Dequantizer) -> str | None:
    """A sentence about a model of which no gains are known."""
    if dequantizer.gains.rows:
        return None
    return (
        f"{model} has no table of gains on other recordings (gains.json), so none is expected; "
        "ergodual evaluate measures them."
    )


def _recordings(
    sources: Sequence[Path], raw: Raw | None
) -> tuple[list[tuple[Path, Raw | None]], list[str]]:
    from ergodual.speech.corpora import walk

    found: list[tuple[Path, Raw | None]] = []
    failed: list[str] = []
    for source in sources:
        if source.is_dir():
            try:
                files, unreadable = walk(source)
            except ErgodualError as error:
                files, unreadable = [], [str(error)]
            failed += unreadable
            found += [(file, raw if file.suffix.lower() == ".raw" else None) for file in files]
        else:
            found.append((source, raw))
    return found, failed


def _print_json(found: list[Inspection], failed: list[str]) -> None:
    import json

    recordings = [recording.as_dict() for recording in found]
    print(json.dumps({"recordings": recordings, "failed": failed}, indent=1))


def _print_table(found: list[Inspection]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(_table(found))
    for recording in found:
        told = [(part, part.found) for part in recording.parts]
        for part, one in told:
            if one.quantizer is None or ";" in one.said:
                console.print(
                    f"{escape(_place(recording, part))}: {escape(one.said)}", highlight=False
                )
        for note in recording.notes:
            console.print(f"{escape(note)}; it was read all the same", highlight=False)


def _table(found: list[Inspection]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for heading, right in COLUMNS.items():
        table.add_column(heading, justify="right" if right else "left")
    for recording in found:
        for part in recording.parts:
            table.add_row(escape(_place(recording, part)), *_cells(recording, part))
    return table


COLUMNS = {
    "recording": False,
    "format": False,
    "bits": True,
    "quantizer": False,
    "step": True,
    "on it": True,
    "offset": True,
    "clipped": True,
    "expected gain": True,
}
"""Headings, and whether they are over numbers."""


def _cells(recording: Inspection, part: Part) -> list[str]:
    found, quantizer = part.found, part.found.quantizer
    bits = "" if part.bits is None else str(part.bits)
    form = f"{recording.container} {recording.subtype}, {recording.rate} Hz"
    if quantizer is None:
        return [form, bits, "none found", "", "", "", "", "none: copied"]
    name = quantizer.name.split(",")[0]
    gain = part.gain
    return [
        form,
        bits,
        name if found.dither == "none" else f"{name}, {found.dither}",
        f"{quantizer.step:.6g}",
        f"{part.on_lattice:.2%}",
        f"{found.centre:.3g}",
        f"{part.clipped:.2%}",
        "unknown" if gain is None else f"{gain.mean:+.1f} dB ({gain.least:+.1f} at least)",
    ]


def _place(recording: Inspection, part: Part) -> str:
    """Which recording, channel and stretch."""
    # a name that is no text is printed longer than rich counts
    said = recording.name.encode(errors="backslashreplace").decode()
    if recording.channels > 1:
        said += f", channel {part.channel}"
    if part.start or part.stop < recording.frames:
        said += f", samples {part.start:,} to {part.stop:,}"
    return said
