"""``ergodual dequantize``: restore recordings that were stored with too few bits."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ergodual.errors import ErgodualError


@dataclass(frozen=True)
class Dequantize:
    """Restore recordings that were stored with too few bits.

    IN is a WAV or FLAC file, a folder of them, or - for a WAV file from a pipe; OUT likewise (a
    folder for a folder). Any rate, length and number of channels will do. What comes out is never
    further from a stored sample than the quantizer can have moved it. A file that is not coarsely
    quantized is copied unchanged.
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IN")]
    """What to restore."""
    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Where it goes; files that are there are replaced."""
    bits: int | Literal["auto"] = "auto"
    """Word length of the quantizer; auto works it out from the samples."""
    quantizer: Literal[
        "auto",
        "mid-rise",
        "mid-tread",
        "floor",
        "truncate",
        "mu-law",
        "a-law",
        "mu-law-continuous",
    ] = "auto"
    """Its kind; auto works it out. floor is cut down instead of rounded, truncate towards 0;
    mu-law-continuous is that of some toolkits, without the segments of G.711."""
    dither: Literal["auto", "none", "rpdf", "tpdf"] = "auto"
    """Noise that was added before quantizing: uniform over a step (rpdf), triangular over two
    (tpdf); auto works it out where the samples tell."""
    model: str = "speech-16k"
    """A model that comes with Ergodual, or the file of one of your own."""
    overlap: float = 0.75
    """Share of a frame that it has in common with the next: 0.75 is best, 0 is four times as fast.
    """
    subtype: Literal["auto", "PCM_24", "PCM_16", "FLOAT"] = "auto"
    """Format of the samples in OUT; auto means FLOAT where IN has it and OUT can, else PCM_24."""
    threads: int = 1
    """Threads for the products."""

    def run(self) -> None:
        """Check, restore, and say what was found."""
        import torch

        from ergodual.cli.progress import progress_bar
        from ergodual.cli.ranges import check_threads
        from ergodual.speech.convert import dequantize_file
        from ergodual.speech.dequantizer import Dequantizer
        from ergodual.speech.quantizers import MidRise

        bits = None if self.bits == "auto" else self.bits
        if bits is not None:
            MidRise(bits)
        if not 0 <= self.overlap < 1:
            raise ErgodualError(
                f"The value of --overlap is {self.overlap}; it must be at least 0 and below 1."
            )
        check_threads(self.threads)
        torch.set_num_threads(self.threads)
        dequantizer = Dequantizer.load(self.model, self.overlap)
        kind = None if self.quantizer == "auto" else self.quantizer
        subtype = None if self.subtype == "auto" else self.subtype
        failed: list[str] = []
        with _files(self.source, self.target) as pairs, progress_bar("samples") as bar:
            for source, target in pairs:
                if self.source.is_dir():
                    target.parent.mkdir(parents=True, exist_ok=True)
                task = bar.add_task(source.name, total=_frames(source), note="")
                try:
                    done = dequantize_file(
                        source,
                        target,
                        dequantizer,
                        bits,
                        kind,
                        subtype,
                        partial(bar.advance, task),
                        None if self.dither == "auto" else self.dither,
                    )
                except ErgodualError as error:
                    if len(pairs) == 1:
                        raise
                    failed.append(str(error))
                    continue
                finally:
                    bar.remove_task(task)
                rate = _rate(target)
                said = f"{done.said}; copied unchanged" if done.copied else done.said
                print(f"{_shown(self.source, source)}: {said}", file=sys.stderr)
                if not done.copied and rate != dequantizer.rate:
                    print(
                        f"  its rate is {rate} Hz; the model was trained at {dequantizer.rate} Hz "
                        "and does less well",
                        file=sys.stderr,
                    )
                if done.clipped:
                    print(
                        f"  {done.clipped:,} samples left [-1, 1] and were cut off there; a .wav "
                        "file with --subtype FLOAT keeps them",
                        file=sys.stderr,
                    )
        if failed:
            raise ErgodualError(
                f"{len(failed)} of {len(pairs)} files could not be restored: " + " ".join(failed)
            )


def _frames(file: Path) -> int | None:
    """What the file declares; what is wrong with it is said when it is read."""
    import soundfile

    try:
        return int(soundfile.info(file).frames)
    except soundfile.SoundFileError:
        return None


def _rate(file: Path) -> int:
    import soundfile

    return int(soundfile.info(file).samplerate)


def _shown(given: Path, file: Path) -> str:
    return "standard input" if str(given) == "-" else str(file)


@contextmanager
def _files(source: Path, target: Path) -> Iterator[list[tuple[Path, Path]]]:
    """Pairs of files; what comes from a pipe, or goes into one, lies in a temporary folder
    meanwhile.
    """
    from ergodual.speech.corpora import find_audio

    with tempfile.TemporaryDirectory() as folder:
        if source.is_dir():
            if target.is_file():
                raise ErgodualError(
                    f"{target} is a file and {source} is a folder; give a folder for the results."
                )
            if target.resolve() == source.resolve():
                raise ErgodualError(
                    f"{target} is the folder of the recordings themselves; give another one for "
                    "the results."
                )
            yield [(file, target / file.relative_to(source)) for file in find_audio(source)]
            return
        one, other = source, target
        if str(source) == "-":
            one = Path(folder) / "in.wav"
            with open(one, "wb") as file:
                while chunk := sys.stdin.buffer.read(1 << 20):
                    file.write(chunk)
        if str(target) == "-":
            other = Path(folder) / "out.wav"
        elif target.is_dir():
            other = target / ("restored.wav" if str(source) == "-" else source.name)
        yield [(one, other)]
        if str(target) == "-":
            with open(other, "rb") as made:
                while chunk := made.read(1 << 20):
                    sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
