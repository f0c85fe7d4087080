"""Convolutions: against matrices set up from the definition, and their norms against symbols."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Size, Tensor

from ergodual.checks import check_operator
from ergodual.errors import ErgodualError, NotFiniteError
from ergodual.operators.conv import Conv
from ergodual.operators.conv_norms import symbol_bound, symbol_bound_in_graph
from ergodual.operators.correlation import correlate, correlate_adjoint, kernel_gradient
from ergodual.operators.norms import matrix_of

PADDINGS = ("same", "full", "none", "circular", "reflect")
# (C_out, C_in, *k), stride, *s: those with a code of their own (one input channel on two or three
# axes; one axis with a stride) and those without, even and odd kernels, lengths that leave a rest
SHAPES = {
    "1-D": ((3, 2, 4), 1, (9,)),
    "1-D, stride 2": ((3, 2, 5), 2, (10,)),
    "1-D, stride 3, rest": ((4, 1, 4), 3, (11,)),
    "1-D, stride above the kernel": ((2, 1, 3), 5, (20,)),
    "1-D, stride above, rest": ((2, 2, 2), 5, (13,)),
    "2-D": ((3, 2, 3, 2), 1, (6, 5)),
    "2-D, one channel": ((4, 1, 3, 4), 1, (5, 6)),
    "2-D, one channel, strides": ((4, 1, 4, 3), (2, 3), (8, 9)),
    "2-D, one channel, rest": ((4, 1, 2, 3), (3, 2), (8, 9)),
    "2-D, stride 2": ((2, 3, 3, 3), 2, (6, 4)),
    "2-D, one pixel": ((2, 1, 1, 1), 1, (3, 4)),
    "3-D": ((2, 2, 2, 3, 2), 1, (4, 3, 4)),
    "3-D, one channel": ((3, 1, 3, 2, 2), 1, (4, 3, 5)),
    "3-D, one channel, strides": ((3, 1, 2, 3, 2), (2, 1, 3), (4, 3, 6)),
}
CASES = [
    pytest.param(kernel, stride, size, padding, id=f"{name}, {padding}")
    for name, (kernel, stride, size) in SHAPES.items()
    for padding in PADDINGS
    if padding != "circular" or "rest" not in name
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(K: Conv, size: tuple[int, ...]) -> Tensor:
    """(C_out · s_out, C_in · s), entry by entry from the definition."""
    kernel = K.kernel.detach()
    C_out, C_in, *taps = kernel.shape
    before = {"none": [0] * len(taps), "full": [k - 1 for k in taps]}.get(
        K.padding, [(k - 1) // 2 for k in taps]
    )
    after = {"none": before, "full": before}.get(K.padding, [k // 2 for k in taps])
    out = [
        len(range(-b, n + a - k + 1, q))
        for n, k, q, b, a in zip(size, taps, K.stride, before, after, strict=True)
    ]
    found = kernel.new_zeros(C_out, *out, C_in, *size)
    for i in itertools.product(*map(range, out)):
        for t in itertools.product(*map(range, taps)):
            j = tuple(q * a + b - c for q, a, b, c in zip(K.stride, i, t, before, strict=True))
            if K.padding == "circular":
                j = tuple(a % n for a, n in zip(j, size, strict=True))
            if K.padding == "reflect":
                j = tuple(n - 1 - abs(n - 1 - abs(a)) for a, n in zip(j, size, strict=True))
            if all(0 <= a < n for a, n in zip(j, size, strict=True)):
                found[(slice(None), *i, slice(None), *j)] += kernel[(..., *t)]
    return found.reshape(C_out * math.prod(out), -1)


@pytest.mark.parametrize(("shape", "stride", "size", "padding"), CASES)
def test_products_gradients_and_tape(shape, stride, size, padding) -> None:
    K = Conv(random(*shape), stride, padding)
    domain, x = Size((shape[1], *size)), random(2, shape[1], *size, seed=1)
    A, codomain = matrix(K, size), K.codomain(domain)
    y = random(2, *codomain, seed=2)
    with torch.no_grad():
        Kx, KTy = K(x), K.adjoint(y, domain)
    assert Kx.is_contiguous()
    assert KTy.is_contiguous()
    torch.testing.assert_close(Kx, (x.flatten(1) @ A.T).view(2, *codomain), rtol=0, atol=1e-12)
    torch.testing.assert_close(KTy, (y.flatten(1) @ A).view_as(x), rtol=0, atol=1e-12)
    assert float(abs((Kx * y).sum() - (x * KTy).sum())) <= 1e-12 * float(Kx.norm() * y.norm())

    # The trilinear form's gradients by both tapes, and by hand
    x.requires_grad_()
    y.requires_grad_()
    by_forward = torch.autograd.grad((K(x) * y).sum(), (x, y, K.kernel))
    by_adjoint = torch.autograd.grad((K.adjoint(y, domain) * x).sum(), (x, y, K.kernel))
    (by_hand,) = K.gradients(y.detach(), x.detach())
    assert by_hand.is_contiguous()
    for one, two in zip(by_forward, by_adjoint, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-11)
    torch.testing.assert_close(by_forward[0], KTy, rtol=0, atol=1e-12)
    torch.testing.assert_close(by_forward[2], by_hand, rtol=0, atol=1e-11)
    check_operator(K, x.detach())
    if padding == "circular" or K.stride == (1,) * len(size):
        assert K.domain(codomain) == domain
        torch.testing.assert_close(K.adjoint(y).detach(), KTy)
    else:
        with pytest.raises(ErgodualError, match="does not tell the shape of its input"):
            K.adjoint(y)


@pytest.mark.parametrize(
    ("shape", "stride", "size"),
    [((2, 1, 2, 3), (1, 2), (3, 5)), ((2, 2, 3), (1,), (5,)), ((2, 1, 3), (2,), (6,))],
)
def test_derivatives_of_derivatives(shape, stride, size) -> None:
    kernel, x = random(*shape).requires_grad_(), random(2, shape[1], *size, seed=1).requires_grad_()
    y = random(*correlate(x, kernel, stride).shape, seed=2).requires_grad_()
    maps: dict[Callable[..., Tensor], tuple[Tensor, ...]] = {
        lambda x, k: correlate(x, k, stride): (x, kernel),
        lambda y, k: correlate_adjoint(y, k, stride, size): (y, kernel),
        lambda y, x: kernel_gradient(y, x, kernel, stride): (y, x),
    }
    for of, inputs in maps.items():
        assert torch.autograd.gradcheck(of, inputs)
        assert torch.autograd.gradgradcheck(of, inputs)


@settings(max_examples=60)
@given(st.data())
def test_adjoint_for_any_shape(data: st.DataObject) -> None:
    draw = data.draw
    axes, padding = draw(st.integers(1, 3)), draw(st.sampled_from(PADDINGS))
    taps = draw(st.tuples(*[st.integers(1, 4)] * axes))
    stride = draw(st.tuples(*[st.integers(1, 5)] * axes))
    extra = draw(st.tuples(*[st.integers(0, 5)] * axes))
    size = tuple(k + e for k, e in zip(taps, extra, strict=True))
    if padding == "circular":
        size = tuple(-(-n // q) * q for n, q in zip(size, stride, strict=True))
    K = Conv(random(draw(st.integers(1, 3)), draw(st.integers(1, 2)), *taps), stride, padding)
    x = random(2, K.kernel.shape[1], *size, seed=1)
    with torch.no_grad():
        Kx = K(x)
        y = random(*Kx.shape, seed=2)
        KTy = K.adjoint(y, x.shape[1:])
    assert Kx.shape[1:] == K.codomain(x.shape[1:])
    scale = float(K.kernel.detach().abs().sum() * x.norm() * y.norm())
    assert float(abs((Kx * y).sum() - (x * KTy).sum())) <= 1e-14 * scale + 1e-14


def test_float32_as_float64() -> None:
    """The settings that matter most, where torch's own float32 convolutions take over."""
    for shape, stride, size in (((48, 1, 7, 7), 1, (20, 22)), ((64, 1, 32), 8, (536,))):
        exact = Conv(random(*shape), stride)
        K = Conv(exact.kernel.detach().float(), stride)
        x = random(2, 1, *size, seed=1)
        y = random(2, *exact.codomain(x.shape[1:]), seed=2)
        with torch.no_grad():
            pairs = [
                (K(x.float()), exact(x)),
                (K.adjoint(y.float(), x.shape[1:]), exact.adjoint(y, x.shape[1:])),
                (K.gradients(y.float(), x.float())[0], exact.gradients(y, x)[0]),
            ]
        for one, two in pairs:
            assert one is not None
            assert one.is_contiguous()
            assert float((one - two).norm()) <= 1e-5 * float(two.norm())


