"""What a model is expected to gain on a recording: what it gained on others, which is measured when
the model is made and lies beside its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ergodual.files import read_json
from ergodual.speech.benefit import native
from ergodual.speech.found import Found

FILE = "gains.json"


class Kind(NamedTuple):
    """What gains are told apart by: the quantizer, the word length, and the dither."""

    quantizer: str
    bits: int
    dither: str


@dataclass(frozen=True)
class Gain:
    """By how many dB the SNR of restored recordings was above that of what was stored.

    Attributes
    ----------
    kind, rate
        Which recordings, and their sampling rate in Hz.
    mean, least
        Over them.
    files
        How many they were.
    """

    kind: Kind
    rate: int
    mean: float
    least: float
    files: int


class Gains:
    """A model's table.

    Parameters
    ----------
    rows
        What was measured.
    trained
        The sampling rate of the models in Hz.
    """

    def __init__(self, rows: Sequence[Gain], trained: int) -> None:
        self.rows, self._trained = rows, trained

    @staticmethod
    def of_folder(folder: Path, trained: int) -> Gains:
        """The table in a folder of models; an empty one where there is none.

        Raises
        ------
        ErgodualError
            If it is damaged.
        """
        path = folder / FILE
        if not path.exists():
            return Gains((), trained)
        rows = read_json(path, "make the models again, or remove it", "rows")["rows"]
        return Gains([Gain(Kind(**row.pop("kind")), **row) for row in rows], trained)

    def expected(self, found: Found, rate: int) -> Gain | None:
        """For what was found out about a channel or a stretch of it; None where nothing like it was
        measured.
        """
        if found.quantizer is None:
            return None
        kind, like = kind_of(found), native(rate, self._trained)
        fitting = (row for row in self.rows if native(row.rate, self._trained) == like)
        return next((row for row in fitting if row.kind == kind), None)


def kind_of(found: Found) -> Kind:
    """Where a coarse channel stands in the table."""
    assert found.quantizer is not None
    name = found.quantizer.name.split(",")[0].lower()
    return Kind(
        "shifted" if name.startswith("shifted") else name,
        word_length(found) or 0,
        found.dither,
    )


def word_length(found: Found) -> int | None:
    """The bits that suffice for the values that occur, or that number the levels of a law."""
    if found.quantizer is not None and found.quantizer.companded:
        return found.quantizer.bits
    return found.bits
