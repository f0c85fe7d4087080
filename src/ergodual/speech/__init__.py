"""Speech: quantizers and cells; audio files, frames, corpora, measures and models."""

from ergodual.speech.cells import Cells, InStretches, Known, OnLattice
from ergodual.speech.detected import Detected
from ergodual.speech.found import Found
from ergodual.speech.quantizers import (
    Levels,
    MidRise,
    a_law,
    cut,
    mid_rise,
    mid_tread,
    mu_law,
    mu_law_continuous,
    uniform,
)

__all__ = [
    "Cells",
    "Detected",
    "Found",
    "InStretches",
    "Known",
    "Levels",
    "MidRise",
    "OnLattice",
    "a_law",
    "cut",
    "mid_rise",
    "mid_tread",
    "mu_law",
    "mu_law_continuous",
    "uniform",
]
