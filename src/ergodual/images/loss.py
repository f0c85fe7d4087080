"""What denoisers are learned by."""

from __future__ import annotations

from torch import Tensor

from ergodual.tensors import require, total


class InteriorError:
    """The mean squared error of each sample without a rim, whose pixels lack neighbours.

    Parameters
    ----------
    rim
        Its width in pixels.
    """

    def __init__(self, rim: int = 6) -> None:
        self.rim = rim

    def __call__(self, x_hat: Tensor, x_true: Tensor) -> Tensor:
        inner = slice(self.rim, -self.rim or None)
        squares = (x_hat - x_true).square()[..., inner, inner]
        require(
            squares.numel() > 0, f"The images {tuple(x_true.shape)} have no pixel within the rim."
        )
        return total(squares) / squares[0].numel()
