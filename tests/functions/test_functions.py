"""Proxes against their definition and Moreau's identity; their derivatives against finite differences and the tape."""

import math

import pytest
import torch
from cases import BATCH, FUNCTIONS, N, observation
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed

every = pytest.mark.parametrize("name", FUNCTIONS)
# a point for a prox: its derivative is 0 everywhere, and central differences agree
STEPS = [0.3, 1.0, 2.5]


@every
@pytest.mark.parametrize("step", STEPS)
def test_prox_minimises(name: str, step: float) -> None:
    f, z = FUNCTIONS[name](), observation()
    p = f.prox(z, step)

    def objective(x: torch.Tensor) -> torch.Tensor:
        return f.value(x) + (x - z).square().sum(-1) / (2 * step)

    best = objective(p)
    assert best.isfinite().all()
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-3, 1e-1, 1.0):
        for _ in range(50):
            other = p + scale * torch.randn(p.shape, generator=generator, dtype=p.dtype)
            assert (objective(other) >= best - 1e-12).all()


@every
@pytest.mark.parametrize("step", STEPS)
def test_moreau(name: str, step: float) -> None:
    f, z = FUNCTIONS[name](), 2 * observation()
    torch.testing.assert_close(
        f.prox(z, step) + step * f.prox_conjugate(z / step, 1 / step), z, rtol=0, atol=1e-14
    )


@every
def test_conjugate_meets_fenchel_young(name: str) -> None:
    if "huber" in name:
        pytest.skip("this user's function gives no conjugate value, and the sweeps need none")
    f, z = FUNCTIONS[name](), observation()
    x = f.prox(z, 0.7)
    y = (z - x) / 0.7  # a subgradient of f at x: equality holds
    y = (
        f.prox_conjugate(y, 1e-300) if f.conjugate(y).isinf().any() else y
    )  # a bound may be missed by a rounding
    torch.testing.assert_close(f.value(x) + f.conjugate(y), (x * y).sum(-1), rtol=0, atol=1e-12)
    other = observation(5)
    assert (f.value(other) + f.conjugate(y) >= (other * y).sum(-1) - 1e-12).all()


@every
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("which", ["prox", "prox_conjugate"])
def test_in_place_and_without_a_tape_it_is_the_same(name: str, step: float, which: str) -> None:
    f, z = FUNCTIONS[name](), observation()
    expected = getattr(f, which)(z, step)
    with torch.no_grad():
        assert torch.equal(getattr(f, which)(z, step), expected)
        written = z.clone()
        assert torch.equal(getattr(f, which + "_")(written, step), expected)
        assert torch.equal(written, expected)


@every
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("which", ["prox", "prox_conjugate"])
def test_vector_jacobian_product(name: str, step: float, which: str) -> None:
    f, z, g = FUNCTIONS[name](), observation().requires_grad_(), observation(9)
    tensors, t_step = f.tensors(), torch.tensor(step, dtype=torch.float64, requires_grad=True)
    p = getattr(f, which)(z, t_step)
    inputs = [z, t_step, *tensors]
    taped = (
        torch.autograd.grad((p * g).sum(), inputs, materialize_grads=True)
        if p.requires_grad
        else map(torch.zeros_like, inputs)
    )
    kept = p.detach() if f.derivative_from == "output" else z.detach()
    with torch.no_grad():
        in_z, in_tensors = getattr(f, which + "_vjp")(kept, step, g.clone(), True)
        in_step = (in_z * (p - z)).sum() / step  # the rule that Reverse uses for the steps
    for ours, theirs in zip((in_z, in_step, *in_tensors), taped, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)
    h = 1e-6
    with torch.no_grad():
        for i in range(BATCH):
            for j in range(N):
                e = torch.zeros_like(z)
                e[i, j] = h
                slope = (
                    (getattr(f, which)(z + e, step) - getattr(f, which)(z - e, step)) * g
                ).sum() / (2 * h)
                assert math.isclose(slope, in_z[i, j], rel_tol=1e-7, abs_tol=1e-8)


@pytest.mark.parametrize(
    ("f", "which", "z", "slope"),
    [
        (ed.Box(radius=0.5), "prox", [-0.5, 0.5, 0.49, 0.51], [0, 0, 1, 0]),
        (ed.Box(radius=torch.tensor([[0.5]])), "prox", [-0.5, 0.5, 0.49, 0.51], [0, 0, 1, 0]),
        (ed.L1(2.0), "prox_conjugate", [-2.0, 2.0, 1.9, 2.1], [0, 0, 1, 0]),
        (ed.L1(2.0), "prox", [-2.0, 2.0, 1.9, 2.1], [0, 0, 0, 1]),
    ],
)
def test_at_a_kink_the_derivative_is_zero_on_the_bound(
    f: ed.Function, which: str, z: list[float], slope: list[float]
) -> None:
    point = torch.tensor([z], requires_grad=True)
    p = getattr(f, which)(point, 1.0)
    p.sum().backward()
    assert point.grad is not None
    assert point.grad.tolist() == [slope]
    ours, _ = getattr(f, which + "_vjp")(p.detach(), 1.0, torch.ones_like(point))
    assert ours.tolist() == [slope]


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=6), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)
)
def test_moreau_everywhere(values: list[float], step: float, weight: float) -> None:
    z = torch.tensor([values], dtype=torch.float64)
    for f in (
        ed.L1(weight),
        ed.L21(len(values), weight),
        ed.Box(radius=weight),
        ed.SquaredL2(weight),
        ed.Zero(),
    ):
        total = f.prox(z, step) + step * f.prox_conjugate(z / step, 1 / step)
        torch.testing.assert_close(total, z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ed.L1(0.0), "weight is 0"),
        (lambda: ed.L21(0), "groups have 0"),
        (lambda: ed.L21(2, -1.0), "weight is -1"),
        (lambda: ed.L21(2).value(torch.ones(1, 3)), "groups of 2 need a multiple"),
        (lambda: ed.SquaredL2(-1.0), "weight is -1"),
        (lambda: ed.Box(radius=-0.1), "radius is -0.1"),
        (lambda: ed.Box(radius=torch.tensor([[0.1], [-0.1]])), "must not be negative"),
        (lambda: ed.Box(), "either radius"),
        (lambda: ed.Box(radius=1.0, lower=-1.0), "either radius"),
        (lambda: ed.Box(lower=-1.0), "both lower"),
        (lambda: ed.Box(lower=0.1, upper=1.0), "enclose 0"),
        (lambda: ed.Box(lower=-1.0, upper=torch.tensor([1.0, -1.0])), "enclose 0"),
        (lambda: ed.Box(radius=math.nan), "radius is nan"),
    ],
)
def test_refusals(make, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()