def wave(*shape: int) -> Tensor:
    """All channels see one frequency, that of the kernel's own length."""
    grid = torch.stack(torch.meshgrid(*map(torch.arange, shape[2:]), indexing="ij")).double()
    return (2 * math.pi * (grid / 3.7).sum(0)).cos().expand(shape).contiguous()


def delta(*shape: int) -> Tensor:
    kernel = torch.zeros(shape, dtype=torch.float64)
    kernel[(0, 0, *(k // 2 for k in shape[2:]))] = -2.0
    return kernel


def rank_one(*shape: int) -> Tensor:
    factors = [random(n, seed=n + i) for i, n in enumerate(shape)]
    letters = "abcde"[: len(shape)]
    return torch.einsum(",".join(letters) + "->" + letters, *factors)


KERNELS: dict[str, Callable[..., Tensor]] = {
    "random": random,
    "wave": wave,
    "delta": delta,
    "rank one": rank_one,
    "sum": lambda *shape: torch.ones(shape, dtype=torch.float64),
    "tiny": lambda *shape: 1e-200 * random(*shape),
}
# (C_out, C_in, *k), stride, *s
LONG = {
    "1-D": ((4, 1, 5), 1, (48,)),
    "1-D, channels": ((3, 4, 3), 1, (24,)),
    "1-D, stride 2": ((4, 1, 5), 2, (48,)),
    "1-D, stride 3, channels": ((5, 2, 6), 3, (48,)),
    "1-D, stride 7 above the kernel": ((3, 1, 4), 7, (56,)),
    "1-D, stride 16": ((12, 1, 64), 16, (512,)),
    "2-D": ((3, 1, 2, 2), 1, (16, 16)),
    "2-D, strides": ((3, 1, 2, 3), (2, 1), (16, 24)),
    "3-D": ((2, 1, 2, 1, 2), 1, (16, 2, 16)),
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("kind", KERNELS)
def test_bound_is_near_and_never_below_the_norm(name: str, kind: str) -> None:
    shape, stride, size = LONG[name]
    kernel = KERNELS[kind](*shape)
    domain = Size((shape[1], *size))
    for padding in PADDINGS:
        K = Conv(kernel, stride, padding)
        norm = float(torch.linalg.matrix_norm(matrix_of(K, domain), 2))
        bound = K.norm_bound(domain)
        assert bound >= norm
        if padding in ("circular", "same"):
            assert bound <= 1.05 * norm
        if padding == "reflect":  # Lanczos' margin is 5 %
            assert bound <= 1.06 * norm
        if padding == "circular":
            in_graph = symbol_bound_in_graph(kernel, K.stride).item()
            assert in_graph == pytest.approx(bound, rel=0.006, abs=1e-180 if kind == "tiny" else 0)


@pytest.mark.parametrize("size", [4, 5, 7, 8])
def test_bound_holds_for_short_signals(size: int) -> None:
    for seed, padding in itertools.product(range(5), PADDINGS):
        K = Conv(random(3, 2, 4, seed=seed), 1, padding)
        domain = Size((2, size))
        assert K.norm_bound(domain) >= K.norm(domain).item() * (1 - 1e-14)


def test_bound_of_frames() -> None:
    n = torch.arange(320, dtype=torch.float64)
    atoms = (math.pi * (n[:, None] + 0.5) * n / 320).cos()
    window = (math.pi * (n + 0.5) / 320).sin() / math.sqrt(320)
    kernel = (atoms * window)[:, None]
    norm = float(torch.linalg.matrix_norm(matrix_of(Conv(kernel, 80), Size((1, 1280))), 2))
    assert norm <= symbol_bound(kernel, (80,)) <= 1.05 * norm
    # The same number again, whatever was asked before
    symbol_bound(2 * kernel, (80,))
    again = symbol_bound(kernel.clone(), (80,))
    assert again == symbol_bound(kernel, (80,))


@settings(max_examples=30)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(0, 99)
)
def test_bound_for_any_shape(C_out: int, C_in: int, k: int, q: int, seed: int) -> None:
    K = Conv(random(C_out, C_in, k, seed=seed), q, "circular")
    norm = float(torch.linalg.matrix_norm(matrix_of(K, Size((C_in, 12 * q))), 2))
    assert norm * (1 - 1e-14) <= K.norm_bound()


def test_bound_of_zero_and_of_what_is_not_finite() -> None:
    assert symbol_bound(torch.zeros(2, 1, 3), (1,)) == 0.0
    with pytest.raises(NotFiniteError, match="not finite; lower the learning rate"):
        symbol_bound(torch.tensor([[[1.0, math.nan]]]), (1,))


def test_the_kernel_is_held_as_given() -> None:
    parameter = torch.nn.Parameter(random(2, 1, 3))
    assert Conv(parameter).kernel is parameter
    made = 2 * parameter
    K = Conv(made)
    assert not list(K.parameters())
    K(random(1, 1, 5)).sum().backward()
    assert parameter.grad is not None
    fixed = Conv(random(2, 1, 3)).requires_grad_(False)
    assert fixed.gradients(random(1, 2, 5), random(1, 1, 5)) == (None,)
    assert repr(fixed) == 'Conv(kernel=(2, 1, 3), stride=(1,), padding="same")'


FLAT, CHANNELS = random(2, 1, 3), random(2, 3, 3, 3)
REFUSALS = {
    "integers": (
        lambda: Conv(torch.ones(2, 1, 3, dtype=torch.int64)),
        "type torch.int64; it takes",
    ),
    "two axes": (lambda: Conv(random(2, 3)), r"shape \(2, 3\) .* with 1 to 3 spatial axes"),
    "six axes": (lambda: Conv(random(1, 1, 1, 1, 1, 1)), "with 1 to 3 spatial axes"),
    "padding": (lambda: Conv(FLAT, padding="valid"), "padding is 'valid'; choose one of"),  # type: ignore[arg-type]
    "stride 0": (lambda: Conv(FLAT, 0), "stride is 0; give a whole number of at least 1"),
    "stride 1.5": (lambda: Conv(FLAT, 1.5), "stride is 1.5; give a whole number"),  # type: ignore[arg-type]
    "strides": (lambda: Conv(FLAT, (1, 2)), r"stride is \(1, 2\); .* kernel's 1 spatial axes"),
    "no channel axis": (
        lambda: Conv(FLAT)(random(4, 9)),
        r"shape \(9,\), .* \(batch, C_in, s1\) with C_in = 1; .* x.unsqueeze\(1\)",
    ),
    "channels": (
        lambda: Conv(CHANNELS)(random(1, 2, 5, 5)),
        r"has 2 channels, and .* takes 3; give batches \(batch, C_in, s1, s2\)",
    ),
    "short, none": (
        lambda: Conv(FLAT, padding="none")(random(1, 1, 2)),
        'has 2 entries, and this Conv with padding "none" needs at least 3; give longer',
    ),
    "short, circular": (
        lambda: Conv(FLAT, padding="circular")(random(1, 1, 2)),
        'with padding "circular" needs at least 3',
    ),
    "short, reflect": (
        lambda: Conv(FLAT, padding="reflect")(random(1, 1, 1)),
        'has 1 entries, and this Conv with padding "reflect" needs at least 2; give longer',
    ),
    "norm, reflect": (
        lambda: Conv(FLAT, padding="reflect").norm_bound(),
        "norm of Conv depends on the shape of a sample; give domain=",
    ),
    "norm in a graph, reflect": (
        lambda: Conv(FLAT, padding="reflect").norm_bound_in_graph(Size((1, 8))),
        "cannot be exported; export the layer with_fixed_steps",
    ),
    "empty": (lambda: Conv(FLAT)(random(1, 1, 0)), "has 0 entries, .* at least 1"),
    "stride, circular": (
        lambda: Conv(FLAT, 2, "circular")(random(1, 1, 7)),
        'has 7 entries, which the stride 2 does not divide, as padding "circular" needs; cut',
    ),
    "dual": (
        lambda: Conv(FLAT, 2).adjoint(random(1, 2, 4), Size((1, 9))),
        r"samples of shape \(2, 4\); for inputs of shape \(1, 9\) this Conv gives \(2, 5\)",
    ),
    "dual's channels": (
        lambda: Conv(FLAT).adjoint(random(1, 1, 4)),
        r"shape \(1, 4\); give this Conv 2 channels and 1 spatial axes",
    ),
    "domain": (
        lambda: Conv(FLAT, 2).domain(Size((2, 4))),
        r"does not tell the shape of its input from that of its output, \(2, 4\); give domain=",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    do, sentence = REFUSALS[name]
    with pytest.raises(ErgodualError, match=sentence):
        do()
