"""Ergodual learns the regulariser of a convex reconstruction problem.

It differentiates exactly through the primal-dual algorithm that solves it.
"""

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if (
    sys.orig_argv[1:3] == ["-m", "ergodual"] or Path(sys.argv[0]).name == "ergodual"
) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # what follows takes the command line seconds, in which Ctrl-C has nothing to tidy up
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))

from ergodual.checks import check_function, check_operator
from ergodual.errors import (
    ErgodualError,
    NotConvergedWarning,
    NotDifferentiableWarning,
    NotFiniteError,
    OtherProductsWarning,
    StepSizeWarning,
    lacking,
)
from ergodual.functions import (
    L1,
    L2,
    L21,
    Box,
    Conjugate,
    ElasticNet,
    Function,
    GroupSum,
    Huber,
    KullbackLeibler,
    L1Ball,
    L2Ball,
    LearnedProx,
    Linear,
    LInf,
    NonNegative,
    Nuclear,
    Quadratic,
    SeparableSum,
    Simplex,
    Spline,
    SquaredL2,
    Tilted,
    Translated,
    Zero,
)
from ergodual.memory import reuse_memory
from ergodual.operators import (
    Adjoint,
    Blocks,
    Blur,
    Compose,
    Conv,
    Dct,
    Dense,
    Diagonal,
    Differences,
    Fourier,
    Framed,
    Gradient,
    Identity,
    Operator,
    Scaled,
    Sparse,
    Stack,
    Stft,
    SymmetricGradient,
    SymmetricWavelet,
    Tomography,
    Unmatched,
    Wavelet,
    from_deepinv,
    from_pylops,
    from_scipy,
    from_torch,
)
from ergodual.primal_dual import (
    Checkpointed,
    Entropy,
    Ergodic,
    Last,
    LearnedPrimalDual,
    Preconditioned,
    Relaxed,
    Reverse,
    Steady,
    StepSizes,
    Tape,
    Truncated,
    Unrolled,
)
from ergodual.problem import InverseProblem, Problem
from ergodual.products import products_in_use, use_products
from ergodual.solving import (
    ChambollePock,
    Direct,
    Implicit,
    Minres,
    Neumann,
    OneStep,
    Piggyback,
    Restarted,
    Solution,
    Solved,
    solve,
    to_deepinv,
)

if TYPE_CHECKING:
    from ergodual.images.regulariser import load_regulariser
    from ergodual.speech.dequantizer import Dequantizer
    from ergodual.speech.detected import detect

__version__ = "0.1.0"

__all__ = [
    "Adjoint",
    "Blocks",
    "Blur",
    "Box",
    "ChambollePock",
    "Checkpointed",
    "Compose",
    "Conjugate",
    "Conv",
    "Dct",
    "Dense",
    "Dequantizer",
    "Diagonal",
    "Differences",
    "Direct",
    "ElasticNet",
    "Entropy",
    "Ergodic",
    "ErgodualError",
    "Fourier",
    "Framed",
    "Function",
    "Gradient",
    "GroupSum",
    "Huber",
    "Identity",
    "Implicit",
    "InverseProblem",
    "KullbackLeibler",
    "L1",
    "L1Ball",
    "L2",
    "L21",
    "L2Ball",
    "LInf",
    "Last",
    "LearnedPrimalDual",
    "LearnedProx",
    "Linear",
    "Minres",
    "Neumann",
    "NonNegative",
    "Nuclear",
    "NotConvergedWarning",
    "NotDifferentiableWarning",
    "NotFiniteError",
    "OneStep",
    "Operator",
    "OtherProductsWarning",
    "Piggyback",
    "Preconditioned",
    "Problem",
    "Quadratic",
    "Relaxed",
    "Restarted",
    "Reverse",
    "Scaled",
    "SeparableSum",
    "Simplex",
    "Solution",
    "Solved",
    "Sparse",
    "Spline",
    "SquaredL2",
    "Stack",
    "Steady",
    "StepSizeWarning",
    "StepSizes",
    "Stft",
    "SymmetricGradient",
    "SymmetricWavelet",
    "Tape",
    "Tilted",
    "Tomography",
    "Translated",
    "Truncated",
    "Unmatched",
    "Unrolled",
    "Wavelet",
    "Zero",
    "check_function",
    "check_operator",
    "from_deepinv",
    "from_pylops",
    "from_scipy",
    "from_torch",
    "detect",
    "load_regulariser",
    "products_in_use",
    "reuse_memory",
    "solve",
    "to_deepinv",
    "use_products",
]


# what needs the extra "speech" or is seldom needed, loaded when it is first used
LATER = {
    "Dequantizer": "ergodual.speech.dequantizer",
    "detect": "ergodual.speech.detected",
    "load_regulariser": "ergodual.images.regulariser",
}


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module 'ergodual' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(LATER[name]), name)
    except ModuleNotFoundError as error:
        raise lacking(name, error) from error
