"""The page: recordings are dropped, looked at, restored, heard, seen and downloaded."""

from __future__ import annotations

import functools
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr

from ergodual.app.shown import SECONDS, Shown, show
from ergodual.errors import ErgodualError
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.formats import ENDINGS
from ergodual.speech.inspecting import Inspection, inspect_file
from ergodual.speech.writing import Subtype

OVERLAPS = {"0.75, best": 0.75, "0.5, twice as fast": 0.5, "none, four times as fast": 0.0}
KINDS = {"as the recording": None, "WAV": ".wav", "FLAC": ".flac"}
SUBTYPES: dict[str, Subtype | None] = {
    "as dequantize chooses": None,
    "24 bits": "PCM_24",
    "16 bits": "PCM_16",
    "floating point": "FLOAT",
}
FOUND = ["recording", "what was found", "expected gain"]
DONE = ["recording", "what was done", "size of the change"]
INTRODUCTION = """# Ergodual

Drop recordings that were stored with too few bits. Nothing leaves this machine."""
BEFORE = f"Before, {SECONDS} seconds at most"
AFTER = "After, equally loud"
FONTS = ("system-ui", "sans-serif")


def page(model: str, folder: Path) -> gr.Blocks:
    """The page for a model; what it makes goes into the folder."""
    load = functools.cache(functools.partial(Dequantizer.load, model))

    def look(files: list[str] | None, progress: gr.Progress = gr.Progress()) -> Any:  # noqa: B008
        """What was found in the recordings that were dropped."""
        rows = [_found(Path(file), load(0.75)) for file in progress.tqdm(files or [])]
        return (
            gr.Dataframe(rows, visible=bool(rows)),
            gr.Button(interactive=bool(rows)),
            gr.Dataframe(visible=False),  # what was made of others
            gr.Radio(visible=False),
            gr.DownloadButton(visible=False),
            *_listen(None, []),
        )

    def restore(
        files: list[str],
        overlap: str,
        kind: str,
        subtype: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """All of them."""
        place = Path(tempfile.mkdtemp(dir=folder))
        shown, rows = [], []
        for number, file in enumerate(map(Path, files), 1):
            tell = functools.partial(progress, desc=f"{file.name} ({number} of {len(files)})")
            try:
                one = show(
                    file,
                    place,
                    load(OVERLAPS[overlap]),
                    KINDS[kind],
                    SUBTYPES[subtype],
                    tell,
                )
            except (ErgodualError, OSError) as error:
                rows.append([file.name, _refused(error, file.parent, place / "restored"), ""])
                continue
            shown.append(one)
            rows.append(_done(file, one))
        names = [one.file.name for one in shown]
        return (
            gr.Dataframe(rows, visible=True),
            shown,
            gr.Radio(names, value=names[0] if names else None, visible=len(names) > 1),
            gr.DownloadButton(value=_zip(shown, place), visible=len(names) > 1),
            *_listen(names[0] if names else None, shown),
        )

    blocks = gr.Blocks(title="Ergodual", analytics_enabled=False)
    with blocks:
        gr.Markdown(INTRODUCTION)
        files = gr.File(
            file_count="multiple",
            file_types=[ending for ending in ENDINGS if ending != ".raw"],
            label="Recordings",
            elem_id="recordings",
        )
        found = gr.Dataframe(
            headers=FOUND, label="Found", visible=False, wrap=True, elem_id="found"
        )
        with gr.Row():
            overlap = gr.Radio(list(OVERLAPS), value=next(iter(OVERLAPS)), label="Overlap")
            kind = gr.Radio(list(KINDS), value=next(iter(KINDS)), label="File")
            subtype = gr.Radio(list(SUBTYPES), value=next(iter(SUBTYPES)), label="Samples")
        button = gr.Button("Restore", variant="primary", interactive=False, elem_id="restore")
        done = gr.Dataframe(headers=DONE, label="Done", visible=False, wrap=True, elem_id="done")
        state = gr.State([])
        chosen = gr.Radio([], label="Listen to", visible=False, elem_id="chosen")
        with gr.Row():
            before = gr.Audio(label=BEFORE, visible=False, elem_id="before", buttons=[])
            after = gr.Audio(label=AFTER, visible=False, elem_id="after", buttons=[])
        with gr.Row():
            one = gr.DownloadButton("Download", visible=False, elem_id="download")
            every = gr.DownloadButton("Download all (zip)", visible=False, elem_id="all")
        picture = gr.Image(show_label=False, visible=False, elem_id="picture", buttons=[])
        listening = [before, after, picture, one]
        files.change(
            look, files, [found, button, done, chosen, every, *listening], show_progress_on=files
        )
        button.click(
            restore,
            [files, overlap, kind, subtype],
            [done, state, chosen, every, *listening],
            show_progress_on=found,
        )
        chosen.input(_listen, [chosen, state], listening)
    return blocks


def _refused(error: Exception, *folders: Path) -> str:
    """The sentence, without folders of the page's own."""
    said = str(error)
    for folder in folders:
        said = said.replace(f"{folder}{os.sep}", "")
    return said


def _found(file: Path, dequantizer: Dequantizer) -> list[str]:
    try:
        inspection = inspect_file(file, dequantizer)
    except (ErgodualError, OSError) as error:
        return [file.name, _refused(error, file.parent), ""]
    return [file.name, "; ".join(dict.fromkeys(_said(inspection))), _expected(inspection)]


def _said(inspection: Inspection) -> list[str]:
    return [part.found.said for part in inspection.parts]


def _expected(inspection: Inspection) -> str:
    gains = [part.gain for part in inspection.parts if part.gain is not None]
    if not gains:
        return "none" if all(part.found.quantizer is None for part in inspection.parts) else ""
    return ", ".join(dict.fromkeys(f"{gain.mean:+.1f} dB" for gain in gains))


def _done(file: Path, one: Shown) -> list[str]:
    if one.done.copied:
        return [file.name, "copied unchanged", "none"]
    if one.change is None:
        return [file.name, one.done.said, "none"]
    size = f"{10 ** (one.change / 20):.2g} of its level ({one.change:.0f} dB)"
    return [file.name, one.done.said, size]


def _listen(name: str | None, shown: list[Shown]) -> list[Any]:
    """The sounds, the picture and the file of one recording."""
    one = next((one for one in shown if one.file.name == name), None)
    if one is None:
        hidden = (gr.Audio, gr.Audio, gr.Image, gr.DownloadButton)
        return [kind(visible=False) for kind in hidden]
    return [
        gr.Audio(one.before, visible=True),
        gr.Audio(one.after, visible=True),
        gr.Image(str(one.picture), visible=True),
        gr.DownloadButton(f"Download {one.file.name}", value=one.file, visible=True),
    ]


def _zip(shown: list[Shown], folder: Path) -> Path:
    path = folder / "restored.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for one in shown:
            archive.write(one.file, one.file.name)
    return path
