"""docs/errata.md, row by row: what holds, and that the printed formula does not."""

import pytest
import torch

import ergodual as ed
from ergodual.primal_dual.forward import Iteration, Trajectory
from ergodual.primal_dual.plan import Plan

ETA, DEPTH, SIGMA, TAU = 1 / 16, 6, 0.4, 0.4


def setting() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """K, x̃ and x†: noise quantized as the paper does, so that |x† − x̃| ≤ η."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(12, 8, generator=generator, dtype=torch.float64).clamp(-2.9, 2.9) / 3
    x_tilde = (
        torch.where(truth < 0, -1.0, 1.0) * ((truth.abs() / (2 * ETA)).floor() + 0.5) * 2 * ETA
    )
    K = ed.Dense.dct(8, dtype=torch.float64).matrix.detach()
    return K + 0.1 * torch.randn(8, 8, generator=generator, dtype=torch.float64), x_tilde, truth


def iterates(
    problem: ed.Problem, x_tilde: torch.Tensor, depth: int, sigma: float, tau: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """y⁰ .. y^d and r⁰ .. r^d."""
    plan = Plan.uniform(problem.instance(x_tilde), depth, sigma, tau)
    found = Trajectory.empty(plan, depth)
    Iteration(plan).record(0, depth, found)
    return found.y, found.r[1:]


def lemma_1(
    K: torch.Tensor, x_tilde: torch.Tensor, start: torch.Tensor, depth: int, dual_shift: int
) -> torch.Tensor:
    """∂L/∂K of the plain output as (7)–(10) write it, with y^{k − dual_shift} in (10); θ = 1."""
    problem = ed.Problem(ed.L1(), ed.Box(radius=ETA), ed.Dense(K))
    with torch.no_grad():
        y, r = iterates(problem, x_tilde, depth, SIGMA, TAU)
        gradient = torch.zeros_like(K)
        delta_p = delta_d = delta_bar = torch.zeros_like(x_tilde)
        for k in range(depth, 0, -1):
            mask_p, mask_d = r[k].abs() < ETA, y[k].abs() < 1
            delta_p = mask_p * (delta_p + SIGMA * delta_bar @ K + (start if k == depth else 0))
            later, delta_d = delta_d, mask_d * (delta_d - TAU * delta_p @ K.T)
            delta_bar = 2 * delta_d - later
            r_bar = 2 * r[k - 1] - r[k - 2] if k > 1 else r[0]
            gradient += SIGMA * delta_d.T @ (x_tilde + r_bar) - TAU * y[k - dual_shift].T @ delta_p
    return gradient


def exact(K: torch.Tensor, x_tilde: torch.Tensor, truth: torch.Tensor, depth: int) -> torch.Tensor:
    """The same gradient by central differences of ½‖x̂ − x†‖²."""
    gradient = torch.zeros_like(K)

    def loss(K: torch.Tensor) -> torch.Tensor:
        problem = ed.Problem(ed.L1(), ed.Box(radius=ETA), ed.Dense(K))
        return (
            ed.Unrolled(problem, depth, ed.StepSizes.fixed(SIGMA, TAU), ed.Last())(x_tilde) - truth
        ).square().sum() / 2

    with torch.no_grad():
        for i in range(K.shape[0]):
            for j in range(K.shape[1]):
                e = torch.zeros_like(K)
                e[i, j] = 1e-6
                gradient[i, j] = (loss(K + e) - loss(K - e)) / 2e-6
    return gradient


@pytest.mark.parametrize("depth", [1, 2, DEPTH])
def test_equation_10_takes_the_dual_after_the_step(depth: int) -> None:
    K, x_tilde, truth = setting()
    model = ed.Unrolled(
        ed.Problem(ed.L1(), ed.Box(radius=ETA), ed.Dense(K)),
        depth,
        ed.StepSizes.fixed(SIGMA, TAU),
        ed.Last(),
    )
    start = model(x_tilde).detach() - truth
    true = exact(K, x_tilde, truth, depth)
    assert (lemma_1(K, x_tilde, start, depth, dual_shift=0) - true).norm() <= 1e-7 * true.norm()
    assert (lemma_1(K, x_tilde, start, depth, dual_shift=1) - true).norm() >= 1e-2 * true.norm()
    (model(x_tilde) - truth).square().sum().div(2).backward()
    assert (model.problem.K.tensors()[0].grad - true).norm() <= 1e-7 * true.norm()


def test_lemma_1_starts_at_the_distance_to_the_truth() -> None:
    K, x_tilde, truth = setting()
    model = ed.Unrolled(
        ed.Problem(ed.L1(), ed.Box(radius=ETA), ed.Dense(K)),
        DEPTH,
        ed.StepSizes.fixed(SIGMA, TAU),
        ed.Last(),
    )
    x_hat, true = model(x_tilde).detach(), exact(K, x_tilde, truth, DEPTH)
    printed = x_hat - (truth - x_tilde)  # x̃ + r^d − r†
    assert (lemma_1(K, x_tilde, x_hat - truth, DEPTH, 0) - true).norm() <= 1e-7 * true.norm()
    assert (lemma_1(K, x_tilde, printed, DEPTH, 0) - true).norm() >= 1e-2 * true.norm()


def test_theorem_2_needs_the_masks() -> None:
    """K = [[1, 1], [1, −1]], x̃ = (2, 0), η = ½, x† = (1.8, 0.3).

    δ_P tends to no element of ker K = {0}.
    """
    K = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    x_tilde, truth = (
        torch.tensor([[2.0, 0.0]], dtype=torch.float64),
        torch.tensor([[1.8, 0.3]], dtype=torch.float64),
    )
    depth, step = 400, 0.99 / 2**0.5
    problem = ed.Problem(ed.L1(), ed.Box(radius=0.5), ed.Dense(K))
    with torch.no_grad():
        y, r = iterates(problem, x_tilde, depth, step, step)
        mask_d, mask_p = (y[-1].abs() < 1).double(), (r[-1].abs() < 0.5).double()
        assert mask_d.tolist() == [[0, 0]]
        assert mask_p.tolist() == [[0, 1]]
        delta_p = mask_p * (x_tilde + r[-1] - truth)
        delta_d = delta_bar = torch.zeros_like(delta_p)
        for k in range(depth - 1, depth // 2, -1):  # as long as the masks are the final ones
            assert torch.equal((y[k].abs() < 1).double(), mask_d)
            assert torch.equal((r[k].abs() < 0.5).double(), mask_p)
            later, delta_d = delta_d, mask_d * (delta_d - step * delta_p @ K.T)
            delta_bar = 2 * delta_d - later
            delta_p = mask_p * (delta_p + step * delta_bar @ K)
    torch.testing.assert_close(
        delta_p[0], torch.tensor([0.0, float(r[-1, 0, 1]) - 0.3], dtype=torch.float64)
    )
    assert (delta_p @ K.T).norm() > 0.1  # as printed: it should vanish
    assert (mask_d * (mask_p * delta_p @ K.T)).norm() == 0  # as corrected: δ_P in ker(M_D K M_P)


def test_figure_1_constrains_the_distance_to_the_observation() -> None:
    K, x_tilde, truth = setting()
    problem = ed.Problem(ed.L1(), ed.Box(radius=ETA), ed.Dense(K))
    with torch.no_grad():
        _, r = iterates(problem, x_tilde, 40, SIGMA, TAU)
        x_hat, x_bar = x_tilde + r[2], x_tilde + 2 * r[1]  # x̄ as in (5): the extrapolated iterate
    assert (truth - x_tilde).abs().max() <= ETA  # the truth is feasible
    assert (x_hat - x_tilde).abs().max() <= ETA + 1e-15  # so is every iterate
    assert (truth - x_bar).abs().max() > ETA  # as printed, the truth would not be
