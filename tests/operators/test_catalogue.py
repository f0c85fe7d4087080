"""What the catalogue's operators are, against other definitions; and what they refuse."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from cases import SPARSE, observation

import ergodual as ed
from ergodual.operators.norms import matrix_of
from ergodual.operators.wavelet import daubechies

double = torch.float64


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=double)


@pytest.mark.parametrize(("taps", "sample"), [((3,), (7,)), ((2, 3), (5, 4)), ((4, 1), (2, 4, 6))])
def test_blur_is_a_convolution(taps: tuple[int, ...], sample: tuple[int, ...]) -> None:
    k, x = random(*taps), random(1, *sample)
    axes = range(len(sample) - len(taps) + 1, len(sample) + 1)
    expected = {"circular": torch.zeros_like(x), "zero": torch.zeros_like(x)}
    for t in np.ndindex(*taps):
        shifts = [i - (s - 1) // 2 for i, s in zip(t, taps, strict=True)]
        moved = x.roll(shifts, tuple(axes))
        expected["circular"] += k[t] * moved
        for axis, shift in zip(axes, shifts, strict=True):
            n = x.shape[axis]
            gone = (
                moved.narrow(axis, 0, shift) if shift > 0 else moved.narrow(axis, n + shift, -shift)
            )
            gone.zero_()
        expected["zero"] += k[t] * moved
    for boundary, right in expected.items():
        torch.testing.assert_close(ed.Blur(k, boundary)(x), right)  # type: ignore[arg-type]


def test_what_blur_keeps_follows_its_kernel() -> None:
    k, x = random(3), random(1, 8)
    K = ed.Blur(k)
    K(x)
    with torch.no_grad():
        K.kernel.mul_(2)
    torch.testing.assert_close(K(x), ed.Blur(2 * random(3))(x))
    K.load_state_dict({"kernel": random(3, seed=5)}, assign=True)
    torch.testing.assert_close(K(x), ed.Blur(random(3, seed=5))(x))


@pytest.mark.parametrize("shape", [(8,), (5, 6), (1,), (3, 1)], ids=str)
def test_dct_of_axes_is_that_of_the_matrix(shape: tuple[int, ...]) -> None:
    x = random(2, *shape)
    expected = x
    for axis in range(1, len(shape) + 1):
        expected = ed.Dense.dct(x.shape[axis], double)(
            expected.movedim(axis, -1).reshape(-1, x.shape[axis])
        )
        expected = expected.reshape(*x.movedim(axis, -1).shape).movedim(-1, axis)
    K = ed.Dct(len(shape))
    torch.testing.assert_close(K(x), expected)
    torch.testing.assert_close(K.adjoint(K(x)), x)


@pytest.mark.parametrize("p", range(1, 11))
def test_daubechies(p: int) -> None:
    low = daubechies(f"db{p}")
    assert len(low) == 2 * p
    for k in range(p):
        assert math.isclose(low[2 * k :] @ low[: 2 * (p - k)], k == 0, abs_tol=1e-10)
    high = low[::-1] * (-1.0) ** np.arange(2 * p)
    for moment in range(p):  # relative to the size of its terms
        terms = high * np.linspace(-1, 1, 2 * p) ** moment
        assert abs(terms.sum()) <= 1e-7 * np.abs(terms).sum()
    root = math.sqrt(3)
    known = np.array([1 + root, 3 + root, 3 - root, 1 - root]) / (4 * math.sqrt(2))
    np.testing.assert_allclose(daubechies("db2"), known, atol=1e-15)


@pytest.mark.parametrize(
    ("K", "shape"),
    [
        (ed.Wavelet("db4", axes=1), (32,)),
        (ed.Wavelet("db2"), (3, 16, 24)),
        (ed.Wavelet("haar", levels=2, axes=3), (4, 4, 8)),
        (ed.Wavelet(list(daubechies("db3")), 1), (6, 12)),
        (ed.Stft(8), (21,)),
        (ed.Stft(torch.ones(6), 4), (2, 9)),
        (ed.Stft(7, 3), (5,)),
        (ed.Framed.dft(8, 4, 10, dtype=torch.float64), (21,)),
        (ed.Framed.dft(6, 2, 6, dtype=torch.float64), (5,)),
        (ed.Fourier(), (2, 4, 5)),
        (ed.Fourier(real=True), (4, 5)),
    ],
    ids=repr,
)
def test_tight(K: ed.Operator, shape: tuple[int, ...]) -> None:
    x = random(2, *shape)
    torch.testing.assert_close(K.adjoint(K(x), x.shape[1:]), x)


@pytest.mark.parametrize("name", ["haar", "db3", "sym5"])
def test_wavelets_are_those_of_pywavelets(name: str) -> None:
    """But for where the signal begins."""
    pywt = pytest.importorskip("pywt")
    x = random(1, 32)
    given = name if name != "sym5" else pywt.Wavelet(name).rec_lo
    ours = ed.Wavelet(given, 1, axes=1)(x)[0].numpy()
    for part, theirs in zip(
        (ours[:16], ours[16:]), pywt.dwt(x[0].numpy(), name, mode="periodization"), strict=True
    ):
        shifted = [np.roll(part, k) * sign for k in range(16) for sign in (1, -1)]
        assert min(np.abs(each - theirs).max() for each in shifted) < 1e-12


@pytest.mark.parametrize(
    ("name", "levels", "shape"),
    [("haar", 3, (17,)), ("db2", 2, (6, 9)), ("db4", 3, (5, 20)), ("sym5", 2, (7, 8, 3))],
)
def test_mirrored_wavelets_are_those_of_pywavelets(
    name: str, levels: int, shape: tuple[int, ...]
) -> None:
    pywt = pytest.importorskip("pywt")
    x, axes = random(2, 3, *shape), tuple(range(2, 2 + len(shape)))
    K = ed.SymmetricWavelet(pywt.Wavelet(name).rec_lo, levels, len(shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more levels than PyWavelets advises
        low, *details = pywt.wavedecn(x.numpy(), name, "symmetric", levels, axes)
    # their wavelet is ours, or its negative
    sign = np.sign(pywt.Wavelet(name).rec_hi[-1] * -pywt.Wavelet(name).rec_lo[0])
    theirs = [low.reshape(2, 3, -1)]
    for level in details:
        theirs += [level[k].reshape(2, 3, -1) * sign ** k.count("d") for k in sorted(level)]
    np.testing.assert_allclose(K(x).numpy(), np.concatenate(theirs, -1), atol=1e-12)
    mask = K.details(shape)
    assert int((mask == 0).sum()) == low[0, 0].size
    assert mask.shape == K.codomain(torch.Size(shape))


def test_wavelets_do_not_see_what_is_smooth() -> None:
    K = ed.Wavelet("db2", levels=2, axes=1)
    y = K(torch.arange(32, dtype=double)[None])
    seen = y.abs() > 1e-12
    assert not (seen[0, 8:] & (K.details((32,))[8:] > 0))[:-1][:2].any()
    assert int(seen.sum()) <= 8 + 4  # the approximation, and where the line breaks off


def test_frames_are_a_strided_convolution() -> None:
    matrix, x = random(6, 8), random(2, 21)
    K = ed.Framed(matrix, hop=4)
    conv = ed.Conv(matrix[:, None], stride=4, padding="none")
    padded = torch.nn.functional.pad(x, (4, 4 + 3))  # zeros before, and up to the last frame's end
    torch.testing.assert_close(K(x), conv(padded[:, None]).transpose(1, 2))
    assert K.norm_bound() == conv.norm_bound()


def test_neighbours_are_a_gradient_among_others() -> None:
    x = random(2, 4, 5)
    torch.testing.assert_close(ed.Differences([(1, 0), (0, 1)])(x), ed.Gradient()(x))
    diagonal = ed.Differences([(-1, 2)])(x)[:, 0]
    torch.testing.assert_close(diagonal[:, 1:, :-2], x[:, :-1, 2:] - x[:, 1:, :-2])
    assert not diagonal[:, 0].any()
    assert not diagonal[:, :, -2:].any()


def test_the_symmetric_gradient_has_the_frobenius_norm() -> None:
    w = random(1, 2, 4, 5)
    slopes = torch.stack([ed.Gradient()(w[:, i])[0] for i in range(2)])
    symmetric = (slopes + slopes.transpose(0, 1)) / 2
    torch.testing.assert_close(ed.SymmetricGradient()(w)[0].norm(dim=0), symmetric.norm(dim=(0, 1)))


def test_sparse_of_scipy_and_torch() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x = random(2, 3)
    for matrix in (SPARSE, SPARSE.to_sparse_coo(), sparse.csc_array(SPARSE.to_dense().numpy())):
        torch.testing.assert_close(ed.Sparse(matrix)(x), x @ SPARSE.to_dense().T)


@pytest.mark.parametrize("fan", [{}, {"source": 120.0, "detector": 30.0}], ids=["parallel", "fan"])
def test_rays_measure_a_disc(fan: dict[str, float]) -> None:
    n, radius = 64, 20.0
    i = torch.arange(n, dtype=double) - (n - 1) / 2
    disc = (i[:, None].square() + i.square() <= radius**2).double()[None]
    K = ed.Tomography(n, 7, dtype=double, **fan)
    seen = K(disc)[0]
    s = torch.arange(seen.shape[1], dtype=double) - (seen.shape[1] - 1) / 2
    if fan:  # how far from the origin each ray passes
        whole = fan["source"] + fan["detector"]
        s = fan["source"] * s / (s.square() + whole**2).sqrt()
    chords = 2 * (radius**2 - s.square()).clamp(min=0).sqrt()
    assert float((seen - chords).abs().mean()) < 0.6
    if not fan:
        torch.testing.assert_close(
            seen.sum(1), torch.full((7,), float(disc.sum())).double(), rtol=2e-2, atol=0
        )


def test_angles_turn_counterclockwise() -> None:
    x = torch.zeros(1, 4, 6, dtype=double)
    x[0, 0, 1] = 1.0  # above and to the left of the middle
    up, left, turned = ed.Tomography((4, 6), [0.0, math.pi / 2, math.pi], 6, dtype=double)(x)[0]
    assert up.tolist() == pytest.approx([0, 1, 0, 0, 0, 0])
    # rays to the left, the first one at the bottom
    assert left.tolist() == pytest.approx([0, 0, 0, 0, 1, 0])
    assert turned.tolist() == pytest.approx([0, 0, 0, 0, 1, 0])


def test_projections_of_images_with_a_channel() -> None:
    x = random(2, 1, 4, 6)
    with_channel, without = (ed.Tomography(shape, 3, dtype=double) for shape in ((1, 4, 6), (4, 6)))
    y = with_channel(x)
    assert torch.equal(y, without(x[:, 0]))
    assert torch.equal(with_channel.adjoint(y), without.adjoint(y)[:, None])


def test_blocks_of_tgv() -> None:
    n = 3
    K = ed.Blocks(
        [[ed.Gradient(), -1 * ed.Identity()], [None, ed.SymmetricGradient()]], [(n, n), (2, n, n)]
    )
    x, w = random(1, n, n), random(1, 2, n, n)
    y = K(torch.cat([x.flatten(1), w.flatten(1)], 1))
    torch.testing.assert_close(y[:, : 2 * n * n], (ed.Gradient()(x) - w).flatten(1))
    torch.testing.assert_close(y[:, 2 * n * n :], ed.SymmetricGradient()(w).flatten(1))
    assert [u.shape for u in K.unknowns(torch.zeros(1, 27))] == [(1, n, n), (1, 2, n, n)]
    exact = torch.linalg.matrix_norm(matrix_of(K, torch.Size((27,))), 2)
    assert exact <= K.norm_bound() <= 1.3 * exact


@pytest.mark.parametrize(
    "K",
    [
        ed.Tomography(4, 3, dtype=double),
        ed.Sparse(SPARSE),
        ed.from_torch(lambda x: x.cumsum(-1), domain=(5,)),
        ed.Blocks([[ed.Gradient()]], [(3, 4)]),
    ],
    ids=lambda K: type(K).__name__,
)
def test_the_norm_where_the_domain_is_known(K: ed.Operator) -> None:
    domain = K.domain(torch.Size())
    assert float(K.norm()) == float(K.norm(domain)) <= K.norm_bound() == K.norm_bound(domain)


X = observation(sample=(4, 4))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ed.Blur(torch.ones(3, dtype=torch.int64)), "Blur got a kernel"),
        (lambda: ed.Blur(torch.ones(3), "mirror"), "boundary is 'mirror'"),  # type: ignore[arg-type]
        (lambda: ed.Blur(torch.ones(5, 5).double())(X), "no shorter than the kernel"),
        (lambda: ed.Fourier(torch.ones(4, 4).bool()), "mask.to"),
        (lambda: ed.Fourier(torch.ones(4, 5).double(), real=True)(X), "make the mask as large"),
        (lambda: ed.Fourier()(X), "real and imaginary parts"),
        (lambda: ed.Dct(0), "at least 1"),
        (lambda: ed.Dct(3)(X), "Dct transforms 3 axes"),
        (lambda: ed.Wavelet("db4")(X), "allow 0 levels of a wavelet of 8 taps"),
        (lambda: ed.Wavelet("haar", 3)(X), "allow 2 levels of a wavelet of 2 taps, not 3"),
        (lambda: ed.Wavelet("db11"), 'no wavelet "db11"'),
        (lambda: ed.Wavelet([0.5, 0.5]), "from being orthonormal"),
        (lambda: ed.Wavelet([1.0]), "an even count"),
        (lambda: ed.Wavelet("haar", 0), "levels are 0"),
        (lambda: ed.SymmetricWavelet("haar", 0), "levels are 0"),
        (lambda: ed.SymmetricWavelet(axes=0), "axes are 0"),
        (lambda: ed.SymmetricWavelet(axes=3)(X), "takes 3 axes"),
        (lambda: ed.Stft(8, 9), "hop is 9"),
        (lambda: ed.Stft(torch.tensor([1.0, 0.0, 1.0, 0.0]), 2), "leave samples out"),
        (lambda: ed.Stft(1), "window has 1 samples"),
        (lambda: ed.Stft(torch.hann_window(8), 8), "leave samples out"),
        (lambda: ed.Framed(torch.ones(3), 1), "takes a floating-point tensor"),
        (lambda: ed.Framed(torch.ones(3, 4), 3), "divides 4"),
        (lambda: ed.Framed(torch.ones(3, 4), 2)(X), "takes signals"),
        (lambda: ed.Framed.dft(8, 4, 7), "give an even number"),
        (lambda: ed.Differences([]), "at least one"),
        (lambda: ed.Differences([(0, 0)]), "not all of them 0"),
        (lambda: ed.Differences([(0, 1), 1]), "as many whole"),
        (lambda: ed.Differences([(4, 0)])(X), "longer than each"),
        (lambda: ed.SymmetricGradient()(X), "as Gradient gives them"),
        (lambda: ed.Sparse(torch.eye(3)), "give a sparse matrix"),
        (lambda: ed.Sparse(SPARSE, domain=(2, 2)), "give a shape of 3 entries"),
        (lambda: ed.Sparse(SPARSE, values=torch.ones(4)), "the matrix has 5 entries"),
        (lambda: ed.Sparse(torch.eye(2).long().to_sparse()), "convert it to floating-point"),
        (lambda: ed.Sparse(SPARSE)(X), "this Sparse takes"),
        (lambda: ed.Tomography(4, 0), "so no rays"),
        (lambda: ed.Tomography(4, [0.0], 0), "so no rays"),
        (lambda: ed.Tomography(0, 3), "give pixels"),
        (lambda: ed.Tomography((2, 4, 4), 3), "one channel before them"),
        (lambda: ed.Tomography((4,), 3), "rows and columns"),  # type: ignore[arg-type]
        (lambda: ed.Tomography(4, 3, source=9.0), "give both"),
        (lambda: ed.Tomography(4, 3, source=1.0, detector=3.0), "outside of the image"),
        (lambda: ed.Tomography(4, 3, spacing=0.0), "spacing is 0"),
        (lambda: ed.Tomography(5, 3, dtype=double)(X), "this Tomography takes"),
        (lambda: ed.Blocks([], [(3,)]), "no row"),
        (lambda: ed.Blocks([[None]], [(3,)]), "one operator at least"),
        (lambda: ed.Blocks([[ed.Identity()]], [(3,), (3,)]), "each of the 2 domains"),
        (lambda: ed.Blocks([[ed.Identity(), ed.Gradient()]], [(3,), (3,)]), "needs one shape"),
        (lambda: ed.Blocks([[ed.Identity()]], [(3,)])(X), "flat, one after the other"),
    ],
)
def test_refusals(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        make()
