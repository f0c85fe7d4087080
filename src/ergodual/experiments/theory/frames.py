"""The frames that the theory's experiments look at."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ergodual.bilevel.data import Pair, shuffled
from ergodual.errors import ErgodualError, NotConvergedWarning
from ergodual.experiments.theory.setting import Setting
from ergodual.functions import L1, Box
from ergodual.operators import Dense
from ergodual.problem import Problem
from ergodual.solving import Solution, solve
from ergodual.speech.corpora import Corpus
from ergodual.speech.quantizers import MidRise

HELD_OUT_FILES = 0.1
TOLERANCE = 1e-11
"""Of solutions in float64 that count as exact; those that are not reached are said by their errors.
"""


@dataclass(frozen=True)
class Frames:
    """Observations x̃ and ground truths x†.

    Attributes
    ----------
    learned, held_out
        From different files.
    described
        How many of what there are.
    """

    learned: Pair
    held_out: Pair
    described: dict[str, Any]

    def sounding(self, count: int, bits: int) -> Pair:
        """The first frames to learn from that have some |x̃| > Δ/2, in float64.

        In the others x = 0 is feasible and optimal.
        """
        x_tilde, x_true = self.learned
        rows = (x_tilde.abs() > MidRise(bits).radius).any(1).nonzero()[:count, 0]
        if not len(rows):
            raise ErgodualError(
                "Every frame of the corpus is quantized to near silence; give recordings with "
                "louder parts or more --bits."
            )
        return x_tilde[rows].double(), x_true[rows].double()


def draw_frames(corpus: Corpus, setting: Setting) -> Frames:
    """Frames to learn from, and frames of one file in ten, at least one, that are held out.

    Raises
    ------
    ErgodualError
        If the corpus has one recording only.
    """
    if corpus.files < 2:
        raise ErgodualError(
            "The corpus has one recording; give two at least, so that one can be held out."
        )
    order = shuffled(corpus.files, setting.seed, 1).tolist()
    away = set(order[: max(1, round(HELD_OUT_FILES * corpus.files))])
    begins = [0, *corpus.ends[:-1]]
    held = torch.zeros(len(corpus), dtype=torch.bool)
    for file in away:
        held[begins[file] : corpus.ends[file]] = True

    def pair(of: Tensor, count: int) -> Pair:
        rows = of.nonzero()[:, 0]
        truth = corpus.frames[rows[shuffled(len(rows), setting.seed, 2)[:count]]]
        return MidRise(setting.bits).quantize(truth), truth

    learned, held_out = pair(~held, setting.frames), pair(held, setting.held_out)
    described = {
        "rate": corpus.rate,
        "files": corpus.files,
        "files_held_out": len(away),
        "frames_learned": len(learned[0]),
        "frames_held_out": len(held_out[0]),
    }
    return Frames(learned, held_out, described)


def problem_of(
    setting: Setting, K: Tensor | None = None, dtype: torch.dtype = torch.float32
) -> Problem:
    """The paper's problem, with the DCT if no operator is given."""
    operator = Dense.dct(setting.frame, dtype=dtype) if K is None else Dense(K.to(dtype))
    return Problem(L1(), Box(radius=MidRise(setting.bits).radius), operator)


def solved(problem: Problem, x_tilde: Tensor, setting: Setting) -> Solution:
    """The solution to :data:`TOLERANCE`, or as near as 20 times the largest depth comes; its errors
    are for the reader.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)
        return solve(problem, x_tilde, TOLERANCE, max_iterations=20 * setting.deepest)
