"""Where a person can follow a training: a JSONL file, and TensorBoard where it is installed."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ergodual.bilevel.history import Epoch, History
from ergodual.errors import ErgodualError
from ergodual.files import write_atomically


class JsonLog:
    """One JSON object a line, one line an epoch; the file always holds whole lines.

    Parameters
    ----------
    path
        The file, which is written anew.
    history
        The epochs that are done already.
    """

    def __init__(self, path: Path, history: History) -> None:
        self.path = path
        self._lines = [_line(epoch) for epoch in history.epochs]
        self._write()

    def add(self, epoch: Epoch) -> None:
        """Write a line for this epoch."""
        self._lines.append(_line(epoch))
        self._write()

    def _write(self) -> None:
        write_atomically(self.path, "".join(self._lines))


def _line(epoch: Epoch) -> str:
    return json.dumps(asdict(epoch)) + "\n"


def require_tensorboard() -> None:
    """Raise :class:`ErgodualError`, saying how to install it, unless TensorBoard is there."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ErgodualError(
            "TensorBoard is not installed; run pip install ergodual[tensorboard], or leave out "
            "--tensorboard."
        )


class TensorBoardLog:
    """The scalars of each epoch, for ``tensorboard --logdir FOLDER``.

    Parameters
    ----------
    folder
        Where the event files go.
    history
        The epochs that are done already; later ones in the folder are hidden.
    """

    def __init__(self, folder: Path, history: History) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=len(history.epochs))

    def add(self, epoch: Epoch) -> None:
        """Write the scalars of this epoch."""
        scalars = {
            "loss/train": epoch.train_loss,
            "loss/dev": epoch.dev_loss,
            "gradient_norm": epoch.gradient_norm,
            "norm_of_K": epoch.norm,
            "learning_rate": epoch.lr,
            "iterations": epoch.iterations,
            "sigma/first": epoch.sigma[0] if epoch.sigma else None,
            "tau/first": epoch.tau[0] if epoch.tau else None,
        }
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, epoch.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Finish the event file."""
        self._writer.close()
