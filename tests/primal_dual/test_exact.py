"""One table: every adjoint × operator × function × output × stretches × θ × kind of problem.

All pairs are covered; every row is held against the tape and against central differences.
"""

import itertools
from collections.abc import Callable

import pytest
import torch
from cases import (
    BATCH,
    CORE_FUNCTIONS,
    CORE_OPERATORS,
    FUNCTIONS,
    MORE_FUNCTIONS,
    MORE_OPERATORS,
    OPERATORS,
    OUTPUTS,
    Sample,
    observation,
    parameter,
    spread,
)
from differences import relative
from pairs import all_pairs
from torch import Tensor, nn

import ergodual as ed
from ergodual.problem import LowerLevel

DEPTH = 6
ADJOINTS: dict[str, Callable[[], ed.Reverse]] = {
    "reverse": ed.Reverse,
    "checkpointed": ed.Checkpointed,
    "checkpointed in 3": lambda: ed.Checkpointed(3),
    "truncated nowhere": lambda: ed.Truncated(9),
}
STRETCHES = {
    "one problem": [0] * DEPTH,
    "one operator": [0] * DEPTH,
    "of 1": list(range(DEPTH)),
    "of 2": [0, 0, 1, 1, 2, 2],
    "of 3": [0, 0, 0, 1, 1, 1],
    "of 1, 2 and 3": [0, 1, 1, 2, 2, 2],
    "one that comes back": [0, 1, 0, 0, 1, 0],
}
THETAS: dict[str, Callable[[], Tensor]] = {
    "0": lambda: parameter(0.0),
    "0.5": lambda: parameter(0.5),
    "1": lambda: parameter(1.0),
    "of each iteration": lambda: spread(DEPTH, low=0.0, high=1.0, seed=33),
}
WITHOUT_ZERO = ("simplex", "counts", "counts per sample")
"""Functions that are infinite at 0, where no G of a ``Problem`` is."""
KINDS = ("problem", "inverse", "inverse, steps by part")
KINKED = ("zeros", "point")
"""Functions whose parameters lie on a kink, where differences say nothing of them."""
FACTORS = {
    "adjoint": list(ADJOINTS),
    "operator": list(CORE_OPERATORS),
    "F": list(CORE_FUNCTIONS),
    "G": [name for name in CORE_FUNCTIONS if name != "zero"],
    "output": list(OUTPUTS),
    "stretches": list(STRETCHES),
    "theta": list(THETAS),
    "kind": list(KINDS),
}
FEW = {
    "operator": ["tall", "conv, strided", "stack"],
    "F": ["l1 weighted", "squared"],
    "G": ["box", "squared per sample"],
}
ROWS = [
    *all_pairs(FACTORS),
    *all_pairs({**FACTORS, **FEW, "operator": list(MORE_OPERATORS)}),
    *all_pairs({**FACTORS, **FEW, "F": list(MORE_FUNCTIONS)}),
    *all_pairs({**FACTORS, **FEW, "G": [f for f in MORE_FUNCTIONS if f not in WITHOUT_ZERO]}),
]


def functions_of(K: ed.Operator, domain: Sample, name: str) -> ed.Function:
    """This function of what K gives; of a stack, with another one for the second part."""
    layout = K.layout(torch.Size(domain))
    if isinstance(layout, torch.Size):
        return FUNCTIONS[name](tuple(layout))
    first, second = (tuple(part) for part in layout)
    return ed.SeparableSum(FUNCTIONS[name](first), FUNCTIONS["l1"](second))


def problems_of(row: dict[str, str]) -> LowerLevel | list[LowerLevel]:
    make, domain = OPERATORS[row["operator"]]
    seeds = STRETCHES[row["stretches"]]
    operators = {seed: make(seed + 100) if seed else make() for seed in set(seeds)}

    def problem(seed: int) -> LowerLevel:
        K = operators[seed]
        F = functions_of(K, domain, row["F"])
        G = FUNCTIONS[row["G"]](domain)
        for p in G.parameters():  # lest F = G and an orthonormal K meet at a kink
            p.data *= 0.77
        if row["kind"] == "problem":
            return ed.Problem(F, G, K)
        data = ed.SquaredL2(parameter(0.9))
        return ed.InverseProblem(A=operators[seed], data=data, F=F, K=K, G=G, domain=domain)

    if row["stretches"] == "one problem":
        return problem(0)
    made: dict[int, LowerLevel] = {}
    if row["stretches"] == "one operator":  # but functions of each iteration's own
        return [problem(0) for _ in seeds]
    return [made.setdefault(seed, problem(seed)) for seed in seeds]


