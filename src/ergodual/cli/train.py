"""``ergodual train``: learn an operator, and whatever else is asked for, from a corpus."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ergodual.cli.train_options import TrainOptions
from ergodual.errors import ErgodualError, NotFiniteError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Train(TrainOptions):
    """Learn an analysis operator K from recordings.

    Each recording is divided by its peak and quantized; K is learned so that a few iterations of
    the Chambolle-Pock algorithm lead back from what is stored to what was meant: of frames, as in
    the paper, or (--model network or convex) of whole recordings, with thresholds that are
    predicted from them, which is 2 dB better at 4 bits.
    OUT gets the configuration (config.json), and after every epoch a line of the log (log.jsonl),
    the model (model.safetensors: with --dev the last one, and the best one so far on it is
    best.safetensors; without, the best one on what is learned from), and a checkpoint
    (checkpoint.pt).
    """

    def run(self) -> None:
        """Check everything, then learn."""
        import torch

        from ergodual.bilevel.log import require_tensorboard
        from ergodual.bilevel.workers import joined
        from ergodual.cli import train_frames, train_network
        from ergodual.cli.run_folder import RunFolder

        config = self.resolve()
        if self.tensorboard:
            require_tensorboard()
        torch.set_num_threads(self.threads)
        device = self._device()
        with joined(device) as workers:
            try:
                if self.model == "frames":
                    torch.set_float32_matmul_precision(self.precision)
                    train_frames.learn(self, config, device, workers)
                else:
                    train_network.learn(self, config, workers)
            except NotFiniteError as error:
                file = RunFolder(self.out, True).model
                there = f" The best one is {file}." if file.exists() else ""
                raise NotFiniteError(f"{error}{there}") from error

    def resolve(self) -> dict[str, Any]:
        """The configuration with every default filled in; raises :class:`ErgodualError` where a
        value is out of its range.
        """
        from ergodual.cli.train_checks import resolved

        return resolved(self)

    def _device(self) -> torch.device:
        import torch

        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise ErgodualError(
                "--device is cuda and there is no GPU that torch can use; give --device cpu, or "
                "install torch for CUDA."
            )
        if self.device == "cpu" or not there or self.model != "frames":
            return torch.device("cpu")
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device
