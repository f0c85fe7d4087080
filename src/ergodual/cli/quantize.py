"""``ergodual quantize``: make test material."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ergodual.errors import ErgodualError


@dataclass(frozen=True)
class Quantize:
    """Quantize a recording coarsely, to make test material; OUT has 24 bits, which hold every
    level.
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IN")]
    """A WAV, FLAC, AIFF, AU, CAF, W64, RF64 or raw file."""
    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Where the result goes."""
    bits: int = 4
    """Word length, 1 to 16; mu-law and a-law have 8 whatever is said."""
    quantizer: Literal[
        "mid-rise", "mid-tread", "floor", "truncate", "mu-law", "a-law", "mu-law-continuous"
    ] = "mid-rise"
    """Its kind; floor cuts down instead of rounding, truncate towards 0; mu-law-continuous has no
    segments."""
    normalize: bool = False
    """Divide by the peak first, so that the quantizer is used to the full."""
    dither: float = 0.0
    """Width, in steps, of triangular noise that is added first: 0 for none, 2 for the usual one."""
    seed: int = 0
    """Of the noise."""
    raw: str | None = None
    """What the samples of an IN without a header are, as RATE,CHANNELS,ENCODING, for instance
    16000,1,s16le.
    """

    def run(self) -> None:
        """Check, and quantize."""
        from ergodual.cli.ranges import check_seed
        from ergodual.files import sweep
        from ergodual.speech.convert import quantize_file
        from ergodual.speech.formats import Raw
        from ergodual.speech.quantizers import MidRise, quantizer_of

        MidRise(self.bits)
        check_seed(self.seed)
        if not 0 <= self.dither < 1e3:
            raise ErgodualError(
                f"The value of --dither is {self.dither}; it must be at least 0 and below 1000."
            )
        sweep(self.target.parent)
        quantize_file(
            self.source,
            self.target,
            quantizer_of(self.quantizer, self.bits),
            self.normalize,
            self.dither,
            self.seed,
            None if self.raw is None else Raw.parse(self.raw),
        )
