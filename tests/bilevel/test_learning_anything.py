"""What ``fit`` takes: any module, loader, optimizer and loss; and what it refuses."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import ergodual as ed
from ergodual.bilevel import History, fit, mean_loss, project_
from ergodual.bilevel.checkpoint import Checkpoint

N = 12


def pairs(count: int = 60, seed: int = 0, n: int = N) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn(count, 1, n, generator=generator).cumsum(-1)
    return smooth + 0.3 * torch.randn(count, 1, n, generator=generator), smooth


class Network(nn.Module):
    """A layer of ours in the middle, with dropout and a normalisation that remembers batches."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv1d(1, 2, 3, padding=1)
        problem = ed.Problem(ed.L1(nn.Parameter(torch.tensor(0.1))), ed.SquaredL2(), ed.Gradient())
        self.middle = ed.Unrolled(problem, 5)
        self.after = nn.Sequential(
            nn.Dropout(0.2), nn.BatchNorm1d(2), nn.Conv1d(2, 1, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.middle(self.before(x)))


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """Draws its noise anew each time that it is read."""

    def __init__(self) -> None:
        self.truth = pairs()[1]

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.truth[i] + 0.3 * torch.randn(1, N), self.truth[i]


def network() -> Network:
    torch.manual_seed(0)
    return Network()


def layer(weight: float = 0.1, depth: int = 4) -> ed.Unrolled:
    K = ed.Dense(torch.eye(N) - torch.eye(N).roll(1, 0))
    return ed.Unrolled(
        ed.Problem(ed.L1(nn.Parameter(torch.tensor(weight))), ed.SquaredL2(), K), depth
    )


def flat(count: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    return tuple(t[:, 0] for t in pairs(count, seed))  # type: ignore[return-value]


def comparable(history: History) -> list[dict[str, object]]:
    return [{**row, "seconds": None} for row in history.as_dicts()]


ADAMW = functools.partial(torch.optim.AdamW, lr=1e-2)


def loader(**options: Any) -> DataLoader[Any]:
    return DataLoader(Noisy(), batch_size=8, shuffle=True, **options)


LOADERS: dict[str, Callable[[], DataLoader[Any]]] = {
    "drawn from torch": loader,
    "with a generator": lambda: loader(generator=torch.Generator().manual_seed(7)),
    "without the last batch": lambda: loader(drop_last=True),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_network_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    def learn(model: Network, file: str, **more: Any) -> History:
        return fit(
            model,
            LOADERS[name](),
            dev=loader(),
            epochs=3,
            optimizer=ADAMW,
            loss=nn.MSELoss(),
            checkpoint=str(tmp_path / file),
            checkpoint_every=2,
            **more,
        )

    whole = network()
    expected = learn(whole, "whole.pt")
    assert expected.epochs[-1].train_loss < expected.epochs[0].train_loss
    steps = 0

    def kill(_: float) -> None:
        nonlocal steps
        steps += 1
        if steps == 13:  # in the middle of epoch 2
            raise KeyboardInterrupt

    first = network()
    with pytest.raises(KeyboardInterrupt):
        learn(first, "broken.pt", on_step=kill)
    torch.manual_seed(99)  # what else draws must not matter
    second = network()
    torch.randn(5)
    assert comparable(learn(second, "broken.pt", resume=True)) == comparable(expected)
    for name_, t in second.state_dict().items():
        assert torch.equal(t, whole.state_dict()[name_]), name_


def test_a_loader_leaves_the_generators_as_they_were() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fit(network(), loader(), epochs=1, optimizer=ADAMW, loss=nn.L1Loss())
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_mode_of_a_model_is_kept() -> None:
    model = network().eval()
    fit(model, *pairs(), epochs=1, loss=nn.MSELoss(), lr=1e-3)
    assert not model.training


@pytest.mark.parametrize(
    ("loss", "alike"),
    [
        (nn.MSELoss(), lambda x, y: (x - y).square().flatten(1).mean(1)),
        (nn.L1Loss(), lambda x, y: (x - y).abs().flatten(1).mean(1)),
        (nn.MSELoss(reduction="sum"), lambda x, y: (x - y).square().flatten(1).sum(1)),
        (nn.SmoothL1Loss(), lambda x, y: nn.SmoothL1Loss(reduction="none")(x, y).mean(1)),
    ],
)
def test_a_loss_of_torch_is_what_torch_says(loss: Any, alike: Any) -> None:
    x, truth = flat(50)
    model = layer()
    direct = float(loss(model(x), truth).detach())
    total = direct if getattr(loss, "reduction", "") != "sum" else direct / len(x)
    assert mean_loss(model, x, truth, loss) == pytest.approx(total, rel=1e-5)
    ours, theirs = layer(), layer()
    for learner, of in ((ours, loss), (theirs, alike)):
        fit(learner, x, truth, epochs=2, batch_size=16, lr=1e-3, loss=of)
    torch.testing.assert_close(ours.problem.K.matrix, theirs.problem.K.matrix)
    by_hand = layer()
    stepper = torch.optim.SGD(by_hand.parameters(), lr=1e-3)
    stepper.zero_grad()
    (
        loss(by_hand(x), truth) / (len(x) if getattr(loss, "reduction", "") == "sum" else 1)
    ).backward()
    stepper.step()
    once = layer()
    fit(once, x, truth, epochs=1, batch_size=50, lr=1e-3, schedule="constant", loss=loss)
    torch.testing.assert_close(once.problem.K.matrix, by_hand.problem.K.matrix)


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.AdamW,
        functools.partial(torch.optim.LBFGS, max_iter=4, line_search_fn="strong_wolfe"),
        lambda params: torch.optim.SGD(params, lr=1e-3, momentum=0.9),
        lambda params: torch.optim.RMSprop([{"params": list(params), "lr": 1e-3}]),
    ],
)
def test_any_optimizer(optimizer: Any) -> None:
    history = fit(
        layer(), *flat(), epochs=4, optimizer=optimizer, schedule="constant", loss=nn.MSELoss()
    )
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss


def test_rates_of_groups_keep_their_ratio() -> None:
    model = layer()

    def factory(params: Any) -> torch.optim.Optimizer:
        first, *others = list(params)
        made = torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": others, "lr": 0.025}])
        groups.append(made.param_groups)
        return made

    groups: list[Any] = []
    history = fit(model, *flat(), epochs=4, optimizer=factory)
    assert [group["lr"] for group in groups[0]] == pytest.approx([0.05, 0.0125])
    assert [epoch.lr for epoch in history.epochs[1:]] == pytest.approx(
        [0.1 / math.sqrt(k) for k in (1, 2, 3, 4)]
    )


def test_the_best_parameters_are_kept() -> None:
    def best_of(**more: Any) -> tuple[ed.Unrolled, History]:
        model = layer()
        rates = [1e-3, 1e-2, 3.0]  # the last one is too much
        return model, fit(
            model, *flat(), dev=flat(seed=1), epochs=3, schedule=lambda e: rates[e], **more
        )

    model, history = best_of()
    losses = [epoch.dev_loss for epoch in history.epochs]
    assert min(losses) < losses[-1]
    assert mean_loss(model, *flat(seed=1)) == pytest.approx(min(losses))
    model, history = best_of(keep="last")
    assert mean_loss(model, *flat(seed=1)) == pytest.approx(history.epochs[-1].dev_loss)


PROJECTED: dict[str, Callable[[], ed.Function]] = {
    "l1": lambda: ed.L1(nn.Parameter(torch.full((N,), 0.05))),
    "squared": lambda: ed.SquaredL2(nn.Parameter(torch.tensor(0.05))),
    "groups": lambda: ed.L21(nn.Parameter(torch.tensor(0.05)), size=2),
    "ball": lambda: ed.L2Ball(nn.Parameter(torch.tensor(0.05))),
    "box": lambda: ed.Box(radius=nn.Parameter(torch.tensor(0.05))),
    "bounds": lambda: ed.Box(lower=-0.05, upper=nn.Parameter(torch.tensor(-0.04))),
}


@pytest.mark.parametrize("name", PROJECTED)
def test_what_must_not_be_negative_stays_so(name: str) -> None:
    f = PROJECTED[name]()
    held = next(iter(f.parameters()))
    before = held.detach().clone()
    held.data.sub_(1.0)
    with pytest.raises(ed.ErgodualError, match="negative|above its upper"):
        f.require_valid()
    project_(nn.Sequential(f))
    f.require_valid()
    assert (held <= before).all()


def test_weights_and_steps_that_a_step_takes_below_0_stay_at_the_border() -> None:
    x, _ = flat()
    model = layer(weight=0.01)
    model.steps = ed.StepSizes.fixed(
        nn.Parameter(torch.tensor(0.2)), nn.Parameter(torch.tensor(0.2))
    )
    model.problem.K.requires_grad_(False)
    fit(model, x, x, epochs=4, lr=0.5, schedule="constant")  # the best weight for these is 0
    assert model.problem.F.weight.item() == 0.0
    assert model.steps.sigma.item() > 0
    assert model.steps.tau.item() > 0
    # a loop of the user's own gets a sentence
    model.problem.F.weight.data.fill_(-0.043)
    with pytest.raises(ed.ErgodualError, match="L1's weight is -0.043.*parametrise"):
        model(x)


def test_warm_starts_take_fewer_iterations_to_the_same_loss() -> None:
    x, truth = (t.double() for t in flat(24))

    def learn(warm: bool) -> History:
        problem = ed.Problem(
            ed.L1(nn.Parameter(torch.tensor(0.1, dtype=torch.float64))),
            ed.SquaredL2(),
            ed.Dense((torch.eye(N) - torch.eye(N).roll(1, 0)).double()),
        )
        model = ed.Solved(
            problem, tol=1e-8, method=ed.Restarted(polish=False), adjoint=ed.Neumann(50)
        )
        return fit(model, x, truth, epochs=4, batch_size=8, lr=1e-3, warm_start=warm)

    cold, warm = learn(False), learn(True)
    assert warm.epochs[-1].train_loss == pytest.approx(cold.epochs[-1].train_loss, rel=1e-5)
    assert warm.epochs[-1].iterations < 0.6 * cold.epochs[-1].iterations
    assert cold.epochs[0].iterations is None


def test_warm_starts_resume_bit_for_bit(tmp_path: Path) -> None:
    x, truth = flat(24)
    options: dict[str, Any] = {"batch_size": 8, "lr": 1e-3, "warm_start": True, "tol": (1e-2, 1e-4)}

    def model() -> ed.Solved:
        return ed.Solved(layer().problem, adjoint=ed.Neumann(30))

    expected = fit(model(), x, truth, epochs=4, schedule="constant", **options)
    file = tmp_path / "ck.pt"

    class Killed(Exception):
        pass

    def kill(entry: Any) -> None:
        if entry.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        fit(
            model(),
            x,
            truth,
            epochs=4,
            checkpoint=file,
            on_epoch=kill,
            schedule="constant",
            **options,
        )
    found = fit(
        model(), x, truth, epochs=4, checkpoint=file, resume=True, schedule="constant", **options
    )
    assert comparable(found) == comparable(expected)


def test_tolerances_tighten() -> None:
    seen: list[float] = []

    class Listening(ed.Solved):
        def forward(self, *args: Any, **more: Any) -> Tensor:
            if self.training:
                seen.append(self.tol)
            return super().forward(*args, **more)

    model = Listening(layer().problem, tol=1e-5, adjoint=ed.OneStep())
    fit(model, *flat(8), epochs=3, lr=1e-4, tol=(1e-1, 1e-3))
    assert seen == pytest.approx([1e-1, 1e-2, 1e-3])
    assert model.tol == 1e-5


def test_more_epochs_may_be_added(tmp_path: Path) -> None:
    file = tmp_path / "ck.pt"
    model, whole = layer(), layer()
    fit(model, *flat(), epochs=2, lr=1e-3, checkpoint=file)
    more = fit(layer(), *flat(), epochs=4, lr=1e-3, checkpoint=file, resume=True)
    assert comparable(more) == comparable(fit(whole, *flat(), epochs=4, lr=1e-3))
    with pytest.raises(ed.ErgodualError, match="schedule was 'sqrt' and is now 'cosine of 5"):
        fit(layer(), *flat(), epochs=5, lr=1e-3, checkpoint=file, resume=True, schedule="cosine")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": lambda: layer(depth=8)}, "the model's depth was 4 and is now 8"),
        (
            {"model": lambda: ed.Unrolled(layer().problem, 4, output=ed.Last())},
            "output's kind was '1/k' and is now 'Last'",
        ),
        (
            {"model": lambda: ed.Unrolled(layer().problem, 4, ed.StepSizes.weighted(0.2))},
            "steps's weight was 1",
        ),
        ({"data": lambda: flat(seed=3)}, "data was '60"),
        ({"lr": 2e-3}, "lr was 0.001 and is now 0.002"),
        ({"loss": nn.MSELoss()}, "loss was 'HalfSquared"),
        ({"optimizer": "adam"}, "optimizer was 'sgd'"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "ck.pt"
    given: dict[str, Any] = {"model": layer, "data": flat, "lr": 1e-3}
    fit(layer(), *flat(), epochs=1, lr=1e-3, checkpoint=file)
    given |= change
    model, data = given.pop("model")(), given.pop("data")()
    with pytest.raises(ed.ErgodualError, match=said):
        fit(model, *data, epochs=1, checkpoint=file, resume=True, **given)


class Endless(IterableDataset[tuple[Tensor, Tensor]]):
    """Says that there are more than it gives."""

    def __len__(self) -> int:
        return 40

    def __iter__(self) -> Any:
        x, truth = flat(20)
        return iter(zip(x, truth, strict=True))


def pair_of_wrong_length(_batch: Any) -> tuple[Tensor, Tensor]:
    return torch.zeros(3, N), torch.zeros(2, N)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (flat, {"loss": nn.MSELoss(reduction="none")}, r"shape \(60, 12\).*give one number"),
        (flat, {"loss": lambda x, y: (x - y).square().mean(0)}, r"shape \(12,\).*one number"),
        (flat, {"loss": lambda x, y: 1.0}, "a float for 60 samples"),
        (lambda: (flat()[0], flat(59)[1]), {}, r"\(60, 12\) and the ground truths \(59, 12\)"),
        (lambda: (flat()[0],), {}, "no ground truths; give two tensors"),
        (lambda: (flat()[0].numpy(), flat()[1].numpy()), {}, "are a ndarray and a ndarray"),
        (lambda: (TensorDataset(*flat()),), {}, "TensorDataset; wrap it"),
        (lambda: (DataLoader(Endless(), batch_size=8),), {}, "ended after 3 of 5 batches"),
        (lambda: (DataLoader(TensorDataset(flat()[0])),), {}, "must be two tensors"),
        (
            lambda: (DataLoader(TensorDataset(*flat()), collate_fn=pair_of_wrong_length),),
            {},
            "3 observations and 2 ground truths",
        ),
        (lambda: (DataLoader(TensorDataset(*flat())),), {"batch_size": 4}, "has its own; leave"),
        (flat, {"optimizer": "lbfgs"}, "'lbfgs'; it must be one of sgd, adam, or what makes"),
        (flat, {"optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)])}, "what makes"),
        (
            flat,
            {"optimizer": lambda _: torch.optim.SGD([torch.zeros(1, requires_grad=True)])},
            "not only those of the model",
        ),
        (flat, {"optimizer": lambda _: torch.optim.SGD([])}, "empty parameter list; give what"),
        (flat, {"optimizer": lambda params: None}, "makes a NoneType"),
        (flat, {"keep": "first"}, "keep is 'first'"),
        (flat, {"resume": True}, "give checkpoint= with resume"),
        (flat, {"checkpoint_every": 0}, "between checkpoints is 0"),
        (flat, {"warm_start": True}, "the model has no Solved"),
        (flat, {"dev": (flat(0)[0], flat(0)[1])}, "at least one"),
    ],
)
def test_bad_input_in_a_sentence(arguments: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said) as caught:
        fit(layer(), *arguments(), epochs=1, **options)
    assert "\n" not in str(caught.value)


def test_a_tolerance_out_of_range_and_warm_loaders() -> None:
    solved = ed.Solved(layer().problem, adjoint=ed.OneStep())
    with pytest.raises(ed.ErgodualError, match="tolerance of epoch 1 is 2"):
        fit(solved, *flat(), epochs=1, tol=lambda _: 2.0)
    with pytest.raises(ed.ErgodualError, match="Warm starts need data in memory"):
        fit(solved, DataLoader(TensorDataset(*flat())), epochs=1, warm_start=True)


def test_a_damaged_best_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "ck.pt"
    fit(layer(), *flat(), dev=flat(seed=1), epochs=1, lr=1e-3, checkpoint=file)
    saved = Checkpoint.load(file)
    assert saved.best is not None
    content = torch.load(file)
    next(iter(content["best"].values())).add_(1)
    torch.save(content, file)
    with pytest.raises(ed.ErgodualError, match="not a whole checkpoint"):
        Checkpoint.load(file)
