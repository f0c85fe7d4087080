"""
An operator of your own
=======================

A signal was sampled at irregular times. Its values on a regular grid are wanted, and the operator
from the grid to the samples is linear interpolation, which the catalogue does not have.

:Application: 1-D signals, inverse problems
:Regulariser: total variation
:Algorithm: solve, own operator
"""

import time

import matplotlib.pyplot as plt
import torch

import ergodual as ed

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
GRID, SAMPLES = 2000, 500
grid = torch.linspace(0, 1, GRID)
times = torch.rand(SAMPLES).sort().values


def curve(t: torch.Tensor) -> torch.Tensor:
    return 1.0 * (t > 0.3) - 2.0 * (t > 0.7)


observed = (curve(times) + 0.1 * torch.randn(SAMPLES))[None, None]

# %%
# The obvious way: a matrix
# -------------------------
# Two numbers in each row are not 0, and all the others are stored and multiplied too.

left = (times * (GRID - 1)).long().clamp(max=GRID - 2)
share = times * (GRID - 1) - left
matrix = torch.zeros(SAMPLES, GRID)
matrix[torch.arange(SAMPLES), left] = 1 - share
matrix[torch.arange(SAMPLES), left + 1] += share

# %%
# The better way: what it does
# ----------------------------
# ``forward`` is the only duty. The adjoint, the norm and the gradients follow from it; ``domain``
# says the shape of x where that of the samples does not.


class Interpolation(ed.Operator):
    """Values between the points of a grid, ``(batch, 1, grid)`` to ``(batch, 1, times)``."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("left", left)
        self.register_buffer("share", share)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (1 - self.share) * x[..., self.left] + self.share * x[..., self.left + 1]


class WithAdjoint(Interpolation):
    """The same with its adjoint by hand, which saves a tape, and a bound of its norm."""

    def adjoint(self, y: torch.Tensor, domain: torch.Size | None = None) -> torch.Tensor:
        x = y.new_zeros(*y.shape[:-1], GRID)
        x.index_add_(-1, self.left, (1 - self.share) * y)
        return x.index_add_(-1, self.left + 1, self.share * y)

    def norm_bound(self, domain: torch.Size | None = None) -> float:
        columns = self.adjoint(torch.ones(1, 1, SAMPLES)).max()
        return float(columns.sqrt())  # ‖A‖² ≤ ‖A‖₁ ‖A‖_∞, and each row sums to 1


x = torch.randn(1, 1, GRID)
for operator in (ed.Dense(matrix), Interpolation(), WithAdjoint()):
    sample = x.flatten(1) if isinstance(operator, ed.Dense) else x
    ed.check_operator(operator, like=sample)  # raises a sentence if something is wrong
    started = time.perf_counter()
    for _ in range(200):
        operator.adjoint(operator(sample), domain=sample.shape[1:])
    took = 5 * (time.perf_counter() - started)
    print(f"{type(operator).__name__:<14} {took:.2f} ms for K and Kᵀ")

# %%
# A curve of few steps: total variation.

problem = ed.InverseProblem(
    A=WithAdjoint(), data=ed.SquaredL2(), F=ed.L1(0.2), K=ed.Gradient(axes=-1), domain=(1, GRID)
)
solution = ed.solve(problem, observed, tol=1e-4)
figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
axis.plot(times, observed[0, 0], ".", color="0.75", label="samples")
axis.plot(grid, solution.x[0, 0], label="solved")
axis.plot(grid, curve(grid), "k:", label="true")
axis.legend()
plt.show()
