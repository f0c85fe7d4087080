"""``ergodual dequantize``: restore recordings that were stored with too few bits."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, NamedTuple

import tyro

from ergodual.cli.outcomes import failure, said_of
from ergodual.errors import ErgodualError

if TYPE_CHECKING:
    from ergodual.speech.convert import Done
    from ergodual.speech.dequantizer import Dequantizer
    from ergodual.speech.formats import Raw
    from ergodual.speech.quantizers import Kind


class Job(NamedTuple):
    """A recording to be restored, what it is where it has no header, and where it goes."""

    source: Path
    target: Path
    raw: Raw | None


@dataclass(frozen=True)
class Dequantize:
    """Restore recordings that were stored with too few bits.

    IN is a WAV, FLAC, AIFF, AU, CAF, W64, RF64, BW64 or raw file, a folder of them, or - for a
    pipe; OUT likewise (a folder for a folder; a pipe gets WAV). Any rate, length and number of
    channels will do. What comes out is never further from a stored sample than the quantizer can
    have moved it. A file that is not coarsely quantized is copied unchanged. Of a folder, what
    cannot be restored is named at the end; the exit status is then 1, and 2 where nothing could.
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IN")]
    """What to restore."""
    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Where it goes; files that are there are replaced. Below IN, it is not read as input."""
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
    quality: Literal["fast", "normal", "best"] = "normal"
    """fast restores frame by frame, as low latency asks for; best averages over four grids of
    frames: 0.2 dB for four times the time. They say nothing where the model has no choice."""
    subtype: Literal["auto", "PCM_24", "PCM_16", "FLOAT"] = "auto"
    """Format of the samples in OUT; auto means FLOAT where IN has it and OUT can, else PCM_24."""
    raw: str | None = None
    """What samples without a header are, as RATE,CHANNELS,ENCODING, for instance 16000,1,s16le:
    those of IN, or of the .raw files in it where it is a folder.
    """
    threads: int = 1
    """Threads for the products."""
    dry_run: bool = False
    """Say what each recording is, as ergodual inspect does, and write nothing."""

    def run(self) -> None:
        """Check, restore, and say what was found."""
        import torch

        from ergodual.cli.progress import progress_bar
        from ergodual.cli.ranges import check_threads
        from ergodual.files import sweep
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
        dequantizer = Dequantizer.load(self.model, self.overlap, self.quality)
        kind = None if self.quantizer == "auto" else self.quantizer
        subtype = None if self.subtype == "auto" else self.subtype
        if self.dry_run:
            self._only_inspect(dequantizer, bits, kind)
            return
        with self._jobs() as (jobs, failed), progress_bar("samples") as bar:
            recordings = {_identity(job.source) for job in jobs} - {None}
            total = len(jobs) + len(failed)
            for folder in {job.target.parent for job in jobs}:
                sweep(folder)
            for job in jobs:
                task = bar.add_task(job.source.name, total=_frames(job.source), note="")
                try:
                    if job.target != job.source and _identity(job.target) in recordings:
                        raise ErgodualError(
                            f"{job.target} is one of the recordings themselves; give another OUT."
                        )
                    if self.source.is_dir():
                        job.target.parent.mkdir(parents=True, exist_ok=True)
                    done = dequantize_file(
                        job.source,
                        job.target,
                        dequantizer,
                        bits,
                        kind,
                        subtype,
                        partial(bar.advance, task),
                        None if self.dither == "auto" else self.dither,
                        job.raw,
                    )
                except (ErgodualError, OSError) as error:
                    failed.append(said_of(error))
                    continue
                finally:
                    bar.remove_task(task)
                _report(job, done, dequantizer.rate)
            if failed:
                raise failure(failed, total, "could not be restored")

    def _only_inspect(self, dequantizer: Dequantizer, bits: int | None, kind: Kind | None) -> None:
        from ergodual.cli.inspect import inspect_all, without_gains
        from ergodual.speech.inspecting import inspect_file

        dither = None if self.dither == "auto" else self.dither
        with self._jobs() as (jobs, failed):
            inspect_all(
                [(job.source, job.raw) for job in jobs],
                failed,
                lambda file, raw: inspect_file(file, dequantizer, bits, kind, dither, raw),
                note=without_gains(self.model, dequantizer),
            )

    @contextmanager
    def _jobs(self) -> Iterator[tuple[list[Job], list[str]]]:
        """What is to be done, and sentences about what cannot be; what goes into a pipe lies in a
        temporary folder meanwhile.
        """
        from ergodual.speech.formats import Raw

        source, target = self.source, self.target
        raw = None if self.raw is None else Raw.parse(self.raw)
        if source.is_dir():
            yield self._of_folder(raw)
        elif str(target) == "-" and not self.dry_run:
            with tempfile.TemporaryDirectory() as folder:
                job = Job(source, Path(folder) / "out.wav", raw)
                yield [job], []
                with job.target.open("rb") as made:
                    _to_pipe(made)
        else:
            name = "restored.wav" if str(source) == "-" else source.name
            yield [Job(source, target / name if target.is_dir() else target, raw)], []

    def _of_folder(self, raw: Raw | None) -> tuple[list[Job], list[str]]:
        from ergodual.speech.corpora import walk

        source, target = self.source, self.target
        if str(target) == "-":
            raise ErgodualError(
                f"{source} is a folder, and standard output takes one recording; give a folder for "
                "the results."
            )
        if target.is_file():
            raise ErgodualError(
                f"{target} is a file and {source} is a folder; give a folder for the results."
            )
        if target.resolve() == source.resolve():
            raise ErgodualError(
                f"{target} is the folder of the recordings themselves; give another one for the "
                "results."
            )
        files, unreadable = walk(source, without=target)
        jobs = [
            Job(
                file,
                target / file.relative_to(source),
                raw if file.suffix.lower() == ".raw" else None,
            )
            for file in files
        ]
        return jobs, unreadable


def _report(job: Job, done: Done, trained_at: int) -> None:
    """What was found and done."""
    name = "standard input" if str(job.source) == "-" else str(job.source)
    said = f"{done.said}; copied unchanged" if done.copied else done.said
    print(f"{name}: {said}", file=sys.stderr)
    for note in done.notes:
        print(f"  {note}; it was read all the same", file=sys.stderr)
    if not done.copied and done.rate != trained_at:
        print(
            f"  its rate is {done.rate} Hz; the model was trained at {trained_at} Hz and does less "
            "well",
            file=sys.stderr,
        )
    if done.dropped:
        print(f"  not kept in {job.target}: {', '.join(done.dropped)}", file=sys.stderr)
    if done.clipped:
        print(
            f"  {done.clipped:,} samples left [-1, 1] and were cut off there; a .wav file with "
            "--subtype FLOAT keeps them",
            file=sys.stderr,
        )
    if job.target.suffix.lower() == ".raw" and not done.copied:
        print(f"  {job.target} has no header; its samples are {done.subtype}", file=sys.stderr)


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _frames(file: Path) -> int | None:
    """What the file declares; what is wrong with it is said when it is read."""
    import soundfile

    try:
        return int(soundfile.info(os.fsencode(file)).frames) if file.is_file() else None
    except (soundfile.SoundFileError, OSError, TypeError):
        return None


def _to_pipe(file: BinaryIO) -> None:
    try:
        shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error
