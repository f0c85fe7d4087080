"""Restoring quantized recordings with models for several word lengths."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ergodual.errors import ErgodualError, NotQuantizedWarning
from ergodual.primal_dual import Unrolled
from ergodual.speech.arrays import Samples, in_columns, like, on_unit_scale
from ergodual.speech.benefit import helped
from ergodual.speech.cells import Cells
from ergodual.speech.detected import Detected, detect
from ergodual.speech.found import Found, offset_of
from ergodual.speech.gains import Gains
from ergodual.speech.model import ModelSpec, load_model
from ergodual.speech.models import model_files
from ergodual.speech.network import Network
from ergodual.speech.quantizers import Levels, MidRise, mid_rise
from ergodual.speech.splice import AsItIs, Restoring, Spliced
from ergodual.speech.stream import Stream
from ergodual.speech.windows import WindowStream

Model = TypeVar("Model")
Quality = Literal["fast", "normal", "best"]
SHIFTS: dict[Quality, int] = {"normal": 1, "best": 4}
"""Grids of frames that estimates of models of whole recordings are averaged over."""
FINE = 8
"""Bits from which on a model of whole recordings serves for two more, else for one: two above, the
one for 6 bits makes one recording in 13 worse than it was stored. All serve for one less.
"""
LAW = 7
"""The least word length of a law that a model of whole recordings for G.711 helps."""


class Dequantizer:
    """Restores recordings that were stored with too few bits.

    Parameters
    ----------
    models
        Of frames, by the word length that each was trained for; samples come to all models divided
        by half a quantization step.
    rate
        The sampling rate in Hz that they were trained at.
    overlap
        Of neighbouring frames; 0.75 is best, 0 four times as fast.
    g711
        The model for G.711; that for the word length nearest to 8 bits if None.
    gains
        What they gained on other recordings, for those who want to know what to expect.
    networks
        Models of whole recordings, by their word lengths; from one below the least of these to one
        above the largest, or two from 8 bits on, they are taken, but for noise that was added
        before quantizing.
    network_g711
        The same for G.711.
    quality
        ``"fast"`` takes models of frames alone where there are any, which lag behind by less than
        a frame; ``"best"`` averages models of whole recordings over four grids of frames, which
        takes four times as long and brings 0.2 dB.

    Examples
    --------
    >>> from ergodual import speech
    >>> meant = torch.sin(torch.arange(8000) / 9) * torch.sin(torch.arange(8000) / 800)
    >>> stored = speech.mid_rise(4).quantize(meant)
    >>> restored = ed.Dequantizer.load("speech-16k").restore(stored)
    >>> bool((restored - meant).norm() < 0.5 * (stored - meant).norm())
    True
    """

    def __init__(
        self,
        models: dict[int, Unrolled],
        rate: int,
        overlap: float = 0.75,
        g711: Unrolled | None = None,
        gains: Gains | None = None,
        networks: dict[int, Network] | None = None,
        quality: Quality = "normal",
        network_g711: Network | None = None,
    ) -> None:
        self.models, self.rate, self.overlap, self.g711 = models, rate, overlap, g711
        self.gains = Gains((), rate) if gains is None else gains
        self.networks, self.quality, self.network_g711 = networks or {}, quality, network_g711
        if not self.models and not self.networks:
            raise ErgodualError("A Dequantizer needs a model; give one for a word length.")

    @staticmethod
    def load(
        name: str | Path = "speech-16k", overlap: float = 0.75, quality: Quality = "normal"
    ) -> Dequantizer:
        """A model that comes with the package, by its name, or the file of one that ``ergodual
        train`` made.

        Raises
        ------
        ErgodualError
            If there is no such model, or it is none for dequantizing.
        """
        models: dict[int, Unrolled] = {}
        g711: dict[int, Unrolled] = {}
        networks: dict[int, Network] = {}
        networks_g711: dict[int, Network] = {}
        rate = 0
        files = model_files(name)
        for file in files:
            model, spec, metadata = load_model(file)
            bits, rate = int(metadata["bits"]), int(metadata["rate"])
            even = metadata["quantizer"] == "mid-rise"
            if isinstance(model, Network):
                (networks if even else networks_g711)[bits] = model
                continue
            if isinstance(spec, ModelSpec) and spec.units != "half-steps":
                raise ErgodualError(
                    f"{file} was trained in units of the signal; train it again with --units "
                    "half-steps."
                )
            (models if even else g711)[bits] = model
        # a table is of all the models in a folder
        gains = None if Path(name).is_file() else Gains.of_folder(files[0].parent, rate)
        return Dequantizer(
            models or g711,
            rate,
            overlap,
            g711.get(8),
            gains,
            networks if models or networks else networks_g711,
            quality,
            networks_g711.get(8),
        )

    def helped(self, found: Found, rate: int) -> Found:
        """The same with as much of the change as is known to help at a rate in Hz, see
        :func:`~ergodual.speech.benefit.helped`.
        """
        return helped(
            found, rate, self.rate, lambda one: self._whole(one.cells, one.bits or 1) is not None
        )

    def stream_of(self, found: Found) -> Restoring:
        """For one channel of which this was found out."""
        if found.stretches:
            starts, parts = zip(*found.stretches, strict=True)
            return Spliced(list(starts), [self.stream_of(part) for part in parts])
        if found.quantizer is None:
            return AsItIs()
        return self.stream(found.cells, found.bits or 8, found.centre, found.share)

    def stream(
        self, cells: Cells, bits: int, centre: float = 0.0, share: float = 1.0
    ) -> Stream | WindowStream:
        """For one channel of samples that lay in these cells; the model is that of the nearest
        word length, or G.711's.
        """
        model = self._model(cells, bits)
        if isinstance(model, Network):
            return WindowStream(model, cells, centre, share, SHIFTS.get(self.quality, 1))
        frame = model.problem.K.tensors()[0].shape[-1]
        return Stream(model, frame, cells, self.overlap, centre, share)

    def _whole(self, cells: Cells, bits: int) -> Network | None:
        """The model of whole recordings that is for these, if one is."""
        if cells.wider or self.quality == "fast":
            return None
        if cells.companded:
            return self.network_g711 if bits >= LAW else None
        if not self.networks:
            return None
        least, largest = min(self.networks), max(self.networks)
        beyond = 2 if largest >= FINE else 1
        fits = least - 1 <= bits <= largest + beyond
        return _nearest(self.networks, bits) if fits else None

    def _model(self, cells: Cells, bits: int) -> Unrolled | Network:
        found = self._whole(cells, bits) or (self.g711 if cells.companded else None)
        return found or (
            _nearest(self.models, bits) if self.models else _nearest(self.networks, bits)
        )

    @overload
    def restore(
        self,
        samples: Tensor,
        bits: int | None = None,
        quantizer: Levels | None = None,
        cells: Detected | None = None,
    ) -> Tensor: ...

    @overload
    def restore(
        self,
        samples: NDArray[np.floating] | NDArray[np.integer],
        bits: int | None = None,
        quantizer: Levels | None = None,
        cells: Detected | None = None,
    ) -> NDArray[np.float64]: ...

    def restore(
        self,
        samples: Samples,
        bits: int | None = None,
        quantizer: Levels | None = None,
        cells: Detected | None = None,
    ) -> NDArray[np.float64] | Tensor:
        """The estimate of a whole recording, ``(length,)`` or ``(length, channels)``, inside the
        cell of every sample; in float64, a tensor where the samples are one.

        Parameters
        ----------
        samples
            As they were stored, on the scale of the quantizer; integers are divided by
            2^(word length - 1) of their type.
        bits
            The word length; if None, each channel's quantizer is worked out from its samples, and
            one that is not coarsely quantized is returned as it is, with a
            :class:`~ergodual.errors.NotQuantizedWarning`.
        quantizer
            What the samples have been through; mid-rise with this word length if None.
        cells
            What :func:`ergodual.detect` has found in these samples already.

        Raises
        ------
        ErgodualError
            If the samples are not finite or of no shape or type of a recording, or are no levels
            of a mid-rise quantizer with this word length; if a quantizer comes without one, or
            cells are given with a word length or for other samples.
        """
        whole = on_unit_scale(samples)
        channels = np.ascontiguousarray(in_columns(whole).T)
        if bits is not None:
            if cells is not None:
                raise ErgodualError("There are both bits and cells; give one of them.")
            restored = [self._as_said(channel, bits, quantizer) for channel in channels]
        elif quantizer is not None:
            raise ErgodualError(
                f"The quantizer {quantizer.name} comes without a word length; give bits too."
            )
        else:
            cells = detect(samples) if cells is None else cells
            if cells.samples.shape != samples.shape:
                raise ErgodualError(
                    f"The cells are of samples of the shape {tuple(cells.samples.shape)}, and "
                    f"these have {whole.shape}; give those that they were detected in."
                )
            restored = []
            # no comprehension, which is a frame of its own for the warning
            for number, found in enumerate(cells.channels):
                restored.append(self._restored(number, channels[number], found))  # noqa: PERF401
        return like(np.stack(restored, axis=1).reshape(whole.shape), samples)

    def _restored(
        self, number: int, channel: NDArray[np.float64], found: Found
    ) -> NDArray[np.float64]:
        """A channel in which this was found, or itself."""
        found = self.helped(found, self.rate)
        if found.quantizer is None:
            warnings.warn(
                f"Channel {number} is returned as it is: {found.said}.",
                NotQuantizedWarning,
                stacklevel=3,
            )
            return channel
        stream = self.stream_of(found)
        return np.concatenate([stream.push(channel), stream.finish()])

    def _as_said(
        self, channel: NDArray[np.float64], bits: int, quantizer: Levels | None
    ) -> NDArray[np.float64]:
        """A channel that has been through this quantizer, spared its offset."""
        cells = mid_rise(bits) if quantizer is None else quantizer
        centre = 0.0
        if len(channel) >= self.rate and not cells.companded:  # the mean of less is no offset
            mean = float(cells.intervals(torch.from_numpy(channel))[0].mean())
            centre = offset_of(mean, cells.step)
        stream = self.stream(cells, bits, centre)
        if quantizer is None:
            _check_mid_rise(channel, bits)
        return np.concatenate([stream.push(channel), stream.finish()])

    def restore_stream(
        self, blocks: Iterable[Samples], bits: int, quantizer: Levels | None = None
    ) -> Iterator[NDArray[np.float64]]:
        """The same for one channel in blocks of any lengths, which decide nothing.

        A constant in it, which is known at its end alone, is not taken off. What comes out lags
        behind by less than a frame (20 ms), or, where the model is one of whole recordings, by its
        stream's ``latency`` (5 s).
        """
        stream = self.stream(mid_rise(bits) if quantizer is None else quantizer, bits)
        for block in blocks:
            samples = on_unit_scale(block)
            if samples.ndim != 1:
                raise ErgodualError(
                    f"A block has the shape {samples.shape}; it must be (length,), one channel."
                )
            if quantizer is None:
                _check_mid_rise(samples, bits)
            yield stream.push(samples)
        yield stream.finish()


def _nearest(models: dict[int, Model], bits: int) -> Model:
    return models[min(models, key=lambda trained: (abs(trained - bits), trained))]


def _check_mid_rise(samples: NDArray[np.float64], bits: int) -> None:
    """Refuses samples off the lattice of a mid-rise quantizer by more than 16-bit files round, or
    by what would make them another quantizer's. Two word lengths share no level.
    """
    step = MidRise(bits).step
    off = np.abs(samples / step - np.floor(samples / step) - 0.5) * step
    if off.max(initial=0) > min(1.01 * 2.0**-15, step / 4):
        raise ErgodualError(
            f"The sample {samples[off.argmax()]:.6g} is no level of a mid-rise quantizer with "
            f"{bits} bits on [-1, 1]; leave bits out to have the quantizer worked out, or give it."
        )