def model_of(row: dict[str, str], adjoint: object) -> ed.Unrolled:
    # without F, A is alone in its stack
    regularised = row["F"] != "zero" or row["operator"] == "stack"
    parts = (1 + regularised,) if row["kind"].endswith("by part") else ()
    sigma = spread(DEPTH, *parts, low=0.1, high=0.4, seed=31)
    steps = ed.StepSizes.fixed(
        sigma, spread(DEPTH, low=0.1, high=0.4, seed=32), THETAS[row["theta"]]()
    )
    output = OUTPUTS[row["output"]](DEPTH)
    depth = DEPTH if row["stretches"] == "one problem" else None
    return ed.Unrolled(problems_of(row), depth, steps, output, adjoint)  # type: ignore[arg-type]


def observed(row: dict[str, str], seed: int) -> Tensor:
    make, domain = OPERATORS[row["operator"]]
    seen = domain if row["kind"] == "problem" else tuple(make().codomain(torch.Size(domain)))
    return observation(seed, sample=seen)


def loss(model: ed.Unrolled, x: Tensor) -> Tensor:
    error = model(x) - 0.1
    return error.square().sum() / 2 + error.pow(3).sum() / 7  # any loss, not only the quadratic one


def inputs_of(model: ed.Unrolled, x: Tensor) -> dict[str, Tensor]:
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return {"observation": x.clone().requires_grad_(), **named}


def gradients(model: ed.Unrolled, x: Tensor) -> dict[str, Tensor]:
    inputs = inputs_of(model, x)
    value = loss(model, inputs["observation"])
    found = torch.autograd.grad(
        value, list(inputs.values()), materialize_grads=True, allow_unused=True
    )
    return dict(zip(inputs, found, strict=True))


def smooth(row: dict[str, str], found: dict[str, Tensor]) -> list[str]:
    """The names of all but the parameters that lie on a kink."""
    kinked = any(row[f].endswith(KINKED) for f in ("F", "G"))
    return [n for n in found if not (kinked and n.split(".")[-1] in ("weight", "radius"))]


def missed(
    model: ed.Unrolled, x: Tensor, found: dict[str, Tensor], names: list[str], count: int = 3
) -> float:
    """How far slopes in so many random directions are from central differences, relatively.

    By five points each, so that neither truncation nor rounding shows.
    """
    inputs = inputs_of(model, x)
    generator = torch.Generator().manual_seed(6)
    h, worst = 2e-5, 0.0
    for _ in range(count):
        directions = {
            name: torch.randn(inputs[name].shape, generator=generator, dtype=torch.float64)
            for name in names
        }
        values = {}
        with torch.no_grad():
            for shift in (1, -1, 2, -2):
                kept = {name: inputs[name].clone() for name in names}
                for name in names:
                    inputs[name].add_(directions[name], alpha=shift * h)
                values[shift] = float(loss(model, inputs["observation"]))
                for name in names:
                    inputs[name].copy_(kept[name])
        slope = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
        ours = sum(float((found[name] * v).sum()) for name, v in directions.items())
        size = sum(float(found[name].norm() * v.norm()) for name, v in directions.items())
        worst = max(worst, abs(slope - ours) / max(size, 1e-9))
    return worst


def test_all_pairs_are_covered() -> None:
    for a, b in (("operator", "F"), ("adjoint", "stretches"), ("kind", "theta")):
        met = {(row[a], row[b]) for row in ROWS}
        assert {(one, two) for one in FACTORS[a] for two in FACTORS[b]} <= met


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ", ".join(row.values()))
def test_exact(row: dict[str, str]) -> None:
    model, tape = model_of(row, ADJOINTS[row["adjoint"]]()), model_of(row, ed.Tape())
    require_exact(row, model, tape)


@pytest.mark.parametrize("row", ROWS[::4], ids=lambda row: ", ".join(row.values()))
def test_relaxed_iterations_are_exact(row: dict[str, str]) -> None:
    models = [model_of(row, adjoint) for adjoint in (ed.Reverse(), ed.Tape())]
    for model in models:
        model.steps = ed.Relaxed(model.steps, spread(DEPTH, low=0.6, high=1.9, seed=38))
    require_exact(row, *models)


@pytest.mark.parametrize("rho", [None, 1.4])
@pytest.mark.parametrize(
    "row",
    [
        row
        for row in ROWS
        if row["kind"] == "problem"
        and all(FUNCTIONS[row[f]](OPERATORS["tall"][1]).separable for f in ("F", "G"))
    ][::6],
    ids=lambda row: ", ".join(row.values()),
)
def test_steps_of_each_coordinate_are_exact(row: dict[str, str], rho: float | None) -> None:
    make, domain = OPERATORS[row["operator"]]
    codomain = make().codomain(torch.Size(domain))
    sizes = (DEPTH, *codomain), (1, *[1] * (len(domain) - 1), domain[-1])
    steps = [spread(*size, low=0.1, high=0.4, seed=31 + i) for i, size in enumerate(sizes)]
    models = [model_of(row, adjoint) for adjoint in (ed.Reverse(), ed.Tape())]
    for model in models:
        rule = ed.StepSizes.fixed(*(nn.Parameter(t.detach().clone()) for t in steps))
        model.steps = rule if rho is None else ed.Relaxed(rule, rho)
    require_exact(row, *models)


