"""Kinds of coarse recordings: a quantizer, what holds it, and what was done to it after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ergodual.speech.cells import Known, OnLattice
from ergodual.speech.quantizers import (
    Levels,
    a_law,
    mid_rise,
    mid_tread,
    mu_law,
    mu_law_continuous,
    quantizer_of,
)

Samples = NDArray[np.float64]
UNIT = {"PCM_U8": 2**7, "PCM_16": 2**15, "PCM_24": 2**23}


@dataclass(frozen=True)
class Made:
    """A coarse recording.

    Attributes
    ----------
    meant
        What it was made from, as loud as it.
    stored
        What a file holds.
    intervals
        ``(3, length)``: those that the samples truly lay in, with their middles.
    bits
        The word length, for the model.
    companded
        Whether it is G.711 or its like.
    wider
        By how much the cells are wider on both sides than those of the quantizer.
    """

    meant: Samples
    stored: Samples
    intervals: torch.Tensor
    bits: int
    companded: bool = False
    wider: float = 0.0


class Given:
    """Cells that are known sample by sample, for one pass."""

    def __init__(self, made: Made) -> None:
        self._left, self.companded, self.wider = (
            made.intervals,
            made.companded,
            made.wider,
        )

    def intervals(self, x_tilde: torch.Tensor) -> torch.Tensor:
        """Of the next samples."""
        now, self._left = self._left[:, : len(x_tilde)], self._left[:, len(x_tilde) :]
        return now


def held(samples: Samples, subtype: str) -> Samples:
    """As a file holds them."""
    if subtype == "FLOAT":
        return samples.astype(np.float32).astype(np.float64)
    unit = UNIT[subtype]
    return np.clip(np.rint(samples * unit), -unit, unit - 1) / unit


Make = Callable[[Samples], Made]
Edit = Callable[[Samples], Samples]


def plain(
    quantizer: Levels,
    bits: int,
    subtype: str,
    gain: float = 1.0,
    volume: float = 0.97,
    edit: Edit | None = None,
) -> Make:
    """Quantized, changed in volume and edited; samples that the edit changed are known."""

    def make(x: Samples) -> Made:
        levels = quantizer.scaled(gain)
        before = gain * _through(quantizer, volume * x)
        after = before if edit is None else edit(before.copy())
        stored = held(after, subtype)
        changed = torch.from_numpy(np.abs(after - before) > 1e-9)
        cells = levels.intervals(torch.from_numpy(before))
        known = Known().intervals(torch.from_numpy(stored))
        intervals = torch.where(changed, known, cells)
        return Made(
            np.where(changed, stored, gain * volume * x), stored, intervals, bits, levels.companded
        )

    return make


def dithered(bits: int, width: int) -> Make:
    """With so many uniform noises of a step before quantizing."""

    def make(x: Samples) -> Made:
        quantizer = mid_tread(bits)
        meant = 0.97 * (1 - width * quantizer.step) * x
        noise = (np.random.default_rng(1).random((width, len(x))) - 0.5).sum(0)
        stored = _through(quantizer, meant + noise * quantizer.step)
        wider = width * quantizer.step / 2
        intervals = OnLattice(quantizer, wider=wider).intervals(torch.from_numpy(stored))
        return Made(meant, held(stored, "PCM_16"), intervals, bits, wider=wider)

    return make


def amplified(bits: int, decibels: float) -> Make:
    """Amplified after quantizing, and cut off at the ends of the scale."""

    def make(x: Samples) -> Made:
        gain = 10 ** (decibels / 20)
        before = gain * _through(mid_tread(bits), 0.97 * x)
        intervals = mid_tread(bits).scaled(gain).intervals(torch.from_numpy(before))
        step = gain * 2.0 ** (1 - bits)
        top = np.floor(1 / step) * step  # the last level that was not cut off
        intervals[:, torch.from_numpy(before > 1)] = torch.tensor(
            [top + step, top + step / 2, np.inf], dtype=torch.float64
        )[:, None]
        intervals[:, torch.from_numpy(before < -1)] = torch.tensor(
            [-top - step, -np.inf, -top - step / 2], dtype=torch.float64
        )[:, None]
        return Made(0.97 * gain * x, held(np.clip(before, -1, 1), "PCM_16"), intervals, bits)

    return make


def spliced(first: int, then: int) -> Make:
    """Of two word lengths."""

    def make(x: Samples) -> Made:
        middle = len(x) // 2
        parts = [
            plain(mid_tread(bits), bits, "PCM_16")(part)
            for bits, part in ((first, x[:middle]), (then, x[middle:]))
        ]
        return Made(
            np.concatenate([part.meant for part in parts]),
            np.concatenate([part.stored for part in parts]),
            torch.cat([part.intervals for part in parts], dim=1),
            (first + then) // 2,
        )

    return make


def in_steps(bits: int) -> Make:
    """Whose volume was changed in steps after quantizing."""

    def make(x: Samples) -> Made:
        gains = np.repeat([1.0, 0.7, 0.85, 0.5], -(-len(x) // 4))[: len(x)]
        one = plain(mid_tread(bits), bits, "PCM_24")(x)
        gain = torch.from_numpy(gains)
        return Made(
            gains * one.meant, held(gains * one.stored, "PCM_16"), gain * one.intervals, bits
        )

    return make


def noisy_export(bits: int, gain: float) -> Make:
    """Re-exported with a dither of 16 bits."""

    def make(x: Samples) -> Made:
        one = plain(mid_tread(bits), bits, "PCM_24", gain)(x)
        noise = np.random.default_rng(2).random((2, len(x))).sum(0) - 1
        return Made(one.meant, held(one.stored + noise / 2**15, "PCM_16"), one.intervals, bits)

    return make


def offset(bits: int, steps: float) -> Make:
    """Whose levels all have a constant on top."""

    def make(x: Samples) -> Made:
        one = plain(mid_tread(bits), bits, "PCM_24", volume=0.8)(x)
        constant = steps * mid_tread(bits).step
        return Made(
            one.meant + constant,
            held(one.stored + constant, "PCM_16"),
            one.intervals + constant,
            bits,
        )

    return make


def own(peak: float, subtype: str) -> Make:
    """So quiet that the format's own steps are coarse."""
    unit = UNIT[subtype]
    half = int(peak + 1)
    levels = torch.arange(-half, half + 1, dtype=torch.float64) / unit
    edges = torch.cat([levels - 0.5 / unit, levels[-1:] + 0.5 / unit])
    quantizer = Levels("own", levels, edges)
    bits = int(np.ceil(np.log2(2 * peak)))
    return plain(quantizer, bits, subtype, volume=peak / unit)


