"""Training runs that are reported on: of models of frames, and of whole recordings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.operators import Dense, Framed
from ergodual.primal_dual import Unrolled
from ergodual.speech.half_steps import half_step
from ergodual.speech.model import ModelSpec, load_model
from ergodual.speech.network import Network, NetworkSpec
from ergodual.speech.quantizers import Kind, Levels
from ergodual.speech.stream import estimator_of, restore_channel
from ergodual.speech.windows import WindowStream


@dataclass(frozen=True)
class Run:
    """A training, as far as it has got.

    Attributes
    ----------
    model, spec
        The best model on the held-out recordings if there is one, else the last.
    kind, bits, rate, epoch
        What it was trained for, and until when.
    config
        The configuration.
    epochs
        The lines of the log.
    """

    model: Unrolled | Network
    spec: ModelSpec | NetworkSpec
    kind: Kind
    bits: int
    rate: int
    epoch: int
    config: dict[str, Any]
    epochs: list[dict[str, Any]]

    @property
    def network(self) -> Network | None:
        """The model, if it is one of whole recordings."""
        return self.model if isinstance(self.model, Network) else None

    @property
    def said(self) -> str:
        """What was learned."""
        depth = f"{self.spec.depth} iteration{'s' if self.spec.depth > 1 else ''}"
        if isinstance(self.spec, ModelSpec):
            size = f"{self.spec.m or self.spec.n} × {self.spec.n}"
            return f"an operator K of {size}, {depth}, {self.spec.output} estimate"
        size = f"{2 * self.spec.pairs} × {self.spec.n}"
        each = "each iteration" if self.spec.model == "network" else "all iterations"
        return (
            f"operators K of {size} on frames {self.spec.hop} samples apart and thresholds that "
            f"are predicted from the recording, of {each}; {depth}"
        )

    @property
    def loss(self) -> str:
        """What the log's losses are."""
        if self.network is None:
            return "loss  ½‖x̂ − x†‖²"
        spectral = self.config.get("loss") == "spectral"
        return f"mean squared error{' and spectra' if spectral else ''}, dB"

    def restored(self, stored: NDArray[np.float64], quantizer: Levels) -> NDArray[np.float64]:
        """What becomes of a recording."""
        if isinstance(self.model, Network):
            stream = WindowStream(self.model, quantizer)
            return np.concatenate([stream.push(stored), stream.finish()])
        assert isinstance(self.spec, ModelSpec)
        estimator = estimator_of(self.model, self.spec, self.bits)
        return restore_channel(estimator, self.spec.n, stored, quantizer)

    def operators(self) -> dict[str, NDArray[np.floating]]:
        """Before learning, and learned: of the first and the last iteration where they differ."""
        if isinstance(self.spec, ModelSpec):
            begun: tuple[str, Tensor] = ("DCT", Dense.dct(self.spec.n, torch.float64).matrix)
        else:
            made = Framed.dft(self.spec.n, self.spec.hop, 2 * self.spec.pairs, 1.0)
            begun = ("windowed DFT", made.matrix)
        unrolled = self.model.unrolled if isinstance(self.model, Network) else self.model
        first, last = (unrolled.problems[i].K.tensors()[0] for i in (0, -1))
        found = dict([begun, ("learned", first)])
        if last is not first:
            found = dict([begun, ("learned, first iteration", first), ("last", last)])
        return {name: matrix.detach().double().numpy() for name, matrix in found.items()}

    def thresholds(self, stored: NDArray[np.float64], quantizer: Levels) -> NDArray[np.float64]:
        """Of a recording and a model of whole ones: the means over the iterations of the logarithms
        of its thresholds, ``(pairs, frames)``, in half steps and to base 10.
        """
        assert isinstance(self.model, Network)
        middle, lower, upper = quantizer.intervals(torch.from_numpy(stored))[:, None]
        with torch.no_grad():
            found = self.model.functions((middle / half_step(lower, upper)).float())
        each = [f.weight for f in (found if isinstance(found, list) else [found])]
        mean = torch.stack([torch.as_tensor(w).log10() for w in each]).mean(0)
        return mean[0].T.double().numpy()


def load_run(folder: Path) -> Run:
    """What ``ergodual train`` left in a folder.

    Raises
    ------
    ErgodualError
        If the folder does not hold a run, or one without an epoch yet.
    """
    if not folder.is_dir():
        raise ErgodualError(f"{folder} is not a folder; give the one that ergodual train wrote to.")
    if not (folder / "model.safetensors").exists():
        raise ErgodualError(
            f"{folder} holds no model yet (it has no model.safetensors); give another folder, or "
            "train --resume."
        )
    best = folder / "best.safetensors"
    model, spec, metadata = load_model(best if best.exists() else folder / "model.safetensors")
    try:
        epochs = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        kind, bits, rate, epoch = (metadata[key] for key in ("quantizer", "bits", "rate", "epoch"))
        return Run(model, spec, kind, bits, rate, epoch, metadata["training"], epochs)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise ErgodualError(
            f"{folder} is damaged: its log or its model's metadata cannot be read; train again."
        ) from error
