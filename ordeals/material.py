"""Good files of every container and codec that can be written here, and good models."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from ergodual.speech.formats import CONTAINERS
from ergodual.speech.model import ModelSpec, build, save_model

ENDINGS = {container: ending for ending, container in reversed(CONTAINERS.items())}
SAMPLES = 600
RATE = 8000
SPECS = (
    ModelSpec(n=16, depth=3, units="half-steps"),
    ModelSpec(
        n=8,
        m=12,
        depth=2,
        learn=("K", "steps", "weights"),
        per_iteration=True,
        relative=True,
        regulariser="l21",
        units="half-steps",
    ),
)


class Good(NamedTuple):
    """A file before it is spoilt.

    Attributes
    ----------
    kind
        What is counted together.
    ending
        Of its name.
    content
        Its bytes.
    raw
        What has to be said of a recording without a header.
    """

    kind: str
    ending: str
    content: bytes
    raw: str | None = None


def recordings() -> list[Good]:
    """Coarse and fine ones, in any format that libsndfile reads under whatever name."""
    found = []
    for container in sorted(soundfile.available_formats().keys() - {"SD2"}):  # which is two files
        for subtype in soundfile.available_subtypes(container):
            for channels in (1, 2):
                content = _written(container, subtype, channels)
                if content:
                    ending = ENDINGS.get(container, ".wav")
                    raw = f"{RATE},{channels},s16le" if container == "RAW" else None
                    found.append(Good(f"{container} {subtype}", ending, content, raw))
    bw64 = [one._replace(content=b"BW64" + one.content[4:]) for one in found if _is_rf64(one)]
    return [*found, *(one._replace(kind=one.kind.replace("RF64", "BW64")) for one in bw64)]


def models() -> list[Good]:
    """Model files."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, spec in enumerate(SPECS):
            file = Path(folder, "model.safetensors")
            save_model(file, build(spec), spec, {"bits": 4, "rate": RATE, "epoch": 1})
            found.append(Good(f"model {number + 1}", ".safetensors", file.read_bytes()))
    return found


def _is_rf64(one: Good) -> bool:
    return one.kind.startswith("RF64")


def _written(container: str, subtype: str, channels: int) -> bytes | None:
    """The bytes of a recording, with a title where there may be one; None where libsndfile does not
    write such a file.
    """
    time = np.arange(SAMPLES)
    meant = np.sin(time / 9) * np.sin(time / 80)
    coarse = np.floor(meant * 8) / 8 + 1 / 16
    samples = np.stack([coarse, 0.9 * meant], axis=1)[:, :channels]
    out = io.BytesIO()
    try:
        with soundfile.SoundFile(out, "w", RATE, channels, subtype, None, container) as file:
            with contextlib.suppress(soundfile.SoundFileError):  # not all have one
                file.title = "A title"
            file.write(samples)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError, AssertionError):
        return None
    return out.getvalue()
