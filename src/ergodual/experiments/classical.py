"""What dequantizers are measured against: least squares, the DCT, a Gabor frame, a multilayer
perceptron.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ergodual.bilevel.data import shuffled
from ergodual.functions import L1, Box
from ergodual.operators import Dense
from ergodual.primal_dual import Last, StepSizes, Unrolled
from ergodual.problem import Problem

CONVERGED = 300
"""Iterations after which the DCT's solution no longer changes in the second digit of the SNR."""
RIDGE = 1e-6
"""Of the least-squares estimator, relative to the mean variance of a sample."""


class Linear:
    """The linear least-squares estimator x̂ = W x̃ of frames, W = E[x† x̃ᵀ] E[x̃ x̃ᵀ]⁻¹, projected
    onto the cells.

    Parameters
    ----------
    x_tilde, x_true
        Frames to learn W from, ``(count, n)``, in units of half a step.
    """

    def __init__(self, x_tilde: Tensor, x_true: Tensor) -> None:
        observed, true = x_tilde.double(), x_true.double()
        covariance = observed.T @ observed
        covariance += (
            RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
        )
        self._matrix = torch.linalg.solve(covariance, observed.T @ true).float()

    def __call__(self, x_tilde: Tensor, G: Box) -> Tensor:
        estimate: Tensor = x_tilde + G.prox(x_tilde @ self._matrix - x_tilde, 1.0)
        return estimate


class Perceptron(nn.Module):
    """x̂ = x̃ + P(V ρ(W x̃ + b) + c): one hidden layer of rectified linear units, and P the
    projection onto the cells.

    Parameters
    ----------
    n
        Samples a frame.
    parameters
        How many there are, about; what is left of them after the biases goes to the hidden layer.
    """

    def __init__(self, n: int, parameters: int) -> None:
        super().__init__()
        hidden = max(1, (parameters - n) // (2 * n + 1))
        self._layers = nn.Sequential(nn.Linear(n, hidden), nn.ReLU(), nn.Linear(hidden, n))

    def forward(self, x_tilde: Tensor, G: Box) -> Tensor:
        estimate: Tensor = x_tilde + G.prox(self._layers(x_tilde), 1.0)
        return estimate

    def learn(
        self, x_tilde: Tensor, x_true: Tensor, epochs: int, batch: int = 64, lr: float = 1e-3
    ) -> None:
        """Adam on ½‖x̂ − x†‖² before the projection, which would hide the gradient; a cosine takes
        lr to 0.
        """
        stepper = torch.optim.Adam(self.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, epochs)
        for epoch in range(epochs):
            for rows in torch.split(shuffled(len(x_tilde), 0, epoch), batch):
                stepper.zero_grad()
                x = x_tilde[rows]
                loss = (x + self._layers(x) - x_true[rows]).square().sum(-1).mean() / 2
                loss.backward()
                stepper.step()
            schedule.step()


def converged_dct(n: int) -> Unrolled:
    """ℓ1 of the DCT, solved by so many iterations that more of them change nothing."""
    return Unrolled(
        Problem(L1(), Box(radius=1.0), Dense.dct(n)), CONVERGED, StepSizes.balanced(), Last()
    )


def gabor(
    x_tilde: Tensor, lower: Tensor, upper: Tensor, length: int = 1024, iterations: int = 500
) -> Tensor:
    """ℓ1 analysis with a Gabor frame on the whole signal: min ‖A x‖₁ over lower ≤ x ≤ upper, by
    Chambolle–Pock.

    A is the short-time Fourier transform with Hann's window and an overlap of 3/4, scaled to a
    tight frame (AᵀA = I); the strongest convex method of Záviška, Rajmic, Mokrý, "Audio
    dequantization using (co)sparse (non)convex methods", ICASSP 2021.

    Parameters
    ----------
    x_tilde, lower, upper
        A signal and its cells, ``(length,)``, in units of half a step.
    length
        Of the window, in samples.
    iterations
        How many, with σ = τ = 1.
    """
    hop, n = length // 4, len(x_tilde)
    window = torch.hann_window(length, dtype=x_tilde.dtype)
    # with all frames that reach into the signal, the squares of their windows add up to 3/2
    # everywhere
    scale = (1.5 * length) ** -0.5

    def analyse(x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (length, length))
        spectrum: Tensor = scale * torch.stft(
            padded, length, hop, window=window, pad_mode="constant", return_complex=True
        )
        return spectrum

    def synthesise(y: Tensor) -> Tensor:
        signal: Tensor = torch.istft(y / scale, length, hop, window=window, length=n + 2 * length)
        return signal[length:-length]

    x = extrapolated = x_tilde
    dual = torch.zeros_like(analyse(x))
    for _ in range(iterations):
        dual = dual + analyse(extrapolated)
        dual = dual / dual.abs().clamp(min=1)
        previous, x = x, torch.clamp(x - synthesise(dual), lower, upper)
        extrapolated = 2 * x - previous
    return x
