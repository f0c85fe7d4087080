"""The folder of a training: its configuration, log, models and checkpoint."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ergodual.errors import ErgodualError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ergodual.bilevel import Epoch, History
    from ergodual.primal_dual import Unrolled
    from ergodual.speech.model import ModelSpec
    from ergodual.speech.network import Network, NetworkSpec

MAY_DIFFER = ("corpus", "dev", "epochs", "threads", "checkpoint_every")
"""Options that may be others when a run is gone on with; the recordings themselves may not."""

UNSAID = {"model": "frames", "quantizer": "mid-rise", "loss": "squared"}
"""Of options that configurations do not hold: what they stand for."""


def kept_of(config: dict[str, Any]) -> dict[str, Any]:
    """What of a configuration must not change."""
    return {name: value for name, value in config.items() if name not in MAY_DIFFER}


class RunFolder:
    """Where a training writes.

    Parameters
    ----------
    path
        The folder.
    resume
        Whether it goes on with what is there.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path, self.resume = path, resume
        self.config, self.log, self.checkpoint = (
            path / "config.json",
            path / "log.jsonl",
            path / "checkpoint.pt",
        )
        self.model, self.best = path / "model.safetensors", path / "best.safetensors"

    @contextlib.contextmanager
    def claimed(self, config: dict[str, Any]) -> Iterator[None]:
        """Make it the folder of this configuration, or refuse; after an error within, a new one is
        gone.
        """
        from ergodual.bilevel.checkpoint import first_difference
        from ergodual.files import read_json, sweep

        path = self.path
        sweep(path)
        if path.exists() and not path.is_dir():
            raise ErgodualError(f"{path} is a file; --out must be a folder.")
        if path.exists() and any(path.iterdir()):
            if not self.resume:
                raise ErgodualError(
                    f"{path} exists and is not empty; give another --out, or --resume to go on "
                    "with it."
                )
            if not self.config.exists():
                raise ErgodualError(
                    f"{path} holds no run to resume (it has no config.json); give the folder of a "
                    "run."
                )
            found = read_json(self.config, "start again in another folder")
            field = first_difference(kept_of(found), kept_of(config))
            if field is not None:
                old, new = ({**UNSAID, **one}.get(field) for one in (found, config))
                raise ErgodualError(
                    f"{path} belongs to another configuration: {field} was {old!r} and is now "
                    f"{new!r}; give the same value, or another --out."
                )
            yield
            return
        path.mkdir(parents=True, exist_ok=True)
        try:
            self.configure(config)
            yield
        except (ErgodualError, OSError):
            shutil.rmtree(path, ignore_errors=True)
            raise

    def configure(self, config: dict[str, Any]) -> None:
        """Write the configuration down, or what of it has changed."""
        from ergodual.files import write_atomically

        text = json.dumps(config, indent=1) + "\n"
        if not self.config.exists() or self.config.read_text() != text:
            write_atomically(self.config, text)

    def started(self) -> tuple[History, int]:
        """The epochs that the checkpoint holds, and the mini-batches after them."""
        from ergodual.bilevel import History
        from ergodual.bilevel.checkpoint import Checkpoint

        if not (self.resume and self.checkpoint.exists()):
            return History(), 0
        saved = Checkpoint.load(self.checkpoint)
        return saved.history, saved.progress.step


class Recorder:
    """Writes a line of the log and the models after each epoch: with validation frames the last
    and the best one, without them the best one.

    Parameters
    ----------
    folder
        Where to.
    model, spec, metadata
        What is saved.
    started
        The epochs that the log has already.
    tensorboard
        Whether to write its events too.
    """

    def __init__(
        self,
        folder: RunFolder,
        model: Unrolled | Network,
        spec: ModelSpec | NetworkSpec,
        metadata: dict[str, Any],
        started: History,
        tensorboard: bool,
    ) -> None:
        self._folder, self._model, self._spec, self._metadata = folder, model, spec, metadata
        self._started, self._tensorboard, self._logs = started, tensorboard, list[Any]()
        self._best = started.best if started.epochs else None

    def add(self, epoch: Epoch) -> None:
        """An epoch is done."""
        from ergodual.bilevel.log import JsonLog, TensorBoardLog

        if not self._logs:
            self._folder.configure(self._metadata["training"])
            self._logs.append(JsonLog(self._folder.log, self._started))
            if self._tensorboard:
                self._logs.append(TensorBoardLog(self._folder.path / "tensorboard", self._started))
        for log in self._logs:
            log.add(epoch)
        best = self._best is None or epoch.loss < self._best.loss
        if best:
            self._best = epoch
        if epoch.dev_loss is not None:
            self._save(self._folder.model, epoch.epoch)
        if best:
            self._save(
                self._folder.model if epoch.dev_loss is None else self._folder.best, epoch.epoch
            )

    def finish(self, history: History) -> None:
        """Where nothing was left to do, write what belongs there."""
        from ergodual.bilevel.log import JsonLog

        if not self._logs:
            self._folder.configure(self._metadata["training"])
            JsonLog(self._folder.log, history)
            last = history.epochs[-1]
            left = history.best if last.dev_loss is None else last  # in the model, as fit leaves it
            self._save(self._folder.model, left.epoch)

    def _save(self, file: Path, epoch: int) -> None:
        from ergodual.speech.model import save_model

        save_model(file, self._model, self._spec, {**self._metadata, "epoch": epoch})


def initial(file: Path, spec: ModelSpec | NetworkSpec) -> dict[str, Any]:
    """The parameters of a trained model of this kind to start from.

    Raises
    ------
    ErgodualError
        If it is of another one.
    """
    from ergodual.bilevel.checkpoint import first_difference
    from ergodual.speech.model import load_model

    found, other, _ = load_model(file)
    old, new = asdict(other), asdict(spec)
    differing = first_difference(old, new)
    if differing is not None:
        raise ErgodualError(
            f"{file} is another kind of model: its {differing} is {old.get(differing)!r} and that "
            f"of the new one {new.get(differing)!r}; give the same options."
        )
    return found.state_dict()


def say_outcome(console: Console, folder: RunFolder, history: History, title: str) -> None:
    """Print the losses, a warning if they rose, and the files."""
    first, last = history.epochs[0], history.epochs[-1]
    console.print(_summary(title, first, last, history.best))
    if last.train_loss > first.train_loss:
        print(
            f"ergodual: the loss ended at {last.train_loss:.4g}, above {first.train_loss:.4g}, "
            "where it began; lower --lr.",
            file=sys.stderr,
        )
    for file in (folder.model, folder.best, folder.log, folder.config):
        if file.exists():
            console.print(str(file))


def _summary(title: str, first: Epoch, last: Epoch, best: Epoch) -> Table:
    from rich.table import Table

    table = Table(title=title)
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