def require_exact(row: dict[str, str], model: ed.Unrolled, tape: ed.Unrolled) -> None:
    """That values and gradients are those of the tape, and gradients central differences."""
    for seed in range(5):
        x = observed(row, 21 + seed)
        found, taped = gradients(model, x), gradients(tape, x)
        names = smooth(row, found)
        if missed(tape, x, taped, names) > 1e-6:
            continue  # a kink lies between the points: the tape is not the derivative either
        if row["operator"] in (
            "dft",
            "dct",
        ):  # of a row of zeros, arguments are roundings of either sign
            found, taped = ({n: t[n] for n in names} for t in (found, taped))
        assert relative(found, taped) <= 1e-12
        with torch.no_grad():
            torch.testing.assert_close(model(x), tape(x), rtol=0, atol=1e-13)
        # one is enough here: values and slopes are the tape's, which differences have confirmed
        assert missed(model, x, found, names, 1) <= 1e-6
        return
    pytest.fail("Every observation lies at a kink.")


def moving(K: ed.Operator) -> bool:
    return any(t.requires_grad for t in K.tensors())


def test_the_table_moves_something() -> None:
    """No operator's parameters have a gradient that vanishes wherever they stand in the table."""
    fixed = {name for name, (make, _) in OPERATORS.items() if not moving(make())}
    assert "gradient" in fixed
    still = {row["operator"] for row in ROWS} - fixed
    for row in ROWS[::3]:
        if row["operator"] in still:
            found = gradients(model_of(row, ed.Reverse()), observed(row, 21))
            sizes = [float(t.norm()) for name, t in found.items() if ".K." in name or ".A." in name]
            if max(sizes, default=0.0) > 1e-3:
                still.remove(row["operator"])
    assert not still


def test_blocks_of_outer_products_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [row for row in ROWS if row["operator"] in ("tall", "wide", "dct")][::12]
    for rows in (1, 2 * BATCH, 3 * BATCH, 10_000):
        monkeypatch.setattr("ergodual.primal_dual.backward.BLOCK_ROWS", rows)
        for row in chosen:
            model, tape = model_of(row, ADJOINTS[row["adjoint"]]()), model_of(row, ed.Tape())
            x = observed(row, 21)
            assert relative(gradients(model, x), gradients(tape, x)) <= 1e-12


@pytest.mark.parametrize(
    ("case", "rows", "segments"),
    [
        (i, *each)
        for i, each in enumerate(
            itertools.product([BATCH, 3 * BATCH, 10_000], [1, 2, 3, 5, 100, None])
        )
    ],
)
def test_checkpoints_change_no_bit(
    case: int, rows: int, segments: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ergodual.primal_dual.backward.BLOCK_ROWS", rows)
    for row in ROWS[7 * case :: 126]:  # others each time
        whole, model = (model_of(row, a) for a in (ed.Reverse(), ed.Checkpointed(segments)))
        x = observed(row, 21)
        assert torch.equal(model(x), whole(x))
        ours, theirs = gradients(model, x), gradients(whole, x)
        assert all(torch.equal(ours[name], t) for name, t in theirs.items())


@pytest.mark.parametrize("b", [1, 2, 3, 4])
def test_truncated_takes_the_earlier_iterates_as_constants(b: int) -> None:
    for row in ROWS[20 * b :: 80]:
        model = model_of(row, ed.Truncated(b))
        x = observed(row, 21)
        ours = gradients(model, x)
        model.adjoint = lambda instances, steps, weights: by_hand(instances, steps, weights, b)
        theirs, names = gradients(model, x), smooth(row, ours)
        assert relative({n: ours[n] for n in names}, {n: theirs[n] for n in names}) <= 1e-12


def by_hand(instances, steps, weights, b):  # type: ignore[no-untyped-def]
    one = instances[0]
    y, r = one.zeros_dual(), one.zeros_primal()
    u = x_hat = one.estimate(r)
    sigma = steps.sigma
    if sigma.ndim == 2:
        layout = one.K.layout(one.domain)
        sizes = torch.tensor([K.codomain(one.domain).numel() for K in one.K.operators()])
        assert len(layout) == len(sizes)
        sigma = sigma.repeat_interleave(sizes, 1)
    depth = len(instances)
    for k, (F, G, K, _, offset, *_) in enumerate(instances):
        with torch.set_grad_enabled(k >= depth - b):
            Ku = K(u) if offset is None else K(u) + offset
            y = F.prox_conjugate(y + sigma[k] * Ku, sigma[k])
            previous, r = r, G.prox(r - steps.tau[k] * K.adjoint(y, one.domain), steps.tau[k])
        u = one.estimate(r + steps.theta[k] * (r - previous))
        x_hat = x_hat + (weights[k] if k >= depth - b else weights[k].detach()) * r
    return x_hat
