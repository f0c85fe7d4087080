"""What is said of a quantizer holds, unless the samples contradict it."""

import numpy as np
import pytest
import torch

import ergodual as ed
from ergodual.speech.quantizers import quantizer_of
from ergodual.speech.recognise import recognise
from ergodual.speech.tally import Tally

MEANT = np.sin(np.arange(3000) / 9) * np.sin(np.arange(3000) / 800)
UNIT = {"PCM_U8": 2.0**7, "PCM_16": 2.0**15, "PCM_24": 2.0**23}


def tally(stored: str, gain: float, subtype: str) -> Tally:
    kind, _, bits = stored.partition(" ")
    samples = gain * quantizer_of(kind, int(bits or 8)).quantize(torch.from_numpy(MEANT)).numpy()
    return Tally(np.rint(samples * UNIT[subtype]) / UNIT[subtype])


@pytest.mark.parametrize(
    ("stored", "gain", "subtype", "bits", "kind", "found"),
    [
        ("mid-tread 8", 1, "PCM_U8", 8, None, "mid-tread, 8 bits"),
        ("mid-rise 4", 1, "PCM_U8", 4, None, "mid-rise, 4 bits"),
        ("mid-tread 4", 1, "PCM_16", 4, "mid-tread", "mid-tread, 4 bits"),
        ("mid-rise 8", 1, "PCM_24", 8, None, "mid-rise, 8 bits"),
        ("mid-rise 4", 0.7, "PCM_16", 4, None, "mid-rise, 4 bits"),  # rescaled
        ("mid-tread 4", 0.7, "PCM_16", 8, None, "mid-tread, 4 bits"),  # 8 bits, amplified?
        ("mid-tread 2", 1, "PCM_16", 8, "mid-tread", "mid-tread, 8 bits"),  # too few to tell
        ("mu-law", 1, "PCM_16", None, "mu-law", "mu-law"),
        ("mu-law", 0.8, "PCM_16", None, "mu-law", "mu-law (G.711) at 0.8"),
        ("a-law", 0.8, "PCM_24", None, "a-law", "A-law (G.711) at 0.8"),
        ("mu-law-continuous 8", 1, "PCM_16", None, "mu-law-continuous", "mu-law-continuous"),
        ("mu-law-continuous 6", 0.7, "PCM_16", 6, "mu-law-continuous", "mu-law-continuous, 6"),
    ],
)
def test_what_may_be_said(
    stored: str, gain: float, subtype: str, bits: int | None, kind: str | None, found: str
) -> None:
    assert recognise("in.wav", tally(stored, gain, subtype), subtype, bits, kind).said.startswith(
        found
    )


@pytest.mark.parametrize(
    ("stored", "gain", "subtype", "bits", "kind"),
    [
        ("mid-tread 8", 1, "PCM_U8", 8, "mid-rise"),
        ("mid-tread 8", 1, "PCM_U8", 7, None),
        ("mid-tread 8", 1, "PCM_U8", 6, None),
        ("mid-rise 7", 1, "PCM_U8", 7, "mid-tread"),
        ("mid-tread 4", 1, "PCM_16", 3, None),
        ("mid-rise 4", 1, "PCM_16", 3, None),
        ("mid-rise 4", 1, "PCM_16", 5, "mid-tread"),  # only every second level
        ("mid-tread 4", 1, "PCM_16", 8, "mid-tread"),  # only every sixteenth
        ("mid-rise 4", 0.7, "PCM_16", 3, None),
        ("mid-tread 16", 1, "PCM_16", 16, "mid-rise"),
        ("mu-law", 1, "PCM_16", 4, None),
        ("mu-law", 1, "PCM_16", None, "a-law"),
        ("mid-tread 8", 1, "PCM_16", None, "mu-law"),
        ("mu-law", 1, "PCM_16", None, "mu-law-continuous"),
        ("mu-law-continuous 6", 0.7, "PCM_16", 5, "mu-law-continuous"),
    ],
)
def test_what_the_samples_contradict(
    stored: str, gain: float, subtype: str, bits: int | None, kind: str | None
) -> None:
    with pytest.raises(ed.ErgodualError, match=r"in\.wav has values that are no levels"):
        recognise("in.wav", tally(stored, gain, subtype), subtype, bits, kind)
