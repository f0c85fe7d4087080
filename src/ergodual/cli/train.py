"""``ergodual train``: learn an operator, and whatever else is asked for, from a corpus."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ergodual.cli.run_folder import kept_of
from ergodual.errors import ErgodualError, NotFiniteError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ergodual.bilevel import Epoch
    from ergodual.bilevel.workers import Workers
    from ergodual.primal_dual import Unrolled
    from ergodual.speech.model import ModelSpec
    from ergodual.speech.quantizers import Levels, MidRise

NOT_OF_THE_RESULT = ("out", "resume", "tensorboard", "device", "store")
"""Options that are not written down."""


@dataclass(frozen=True)
class Train:
    """Learn an analysis operator K from recordings.

    Each recording is divided by its peak, cut into frames and quantized; K is learned so that a few
    iterations of the Chambolle-Pock algorithm lead back from the quantized frame to the true one.
    OUT gets the configuration (config.json), and after every epoch a line of the log (log.jsonl),
    the model (model.safetensors: with --dev the last one, and the best one so far on it is
    best.safetensors; without, the best one on what is learned from), and a checkpoint
    (checkpoint.pt).
    """

    corpus: Path
    """Folder of WAV or FLAC files to learn from, all of one sampling rate; subfolders count too."""
    out: Path
    """Folder for the results; it must be new or empty, unless --resume is given."""
    dev: Path | None = None
    """Folder of recordings that are not learned from, to choose the best epoch by."""
    bits: int = 4
    """Word length of the quantizer, 1 to 16."""
    quantizer: Literal["mid-rise", "mu-law", "a-law"] = "mid-rise"
    """Its kind; the two of G.711 have 8 bits and are learned in half-steps."""
    depth: int = 8
    """Iterations of the algorithm."""
    output: Literal["plain", "ergodic"] = "ergodic"
    """The estimate: the last iterate (plain), or the average with weights proportional to 1/k
    (ergodic).
    """
    optimizer: Literal["sgd", "adam"] = "sgd"
    """How the parameters move."""
    learn: tuple[Literal["K", "steps", "weights"], ...] = ("K",)
    """What is learned: the operator K, the step sizes, the averaging weights; any of them together.
    """
    steps: Literal["balanced", "weighted"] = "balanced"
    """Step sizes: sigma = tau = 0.99/|K|, or sigma = W * 0.99/|K| and tau = 0.99/(W |K|); where
    learned ones start."""
    weight: float = 1.0
    """W, for weighted steps."""
    per_iteration: bool = False
    """Learn a pair of step sizes for each iteration instead of one for all."""
    relative: bool = False
    """Learn step sizes in units of 1/|K|, so that they follow K as it grows; steadier for many
    rows, iterations or large rates."""
    lr: float | None = None
    """Learning rate of the first epoch; None means 0.001 for adam, and for sgd 0.002, or 0.05 in
    units of the signal."""
    schedule: Literal["sqrt", "inverse", "cosine", "constant"] = "sqrt"
    """Learning rate of epoch e = 0, 1, ...: lr/sqrt(1 + e), lr/(1 + e), half a cosine down to 0, or
    lr.
    """
    warmup: int = 0
    """Mini-batches of the first epoch over which the learning rate rises to its value."""
    lr_scale: float = 1.0
    """Learning rate of the step sizes and averaging weights, relative to that of K."""
    batch: int = 32
    """Frames a mini-batch; many processes share them."""
    epochs: int = 20
    """How often all frames are seen."""
    frame: int = 320
    """Samples a frame (20 ms at 16 kHz)."""
    rows: int | None = None
    """Rows of K; None means as many as a frame has samples, and more are allowed."""
    regulariser: Literal["l1", "l21"] = "l1"
    """What K's coefficients are put through: their l1 norm, or that of their pairs (l21: rows k and
    k + ROWS/2 together).
    """
    units: Literal["signal", "half-steps"] = "half-steps"
    """What a frame is measured in: with half-steps of the quantizer, the model is one for
    dequantize, which takes any volume; signal is the paper's, for figures.
    """
    shift: bool = False
    """Cut the frames at another, random place in every epoch."""
    bias: float = 0.0
    """With --shift: a quarter of the frames get a constant of up to so many (smallest) steps of the
    quantizer, as converters add them.
    """
    windowed: bool = False
    """Weight the loss by the window under which dequantize averages overlapping frames."""
    init: Path | None = None
    """A trained model of the same shape to start from, perhaps one for another word length."""
    seed: int = 0
    """Decides the order of the frames."""
    threads: int = 1
    """Threads for the products. Results are equal bit for bit for an equal number; 2 idle cores
    learn 1.5 times as fast as 1, and threads that have to share their cores with other programs are
    slower than one.
    """
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute: on the GPU if there is one (auto), or as said."""
    precision: Literal["highest", "high", "medium"] = "highest"
    """Of the products: float32; TF32 (high) or bfloat16 (medium) where the device has them, with an
    error in the gradient.
    """
    memory: float = 0.5
    """Gigabytes that the samples may take in memory; a larger corpus is decoded once into a file
    and read from there.
    """
    store: Path | None = None
    """Folder for that file, which takes four bytes a sample; OUT/samples if None. Runs on the same
    recordings can share it.
    """
    checkpoint_every: int = 5000
    """A checkpoint is written after every epoch, and after so many mini-batches of it."""
    resume: bool = False
    """Go on with the run that OUT holds, with its options where none are given; there may be more
    epochs, and the recordings may lie elsewhere. A process that torchrun has started again does so
    in any case.
    """
    tensorboard: bool = False
    """Write TensorBoard events to OUT too (needs pip install ergodual[tensorboard])."""

    def run(self) -> None:
        """Check everything, then learn."""
        import torch

        from ergodual.bilevel.log import require_tensorboard
        from ergodual.bilevel.workers import joined
        from ergodual.cli.run_folder import RunFolder

        config = self.resolve()
        if self.tensorboard:
            require_tensorboard()
        torch.set_num_threads(self.threads)
        torch.set_float32_matmul_precision(self.precision)
        device = self._device()
        with joined(device) as workers:
            try:
                self._learn(config, device, workers)
            except NotFiniteError as error:
                file = RunFolder(self.out, True).model
                there = f" The best one is {file}." if file.exists() else ""
                raise NotFiniteError(f"{error}{there}") from error

    def _learn(self, config: dict[str, Any], device: torch.device, workers: Workers) -> None:
        from rich.console import Console

        from ergodual.bilevel import HalfSquared, fit
        from ergodual.cli.corpora import describe, open_corpora
        from ergodual.cli.progress import progress_bar
        from ergodual.cli.run_folder import Recorder, RunFolder
        from ergodual.speech.corpora import Corpus, bytes_of, find_audio
        from ergodual.speech.frames import window
        from ergodual.speech.half_steps import Companded
        from ergodual.speech.quantizers import MidRise

        quantizer = self._quantizer()
        model, spec = self._model(device)
        if self.shift and bytes_of(find_audio(self.corpus)) > self.memory * 1e9:
            raise ErgodualError(
                f"{self.corpus} is larger than --memory, where frames can be shifted; raise it, "
                "or leave out --shift."
            )
        folder = RunFolder(
            self.out, self.resume or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
        )
        folders = (
            {"train": self.corpus} if self.dev is None else {"train": self.corpus, "dev": self.dev}
        )
        store = self.store or self.out / "samples"
        unit = 1.0 if self.units == "signal" else quantizer.step / 2
        # of G.711 the frames stay in one unit, so that the loss weighs them as the SNR does, and
        # the model measures each in its own
        learner = (
            model
            if isinstance(quantizer, MidRise)
            else Companded(model, quantizer.scaled(1 / unit))
        )
        loss = HalfSquared(window(self.frame).float().to(device) if self.windowed else None)

        def pair(frames: Tensor) -> tuple[Tensor, Tensor]:
            x_true = frames.to(device)
            return quantizer.quantize(x_true) / unit, x_true / unit

        with contextlib.ExitStack() as claimed:
            corpora = open_corpora(
                folders,
                self.frame,
                self.memory,
                store,
                workers,
                lambda: claimed.enter_context(folder.claimed(config)),
            )
            corpus, dev = corpora["train"], corpora.get("dev")
            data = (
                corpus.shifted(pair, self.bias * quantizer.step)
                if self.shift and isinstance(corpus, Corpus)
                else corpus.data(pair)
            )

        console = Console(soft_wrap=True, quiet=not workers.leads)
        for name, loaded in corpora.items():
            describe(console, folders[name], loaded, self.frame)
        metadata = {
            "bits": self.bits,
            "quantizer": self.quantizer,
            "rate": corpus.rate,
            "training": config,
        }
        started, steps_done = folder.started()
        recorder = Recorder(folder, model, spec, metadata, started, self.tensorboard)
        batches = -(-len(corpus) // self.batch)
        with progress_bar("mini-batches", show=workers.leads) as bar:
            done = batches * max(0, len(started.epochs) - 1) + steps_done
            task = bar.add_task("learning", total=batches * self.epochs, completed=done, note="")
            history = fit(
                learner,
                data,
                epochs=self.epochs,
                batch_size=self.batch,
                optimizer=self.optimizer,
                lr=config["lr"],
                schedule=self.schedule,
                warmup=self.warmup,
                lr_scale=self.lr_scale,
                loss=loss,
                seed=self.seed,
                dev=None if dev is None else dev.data(pair),
                keep="best" if dev is None else "last",
                checkpoint=folder.checkpoint,
                checkpoint_every=self.checkpoint_every,
                resume=folder.resume,
                identity=kept_of(config)
                | {f"recordings of {name}": loaded.digest for name, loaded in corpora.items()},
                on_epoch=recorder.add if workers.leads else None,
                on_step=lambda loss: bar.update(
                    task, advance=1, note=f"{bar.tasks[0].speed or 0:.0f}/s  loss {loss:.4f}"
                ),
                workers=workers,
            )
        if not workers.leads:
            return
        recorder.finish(history)
        first, last = history.epochs[0], history.epochs[-1]
        console.print(_summary(first, last, history.best))
        if last.train_loss > first.train_loss:
            print(
                f"ergodual: the loss ended at {last.train_loss:.4g}, above {first.train_loss:.4g}, "
                "where it began; lower --lr.",
                file=sys.stderr,
            )
        for file in (folder.model, folder.best, folder.log, folder.config):
            if file.exists():
                console.print(str(file))

    def _quantizer(self) -> MidRise | Levels:
        from ergodual.speech.quantizers import MidRise, quantizer_of

        return (
            MidRise(self.bits)
            if self.quantizer == "mid-rise"
            else quantizer_of(self.quantizer, self.bits)
        )

    def _model(self, device: torch.device) -> tuple[Unrolled, ModelSpec]:
        from ergodual.bilevel.checkpoint import first_difference
        from ergodual.speech.model import ModelSpec, build, load_model

        spec = ModelSpec(
            n=self.frame,
            depth=self.depth,
            output=self.output,
            steps=self.steps,
            weight=self.weight,
            learn=self.learn,
            per_iteration=self.per_iteration,
            relative=self.relative,
            m=self.rows,
            regulariser=self.regulariser,
            units=self.units,
        )
        model = build(spec, self.bits)
        if self.init is not None:
            found, other, _ = load_model(self.init)
            if (differing := first_difference(asdict(other), asdict(spec))) is not None:
                raise ErgodualError(
                    f"{self.init} is another kind of model: its {differing} is "
                    f"{getattr(other, differing)!r} and that of the new one "
                    f"{getattr(spec, differing)!r}; give the same options."
                )
            model.load_state_dict(found.state_dict())
        return model.to(device), spec

    def _device(self) -> torch.device:
        import torch

        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise ErgodualError(
                "--device is cuda and there is no GPU that torch can use; give --device cpu, or "
                "install torch for CUDA."
            )
        if self.device == "cpu" or not there:
            return torch.device("cpu")
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device

    def resolve(self) -> dict[str, Any]:
        """The configuration with every default filled in; raises :class:`ErgodualError` where a
        value is out of its range.
        """
        from ergodual.cli.ranges import check_seed, check_threads

        check_threads(self.threads)
        check_seed(self.seed)
        sgd = 0.05 if self.units == "signal" else 2e-3
        lr = self.lr if self.lr is not None else {"sgd": sgd, "adam": 1e-3}[self.optimizer]
        for name in ("depth", "batch", "epochs", "frame", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ErgodualError(
                    f"The value of --{name.replace('_', '-')} is {getattr(self, name)}; it must "
                    "be at least 1."
                )
        for name, value in (("lr", lr), ("lr-scale", self.lr_scale), ("weight", self.weight)):
            if not 0 < value < 1e30:
                raise ErgodualError(
                    f"The value of --{name} is {value}; it must be positive and below 1e30."
                )
        if self.rows is not None and self.rows < self.frame:
            raise ErgodualError(
                f"The value of --rows is {self.rows}; it must be at least --frame, {self.frame}."
            )
        if self.quantizer != "mid-rise" and (self.bits, self.units) != (8, "half-steps"):
            raise ErgodualError(
                f"--quantizer {self.quantizer} has 8 bits, in cells that differ; give --bits 8 "
                "--units half-steps."
            )
        if not 0 <= self.bias * self._quantizer().step < 1:
            raise ErgodualError(
                f"The value of --bias is {self.bias} steps; it must not be negative, and below "
                "half the range."
            )
        if self.bias and not self.shift:
            raise ErgodualError(f"--bias {self.bias} means nothing without --shift; add it.")
        if self.warmup < 0:
            raise ErgodualError(f"The value of --warmup is {self.warmup}; it must not be negative.")
        if not self.memory >= 0:
            raise ErgodualError(f"The value of --memory is {self.memory}; it must not be negative.")
        if self.weight != 1 and self.steps == "balanced":
            raise ErgodualError(
                f"--weight {self.weight} means nothing for balanced steps; add --steps weighted."
            )
        if not self.learn:
            raise ErgodualError("Nothing is to be learned; give --learn K, steps or weights.")
        for name in ("per_iteration", "relative"):
            if getattr(self, name) and "steps" not in self.learn:
                raise ErgodualError(
                    f"Step sizes are not learned, so --{name.replace('_', '-')} means nothing; "
                    "add steps to --learn."
                )
        values = {**asdict(self), "lr": lr, "learn": list(self.learn)}
        values |= {
            name: getattr(self, name) and str(getattr(self, name))
            for name in ("corpus", "dev", "init")
        }
        if self.quantizer == "mid-rise":  # once the only one: runs from then can still be resumed
            del values["quantizer"]
        return {name: value for name, value in values.items() if name not in NOT_OF_THE_RESULT}


def _summary(first: Epoch, last: Epoch, best: Epoch) -> Any:
    from rich.table import Table

    table = Table(title="Mean of ½‖x̂ − x†‖² over the frames")
    for heading in ("epoch", "train", "dev"):
        table.add_column(heading, justify="right")
    rows = {
        f"{first.epoch} (before)": first,
        f"{best.epoch} (best)": best,
        f"{last.epoch} (last)": last,
    }
    for name, epoch in rows.items():
        table.add_row(
            name,
            f"{epoch.train_loss:.4f}",
            "" if epoch.dev_loss is None else f"{epoch.dev_loss:.4f}",
        )
    return table
