"""Convex regularisers that were learned once, for any inverse problem."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.files import write_atomically
from ergodual.functions import Huber
from ergodual.operators import Conv, Operator
from ergodual.operators.colour import Opponent
from ergodual.released import data_files, data_names
from ergodual.tensors import real

NAMES = ("kernel", "weight", "width")
GREATEST = 1e4
"""Of all numbers in a file."""
CHROMA = 2.0
"""By how much differences of colours are enlarged beside the brightness: the best of 1, 1.5, 2 and
2.5 for six of the photographs that the filters were learned from, whose best strength is then 1.
"""


class Regulariser:
    """R(x) = Σ_j λ_j φ_j(k_j ∗ x), learned from images with noise of standard deviation 1, with
    Huber functions φ_j of widths δ_j.

    For noise of standard deviation σ it is σ² R(x/σ), again Huber functions, of weights σλ_j and
    widths σδ_j: one regulariser serves all noise levels and all scales of the image's values.

    Parameters
    ----------
    kernel
        The filters, ``(filters, 1, rows, columns)``.
    weight, width
        λ and δ, ``(filters, 1, 1)``.
    card
        What is known of its training.
    """

    def __init__(self, kernel: Tensor, weight: Tensor, width: Tensor, card: dict[str, Any]) -> None:
        self.kernel, self.weight, self.width, self.card = kernel, weight, width, card

    def __repr__(self) -> str:
        count, _, rows, columns = self.kernel.shape
        return f"Regulariser({count} filters of {rows} × {columns})"

    def terms(
        self, noise: float | None = None, strength: float = 1.0, colour: bool = False
    ) -> tuple[Huber, Operator]:
        """F and K of a `Problem` or an `InverseProblem` whose data
        term is ``SquaredL2()``; none of their numbers is learned.

        Parameters
        ----------
        noise
            Its standard deviation, in the units of the image.
        strength
            What F is multiplied by; 1 is what was learned for denoising.
        colour
            For images ``(3, height, width)`` with the same noise in each channel: the filters see
            the brightness, and both differences of colours twice as large, and φ_j is of the length
            of these three. False is for ``(1, height, width)``.

        Raises
        ------
        ErgodualError
            If the noise is missing, or one of them is not positive.
        """
        if noise is None:
            raise ErgodualError(
                "The regulariser is in units of the noise, and noise is missing; give its standard "
                "deviation in the units of the image, as noise=25/255."
            )
        for name, value in (("noise", noise), ("strength", strength)):
            real(f"The regulariser's {name}", value)
            if not 0 < value < math.inf:
                raise ErgodualError(f"The regulariser's {name} is {value}; it must be positive.")
        weight, width = strength * noise * self.weight, noise * self.width
        kernel = self.kernel.unsqueeze(2) if colour else self.kernel
        K = Conv(kernel.clone(), padding="reflect").requires_grad_(False)
        if not colour:
            return Huber(weight, width), K
        return Huber(weight[..., None], width[..., None], dim=2), K @ Opponent(CHROMA)

    def save(self, path: Path) -> None:
        """To a file, in half precision."""
        tensors = {name: getattr(self, name).detach().half().contiguous() for name in NAMES}
        write_atomically(path, save(tensors, metadata={"ergodual": json.dumps(self.card)}))


def load_regulariser(name: str | Path) -> Regulariser:
    """A regulariser that comes with the package, or that of a file.

    Parameters
    ----------
    name
        ``"natural-grey"``, or a file.

    Raises
    ------
    ErgodualError
        If there is neither, or the file is none of a regulariser or damaged.

    Examples
    --------
    Its :meth:`~Regulariser.terms` are F and K of an inverse problem:

    >>> regulariser = ed.load_regulariser("natural-grey")
    >>> regulariser
    Regulariser(48 filters of 7 × 7)
    >>> F, K = regulariser.terms(noise=0.02)
    >>> A = ed.Blur(torch.ones(3, 3) / 9)
    >>> problem = ed.InverseProblem(A=A, data=ed.SquaredL2(), F=F, K=K)
    >>> x = ed.solve(problem, torch.rand(1, 1, 16, 16), tol=1e-2).x
    """
    path = Path(name)
    if not path.is_file():
        path = next(iter(data_files(f"regularisers/{name}.safetensors")), path)
    if not path.is_file():
        raise ErgodualError(
            f"There is no regulariser {str(name)!r}; give {' or '.join(shipped())}, or a file."
        )
    try:
        with safe_open(path, "pt") as file:
            card = json.loads((file.metadata() or {})["ergodual"])
            kernel, weight, width = (file.get_tensor(part).float() for part in NAMES)
    except (SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path) from error
    sizes = (len(kernel), 1, 1)
    numbers = torch.cat([t.flatten() for t in (kernel, weight, width)])
    if (
        kernel.ndim != 4
        or weight.shape != sizes
        or width.shape != sizes
        or not bool((numbers.abs() <= GREATEST).all() & (weight >= 0).all() & (width > 0).all())
    ):
        raise _damaged(path)
    return Regulariser(kernel, weight, width, card)


def shipped() -> list[str]:
    """The names of the regularisers that come with the package."""
    return [name for name in data_names("regularisers") if "." not in name]


def _damaged(path: Path) -> ErgodualError:
    return ErgodualError(
        f"{path} is no regulariser, or damaged; give a file that Regulariser.save wrote."
    )
