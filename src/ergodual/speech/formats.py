"""Which files are audio, by the endings of their names, and samples without a header."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ergodual.errors import ErgodualError

CONTAINERS = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".aif": "AIFF",
    ".aiff": "AIFF",
    ".aifc": "AIFF",
    ".au": "AU",
    ".snd": "AU",
    ".caf": "CAF",
    ".w64": "W64",
    ".rf64": "RF64",
    ".bw64": "RF64",
    ".raw": "RAW",
}
"""What libsndfile calls them."""
ENDINGS = tuple(CONTAINERS)
LARGEST = 0xF0000000
"""Bytes of samples that a WAV file surely holds; RF64 holds more."""

Endian = Literal["FILE", "LITTLE", "BIG"]

PLAIN = {
    "u8": "PCM_U8",
    "s8": "PCM_S8",
    "s16": "PCM_16",
    "s24": "PCM_24",
    "s32": "PCM_32",
    "f32": "FLOAT",
    "f64": "DOUBLE",
    "mu-law": "ULAW",
    "mulaw": "ULAW",
    "ulaw": "ULAW",
    "a-law": "ALAW",
    "alaw": "ALAW",
}
ENCODINGS: dict[str, tuple[str, Endian]] = {
    **{name: (subtype, "LITTLE") for name, subtype in PLAIN.items()},
    **{subtype.lower(): (subtype, "LITTLE") for subtype in PLAIN.values()},
    **{f"{name}le": (PLAIN[name], "LITTLE") for name in ("s16", "s24", "s32", "f32", "f64")},
    **{f"{name}be": (PLAIN[name], "BIG") for name in ("s16", "s24", "s32", "f32", "f64")},
}


@dataclass(frozen=True)
class Raw:
    """Samples without a header.

    Attributes
    ----------
    rate
        In Hz.
    channels
        How many.
    subtype
        The format of the samples, as libsndfile names it.
    endian
        The order of their bytes.
    """

    rate: int
    channels: int
    subtype: str
    endian: Endian

    @staticmethod
    def parse(text: str) -> Raw:
        """From RATE,CHANNELS,ENCODING, for instance 16000,1,s16le.

        Raises
        ------
        ErgodualError
            If it is anything else.
        """
        rate, channels, encoding = (*(part.strip() for part in text.split(",")), "", "", "")[:3]
        if (
            text.count(",") != 2
            or not (rate.isdecimal() and channels.isdecimal())
            or encoding.lower() not in ENCODINGS
            or not 1 <= int(rate) <= 2**31 - 1
            or not 1 <= int(channels) <= 1024
        ):
            raise ErgodualError(
                f"The raw format is {text!r}; give RATE,CHANNELS,ENCODING, for instance "
                "16000,1,s16le, with an encoding out of u8, s8, s16le, s24le, s32le, f32le, f64le "
                "(be for big-endian), mu-law and a-law."
            )
        return Raw(int(rate), int(channels), *ENCODINGS[encoding.lower()])


def container_of(path: Path) -> str:
    """What libsndfile calls a file of this name.

    Raises
    ------
    ErgodualError
        If the name ends otherwise.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ErgodualError(
            f"{path} does not end in .wav or .flac, nor in {', '.join(ENDINGS[2:-1])} or "
            f"{ENDINGS[-1]}; give it a name that does."
        )
    return CONTAINERS[path.suffix.lower()]
