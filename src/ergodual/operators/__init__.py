"""Linear maps K: forward, adjoint, norm, and the gradient in their parameters."""

from ergodual.operators.base import Adjoint, Compose, Layout, Operator, Scaled
from ergodual.operators.blocks import Blocks
from ergodual.operators.conv import Conv
from ergodual.operators.dense import Dense
from ergodual.operators.differences import Differences, SymmetricGradient
from ergodual.operators.elementary import Diagonal, Gradient, Identity
from ergodual.operators.foreign import from_deepinv, from_pylops, from_scipy, from_torch
from ergodual.operators.framed import Framed
from ergodual.operators.sparse import Sparse
from ergodual.operators.spectral import Blur, Dct, Fourier
from ergodual.operators.stack import Stack
from ergodual.operators.stft import Stft
from ergodual.operators.tomography import Tomography
from ergodual.operators.unmatched import Unmatched
from ergodual.operators.wavelet import Wavelet
from ergodual.operators.wavelet_symmetric import SymmetricWavelet

__all__ = [
    "Adjoint",
    "Blocks",
    "Blur",
    "Compose",
    "Conv",
    "Dct",
    "Dense",
    "Diagonal",
    "Differences",
    "Fourier",
    "Framed",
    "Gradient",
    "Identity",
    "Layout",
    "Operator",
    "Scaled",
    "Sparse",
    "Stack",
    "Stft",
    "SymmetricGradient",
    "SymmetricWavelet",
    "Tomography",
    "Unmatched",
    "Wavelet",
    "from_deepinv",
    "from_pylops",
    "from_scipy",
    "from_torch",
]
