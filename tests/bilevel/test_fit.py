"""Learning from two tensors: it lowers the loss, resumes bit for bit, and stops where numbers stop
being finite.
"""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import ergodual as ed
from ergodual.bilevel import HalfSquared, History, fit, learning_rate
from ergodual.bilevel.checkpoint import Checkpoint
from ergodual.bilevel.data import shuffled
from ergodual.speech.quantizers import MidRise

pytestmark = pytest.mark.filterwarnings(
    "ignore::ergodual.NotDifferentiableWarning"
)  # the DCT of quantized frames has ties
N = 16


def pairs(count: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth frames, coarsely quantized."""
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn(count, 4, generator=generator) @ ed.Dense.dct(N).matrix.detach()[:4]
    truth = smooth / smooth.abs().amax(1, keepdim=True)
    return MidRise(3).quantize(truth), truth


def model(
    output: ed.Last | ed.Ergodic | None = None, steps: ed.StepSizes | None = None
) -> ed.Unrolled:
    return ed.Unrolled(ed.Problem(ed.L1(), ed.Box(radius=2**-3), ed.Dense.dct(N)), 4, steps, output)


def comparable(history: History) -> list[dict[str, object]]:
    return [{**row, "seconds": None} for row in history.as_dicts()]


LEARNERS = {
    "sgd": lambda: (model(), {"optimizer": "sgd", "lr": 1.0}),
    "adam, all": lambda: (
        model(ed.Ergodic("learned"), ed.StepSizes.learned(per_iteration=True)),
        {"optimizer": "adam", "lr": 1e-2},
    ),
    "relative steps": lambda: (
        model(steps=ed.StepSizes.learned(relative=True)),
        {"optimizer": "adam", "lr": 1e-2},
    ),
    "weighted": lambda: (
        model(ed.Last(), ed.StepSizes.weighted(3.0)),
        {"optimizer": "adam", "lr": 1e-2, "schedule": "cosine"},
    ),
    "solved": lambda: (ed.Solved(model().problem), {"optimizer": "adam", "lr": 1e-3}),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_learning_lowers_the_loss(name: str) -> None:
    learner, options = LEARNERS[name]()
    history = fit(learner, *pairs(), epochs=5, dev=pairs(seed=1), **options)
    assert [epoch.epoch for epoch in history.epochs] == list(range(6))
    assert history.epochs[-1].train_loss < 0.95 * history.epochs[0].train_loss
    assert history.epochs[-1].dev_loss < history.epochs[0].dev_loss
    assert history.epochs[0].gradient_norm is None
    assert all(epoch.gradient_norm > 0 for epoch in history.epochs[1:])
    assert math.isclose(
        history.epochs[-1].norm, float(learner.problem.K.norm().detach()), rel_tol=1e-6
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_resumed_is_uninterrupted_bit_for_bit(name: str, tmp_path: Path) -> None:
    learner, options = LEARNERS[name]()
    whole = fit(learner, *pairs(), epochs=4, **options)

    class Killed(Exception):
        pass

    def kill(_loss: float) -> None:
        nonlocal steps
        steps += 1
        if steps == 17:  # in the middle of epoch 3
            raise Killed

    steps, file = 0, tmp_path / "checkpoint.pt"
    first, _ = LEARNERS[name]()
    with pytest.raises(Killed):
        fit(first, *pairs(), epochs=4, checkpoint=file, on_step=kill, **options)
    second, _ = LEARNERS[name]()
    seen: list[int] = []
    resumed = fit(
        second,
        *pairs(),
        epochs=4,
        checkpoint=file,
        resume=True,
        on_epoch=lambda e: seen.append(e.epoch),
        **options,
    )
    assert seen == [3, 4]
    assert comparable(resumed) == comparable(whole)
    for ours, theirs in zip(second.parameters(), learner.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    again = fit(
        second, *pairs(), epochs=4, checkpoint=file, resume=True, **options
    )  # nothing is left to do
    assert comparable(again) == comparable(whole)


@pytest.mark.parametrize("name", LEARNERS)
def test_resumed_in_the_middle_of_an_epoch(name: str, tmp_path: Path) -> None:
    """Killed after mini-batch 5 of epoch 2, of which the first four are in the checkpoint."""

    def learn(learner: ed.Unrolled, file: str, **more: object) -> History:
        return fit(
            learner,
            *pairs(),
            epochs=3,
            checkpoint=tmp_path / file,
            checkpoint_every=2,
            **options,
            **more,
        )

    learner, options = LEARNERS[name]()
    whole = learn(learner, "whole.pt")
    losses: list[float] = []

    def kill(loss: float) -> None:
        losses.append(loss)
        if len(losses) == 7 + 5:
            raise KeyboardInterrupt

    first, _ = LEARNERS[name]()
    with pytest.raises(KeyboardInterrupt):
        learn(first, "broken.pt", on_step=kill)
    assert Checkpoint.load(tmp_path / "broken.pt").progress.step == 4
    second, _ = LEARNERS[name]()
    seen: list[float] = []
    assert comparable(learn(second, "broken.pt", resume=True, on_step=seen.append)) == comparable(
        whole
    )
    assert len(seen) == 3 + 7
    assert seen[0] == losses[-1]  # mini-batch 5 again
    for ours, theirs in zip(second.parameters(), learner.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(runs))  # the global generator must not matter
        learner = model()
        runs.append(
            [epoch.train_loss for epoch in fit(learner, *pairs(), epochs=2, seed=seed).epochs]
        )
    assert runs[0] == runs[1] != runs[2]
    orders = {
        tuple(shuffled(50, 2**63 - 1, 1, number).tolist()) for number in range(3)
    }  # as large as --seed may be
    assert len(orders) == 3


def test_numbers_that_are_not_finite_stop_the_run_and_keep_the_last_good_model() -> None:
    learner = model()
    truth = pairs()[1].clone()
    fit(learner, pairs()[0], truth, epochs=1)
    good = learner.problem.K.matrix.detach().clone()

    def broken(x_hat: Tensor, x_true: Tensor) -> Tensor:
        loss = (x_hat - x_true).square().sum(1)
        return loss * torch.nan if torch.is_grad_enabled() else loss

    with pytest.raises(
        ed.NotFiniteError, match=r"epoch 1 at the learning rate 0\.3.*lower the learning rate"
    ) as caught:
        fit(learner, pairs()[0], truth, epochs=2, lr=0.3, loss=broken)
    assert "\n" not in str(caught.value)
    assert torch.equal(learner.problem.K.matrix, good)


def test_a_learning_rate_beyond_all_bounds() -> None:
    learner = model()

    def steep(x_hat: Tensor, x_true: Tensor) -> Tensor:
        return 1e12 * (x_hat - x_true).square().sum(1)

    with pytest.raises(ed.NotFiniteError, match="learning rate 1e\\+29"):
        fit(learner, *pairs(), epochs=3, lr=1e29, schedule="constant", loss=steep)
    assert learner.problem.K.matrix.isfinite().all()


@pytest.mark.parametrize(
    "adjoint",
    [ed.Reverse(), ed.Checkpointed(), ed.Tape()],
    ids=lambda adjoint: type(adjoint).__name__,
)
def test_learned_step_sizes_that_vanish(adjoint: ed.Reverse | ed.Tape) -> None:
    learner = model(steps=ed.StepSizes.learned())
    learner.adjoint = adjoint
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    with pytest.raises(
        ed.NotFiniteError,
        match="epoch 1 at the learning rate 10000: .*the last good epoch; lower the learning rate",
    ):
        fit(learner, *pairs(), epochs=2, lr=1e4)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())


def test_frozen_parts_stay() -> None:
    learner = model(steps=ed.StepSizes.learned())
    learner.problem.K.requires_grad_(False)
    before = learner.problem.K.matrix.clone()
    fit(learner, *pairs(), epochs=1)
    assert torch.equal(learner.problem.K.matrix, before)
    learner.requires_grad_(False)
    with pytest.raises(ed.ErgodualError, match="nothing to learn"):
        fit(learner, *pairs(), epochs=1)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("sqrt", [1, 2**-0.5, 3**-0.5]),
        ("inverse", [1, 1 / 2, 1 / 3]),
        ("constant", [1, 1, 1]),
        ("cosine", [1, 0.75, 0.25]),
    ]
    + [(lambda epoch: 5.0 - epoch, [5, 4, 3])],
)
def test_schedules(name: str, rates: list[float]) -> None:
    assert [learning_rate(name, 1.0, epoch, 3) for epoch in range(3)] == pytest.approx(rates)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "number of epochs is 0"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"lr": -1.0}, "learning rate is -1"),
        ({"lr": math.nan}, "learning rate is nan"),
        ({"lr": 1e30}, "learning rate is 1e\\+30"),
        ({"warmup": -1}, "warm-up takes -1 mini-batches"),
        ({"optimizer": "lbfgs"}, "'lbfgs'"),
        ({"schedule": "linear"}, "'linear'"),
        ({"schedule": lambda epoch: math.nan}, "nan for epoch 0"),
    ],
)
def test_refusals(options: dict, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        fit(model(), *pairs(), **options)
    with pytest.raises(ed.ErgodualError, match="shape"):
        fit(model(), pairs(10)[0], pairs(11)[1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "not a whole checkpoint"),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "not a whole checkpoint"),
        (lambda path: path.write_bytes(b""), "not a whole checkpoint"),
        (lambda path: path.write_text("text"), "not a whole checkpoint"),
    ],
)
def test_bad_checkpoints(spoil, said: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    fit(model(), *pairs(), epochs=1, checkpoint=file)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    spoil(file)
    with pytest.raises(ed.ErgodualError, match=said) as caught:
        fit(model(), *pairs(), epochs=1, checkpoint=file, resume=True)
    assert str(file) in str(caught.value)


def test_a_checkpoint_of_another_training(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    fit(model(), *pairs(), epochs=1, checkpoint=file, seed=3)
    with pytest.raises(ed.ErgodualError, match="seed was 3 and is now 4"):
        fit(model(), *pairs(), epochs=1, checkpoint=file, resume=True, seed=4)
    assert Checkpoint.load(file).identity["seed"] == 3


def test_a_network_on_images_behind_a_strided_operator_learns() -> None:
    torch.manual_seed(0)
    x_true = torch.rand(8, 1, 8, 8)
    A = ed.Conv(torch.full((1, 1, 2, 2), 0.25), stride=2, padding="none")
    A.requires_grad_(False)

    def problem() -> ed.InverseProblem:
        K = ed.Conv(torch.randn(3, 1, 3, 3) / 9)
        data, F, G = ed.SquaredL2(), ed.L1(0.01), ed.NonNegative()
        return ed.InverseProblem(A=A, data=data, F=F, K=K, G=G, domain=(1, 8, 8))

    model = ed.Unrolled([problem() for _ in range(3)], steps=ed.StepSizes.balanced(by_part=True))
    history = fit(model, A(x_true), x_true, epochs=3, batch_size=4, optimizer="adam", lr=0.01)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss


def test_an_estimate_of_another_shape_is_refused() -> None:
    with pytest.raises(ed.ErgodualError, match=r"shape \(2, 1, 3\) .* make them alike"):
        HalfSquared()(torch.zeros(2, 1, 3), torch.zeros(2, 3))
