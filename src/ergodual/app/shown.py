"""A recording restored for people to hear and to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ergodual.experiments.plots import figure_bytes, spectrogram_figure
from ergodual.files import write_atomically
from ergodual.speech.audio import open_audio
from ergodual.speech.convert import Done, dequantize_file
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.writing import Subtype, written

SECONDS = 30
"""From the beginning of a recording, so much is heard and seen."""
LOUDEST = 0.9
"""The peak of what is heard."""


@dataclass(frozen=True)
class Shown:
    """A restored recording.

    Attributes
    ----------
    file
        The whole of it, as ``ergodual dequantize`` writes it.
    done
        What was found out and done.
    before, after
        The beginning of both as sound, equally loud.
    picture
        Spectrograms of both, and of the change.
    change
        The power of the change over that of the recording, in dB; None where there is none.
    """

    file: Path
    done: Done
    before: Path
    after: Path
    picture: Path
    change: float | None


def show(
    source: Path,
    folder: Path,
    dequantizer: Dequantizer,
    ending: str | None = None,
    subtype: Subtype | None = None,
    report: Callable[[float], object] = lambda share: None,
) -> Shown:
    """Restore a recording into a folder, whole, and make sounds and a picture of its beginning.

    Parameters
    ----------
    source
        An audio file.
    folder
        For all that is made; a name that is taken gets a number.
    dequantizer
        The models.
    ending, subtype
        The kind of file and the format of its samples; None as ``ergodual dequantize`` chooses.
    report
        Told the share of it that is done.

    Raises
    ------
    ErgodualError
        If the recording cannot be read, or the result not be written so.
    """
    file = _free(folder / "restored", source.with_suffix(ending or source.suffix).name)
    with open_audio(source) as audio:
        total, so_far = audio.frames, 0

    def advance(samples: int) -> None:
        nonlocal so_far
        so_far += samples
        report(min(1.0, so_far / total))

    done = dequantize_file(source, file, dequantizer, None, None, subtype, advance)
    stored, restored = _beginning(source), _beginning(file)
    listening = folder / "listening"
    before, after, picture = (
        _free(listening, f"{file.stem}-{name}")
        for name in ("before.wav", "after.wav", "change.png")
    )
    for path, samples in zip((before, after), equally_loud(stored, restored), strict=True):
        with written(path, done.rate, samples.shape[1], "PCM_16", "WAV") as (_, write):
            write(samples)
    signals = {"before": stored, "after": restored, "the change": restored - stored}
    drawn = {name: signal.mean(axis=1) for name, signal in signals.items()}
    write_atomically(picture, figure_bytes(spectrogram_figure(drawn, done.rate), "png"))
    power = [float(np.square(signals[name]).sum()) for name in ("the change", "before")]
    change = None if done.copied or 0 in power else 10 * float(np.log10(power[0] / power[1]))
    return Shown(file, done, before, after, picture, change)


def equally_loud(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both with the same root mean square, as loud as neither is cut off."""
    levels = [float(np.sqrt(np.square(x).mean())) or 1.0 for x in (one, other)]
    scaled = [x / level for x, level in zip((one, other), levels, strict=True)]
    peak = max(float(np.abs(x).max()) for x in scaled) or 1.0
    return scaled[0] * (LOUDEST / peak), scaled[1] * (LOUDEST / peak)


def _beginning(file: Path) -> NDArray[np.float64]:
    """``(length, channels)``."""
    with open_audio(file) as audio:
        found, left = [], SECONDS * audio.rate
        for block in audio.blocks(1 << 16):
            found.append(block[:left])
            left -= len(found[-1])
            if not left:
                break
    return np.concatenate(found).astype(np.float64)


def _free(folder: Path, name: str) -> Path:
    """A name in the folder that is not taken."""
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(name)
    names = (f"{path.stem}{f'-{i}' if i > 1 else ''}{path.suffix}" for i in count(1))
    return next(folder / one for one in names if not (folder / one).exists())
