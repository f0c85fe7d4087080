"""Restoring quantized recordings with models for several word lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ergodual.errors import ErgodualError
from ergodual.primal_dual import Unrolled
from ergodual.speech.cells import Cells
from ergodual.speech.model import load_model
from ergodual.speech.models import model_files
from ergodual.speech.quantizers import Levels, mid_rise
from ergodual.speech.stream import Stream


class Dequantizer:
    """Restores recordings that were stored with too few bits.

    Parameters
    ----------
    models
        By the word length that each was trained for; frames come to them divided by half a
        quantization step.
    rate
        The sampling rate in Hz that they were trained at.
    overlap
        Of neighbouring frames; 0.75 is best, 0 four times as fast.
    g711
        The model for G.711; that for the word length nearest to 8 bits if None.
    """

    def __init__(
        self,
        models: dict[int, Unrolled],
        rate: int,
        overlap: float = 0.75,
        g711: Unrolled | None = None,
    ) -> None:
        self.models, self.rate, self.overlap, self.g711 = models, rate, overlap, g711

    @staticmethod
    def load(name: str | Path = "speech-16k", overlap: float = 0.75) -> Dequantizer:
        """A model that comes with the package, by its name, or the file of one that ``ergodual
        train`` made.

        Raises
        ------
        ErgodualError
            If there is no such model, or it is none for dequantizing.
        """
        models: dict[int, Unrolled] = {}
        g711: dict[int, Unrolled] = {}
        rate = 0
        for file in model_files(name):
            model, spec, metadata = load_model(file)
            if spec.units != "half-steps":
                raise ErgodualError(
                    f"{file} was trained in units of the signal; train it again with --units "
                    "half-steps."
                )
            trained_on = models if metadata["quantizer"] == "mid-rise" else g711
            trained_on[int(metadata["bits"])], rate = model, int(metadata["rate"])
        return Dequantizer(models or g711, rate, overlap, g711.get(8))

    def stream(self, cells: Cells, bits: int) -> Stream:
        """For one channel of samples that lay in these cells; the model is that of the nearest
        word length, or G.711's.
        """
        nearest = min(self.models, key=lambda trained: (abs(trained - bits), trained))
        model = self.g711 if self.g711 is not None and cells.companded else self.models[nearest]
        frame = model.problem.K.tensors()[0].shape[-1]
        return Stream(model, frame, cells, self.overlap)

    def restore(
        self, samples: NDArray[np.floating], bits: int, quantizer: Levels | None = None
    ) -> NDArray[np.float64]:
        """The estimate of a whole recording, ``(length,)`` or ``(length, channels)``, inside the
        cell of every sample.

        Parameters
        ----------
        samples
            As they were stored, on the scale of the quantizer.
        bits
            The word length.
        quantizer
            What the samples have been through; mid-rise with this word length if None.
        """
        whole = samples[:, None] if samples.ndim == 1 else samples
        restored = [
            np.concatenate(list(self.restore_stream([channel], bits, quantizer)))
            for channel in whole.T
        ]
        return np.stack(restored, axis=1).reshape(samples.shape)

    def restore_stream(
        self, blocks: Iterable[NDArray[np.floating]], bits: int, quantizer: Levels | None = None
    ) -> Iterator[NDArray[np.float64]]:
        """The same for one channel in blocks of any lengths; what comes out lags behind by less
        than a frame.
        """
        stream = self.stream(mid_rise(bits) if quantizer is None else quantizer, bits)
        for block in blocks:
            yield stream.push(block.astype(np.float64))
        yield stream.finish()