def _through(quantizer: Levels, x: Samples) -> Samples:
    stored: Samples = quantizer.quantize(torch.from_numpy(x)).numpy()
    return stored


def _click(samples: Samples) -> Samples:
    samples[len(samples) // 3] += 5 / 2**15
    return samples


def _repair(samples: Samples) -> Samples:
    at = len(samples) // 2
    samples[at : at + 160] = np.linspace(samples[at], samples[at + 160], 160) + 1e-3
    return samples


def _faded(samples: Samples) -> Samples:
    at = np.arange(len(samples))
    return samples * np.clip(np.minimum(at, len(samples) - 1 - at) / 4000, 0, 1)


KINDS: dict[str, tuple[str, Make]] = {
    "mid-tread, 4 bits": ("PCM_16", plain(mid_tread(4), 4, "PCM_16")),
    "mid-rise, 6 bits": ("PCM_24", plain(mid_rise(6), 6, "PCM_24")),
    "floor, 5 bits": ("PCM_16", plain(quantizer_of("floor", 5), 5, "PCM_16")),
    "cut towards 0, 6 bits": ("PCM_16", plain(quantizer_of("truncate", 6), 6, "PCM_16")),
    "mid-rise, 5 bits, x 0.7": ("PCM_16", plain(mid_rise(5), 5, "PCM_16", 0.7)),
    "mid-tread, 7 bits, x 0.31": ("FLOAT", plain(mid_tread(7), 7, "FLOAT", 0.31)),
    "mid-tread, 8 bits": ("PCM_U8", plain(mid_tread(8), 8, "PCM_U8")),
    "mid-tread, 6 bits": ("PCM_U8", plain(mid_tread(6), 6, "PCM_U8")),
    "mid-tread, 5 bits, x 0.7": ("PCM_U8", plain(mid_tread(5), 5, "PCM_U8", 0.7)),
    "peak of 16 units": ("PCM_16", own(16, "PCM_16")),
    "peak of 40 units": ("PCM_24", own(40, "PCM_24")),
    "mu-law": ("PCM_16", plain(mu_law(), 8, "PCM_16")),
    "A-law, x 0.8": ("PCM_16", plain(a_law(), 8, "PCM_16", 0.8)),
    "mu-law of a quiet recording": ("PCM_16", plain(mu_law(), 8, "PCM_16", volume=0.03)),
    "mu-law, a click": ("PCM_16", plain(mu_law(), 8, "PCM_16", edit=_click)),
    "continuous mu-law": ("PCM_16", plain(mu_law_continuous(8), 8, "PCM_16")),
    "mid-tread, 4 bits, a click": ("PCM_16", plain(mid_tread(4), 4, "PCM_16", edit=_click)),
    "mid-rise, 6 bits, a repair of 10 ms": (
        "PCM_24",
        plain(mid_rise(6), 6, "PCM_24", edit=_repair),
    ),
    "mid-tread, 5 bits, faded": ("PCM_16", plain(mid_tread(5), 5, "PCM_16", edit=_faded)),
    "mid-tread, 4 bits, + 3 dB, cut off": ("PCM_16", amplified(4, 3)),
    "mid-tread, 6 bits, + 6 dB, cut off": ("PCM_16", amplified(6, 6)),
    "mid-tread, 5 bits, RPDF dither": ("PCM_16", dithered(5, 1)),
    "mid-tread, 4 bits, TPDF dither": ("PCM_16", dithered(4, 2)),
    "mid-tread, 5 bits, x 0.73, 16-bit dither": ("PCM_16", noisy_export(5, 0.73)),
    "mid-tread, 5 bits, constant low bits": ("PCM_16", offset(5, 0.5)),
    "mid-tread, 4 bits, then 6": ("PCM_16", spliced(4, 6)),
    "mid-tread, 5 bits, volume in steps": ("PCM_16", in_steps(5)),
}
