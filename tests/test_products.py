"""Products by any kernel are exact, and leave torch's settings as they were."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import ergodual as ed
from ergodual import products
from ergodual.bilevel import fit

KERNELS = [(torch.float32, "onednn"), (torch.float64, "numpy")]


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is fixed or remembered, before and after."""
    monkeypatch.delenv("ERGODUAL_PRODUCTS", raising=False)
    forget()
    yield
    products._fixed = None
    forget()


def forget() -> None:
    for remembered in (products._from_environment, products._chosen, products._is_exact):
        remembered.cache_clear()


def matrices(dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Operands as the sweeps have them, above the size from which kernels are chosen."""
    x, K, y = (
        torch.randn(*size, generator=torch.Generator().manual_seed(0), dtype=dtype)
        for size in ((96, 200), (180, 200), (96, 180))
    )
    return [(x, K.T), (y, K), (y.T, x)]


@pytest.mark.parametrize(("dtype", "kernel"), KERNELS)
@pytest.mark.parametrize("layout", range(3))
@pytest.mark.parametrize(("keep", "scale"), [(0.0, 1.0), (1.0, -0.7), (0.3, 2.0)])
def test_products_are_exact(
    dtype: torch.dtype, kernel: str, layout: int, keep: float, scale: float
) -> None:
    ed.use_products(kernel)
    a, b = matrices(dtype)[layout]
    base = torch.randn(len(a), b.shape[1], dtype=dtype)
    right = a.double() @ b.double()
    room = {torch.float32: 2e-6, torch.float64: 1e-14}[dtype] * float(right.norm())
    assert products._kernel(a, b) == products.products_in_use(dtype)
    assert float((products.mm(a, b) - right).norm()) < room
    whole = keep * base.double() + scale * right
    out = torch.empty_like(base)
    assert float((products.addmm(base, a, b, keep, scale, out) - whole).norm()) < 2 * room
    products.addmm(base, a, b, keep, scale, base)  # over itself
    assert torch.equal(base, out)


@pytest.mark.parametrize(("dtype", "kernel"), KERNELS)
def test_gradients_are_those_of_float64(dtype: torch.dtype, kernel: str) -> None:
    found = {}
    for name, kind in (("torch", torch.float64), (kernel, dtype)):
        ed.use_products(name)
        K = ed.Dense.dct(160, dtype=kind)
        x = torch.randn(128, 160, generator=torch.Generator().manual_seed(1)).to(kind)
        model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), K), depth=3)
        model(x).square().sum().backward()
        assert K.matrix.grad is not None
        found[name] = K.matrix.grad.double()
    error = (found[kernel] - found["torch"]).norm() / found["torch"].norm()
    assert float(error) < (5e-7 if dtype is torch.float32 else 1e-13)


def test_the_setting_is_put_back_whatever_happens() -> None:
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    ed.use_products("onednn")
    a, b = matrices(torch.float32)[0]
    with pytest.raises(RuntimeError):
        products.addmm(torch.empty(3, 3), a, b, 1.0, 1.0, torch.empty(3, 3))
    assert settings.fp32_precision == before
    threads = [
        threading.Thread(target=lambda: [products.mm(a, b) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settings.fp32_precision == before


@pytest.mark.parametrize(("dtype", "kernel"), KERNELS)
def test_a_kernel_that_is_not_exact_is_not_taken(
    dtype: torch.dtype, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_bfloat16(a: Tensor, b: Tensor) -> Tensor:
        return (a.bfloat16() @ b.bfloat16()).to(a.dtype)

    monkeypatch.setitem(products._TIMES, kernel, in_bfloat16)
    ed.use_products(kernel)
    assert ed.products_in_use(dtype) == "torch"


@pytest.mark.parametrize(("gain", "taken"), [(1.1, False), (1.9, True)])
def test_the_faster_kernel_is_taken(
    gain: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_gain", lambda dtype: gain)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert (ed.products_in_use(torch.float64) == "numpy") is taken


def test_an_unknown_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ed.ErgodualError, match="is 'mkl'; give one of auto, torch"):
        ed.use_products("mkl")
    monkeypatch.setenv("ERGODUAL_PRODUCTS", "fast")
    with pytest.raises(ed.ErgodualError, match="ERGODUAL_PRODUCTS is 'fast'"):
        ed.products_in_use(torch.float32)


def test_a_resume_under_another_kernel_says_so(tmp_path: Path) -> None:
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))

    def train(epochs: int) -> None:
        model = ed.Unrolled(ed.Problem(ed.L1(), ed.SquaredL2(), ed.Dense.dct(6)), depth=2)
        fit(model, x, x, epochs=epochs, checkpoint=tmp_path / "checkpoint.pt", resume=True)

    ed.use_products("numpy")
    train(1)
    train(2)
    ed.use_products("torch")
    with pytest.warns(ed.OtherProductsWarning, match="float64 matrices by numpy .* with torch"):
        train(3)


@pytest.mark.parametrize("layout", range(3))
@pytest.mark.parametrize(("keep", "scale"), [(0.0, 1.0), (0.3, 2.0)])
def test_rounded_products_have_the_error_of_bfloat16(
    layout: int, keep: float, scale: float
) -> None:
    a, b = matrices(torch.float32)[layout]
    base, right = torch.ones(len(a), b.shape[1]), a.double() @ b.double()
    exact = products.mm(a, b)
    with products.rounded_products():
        found = products.mm(a, b)
        added = products.addmm(base, a, b, keep, scale, torch.empty_like(base))
        learned = products.mm(a.clone().requires_grad_(), b)  # which autograd records
    error = float((found - right).norm() / right.norm())
    assert 1e-4 < error < 5e-3
    torch.testing.assert_close(added, keep * base + scale * found)
    assert torch.equal(learned, exact)
    assert torch.equal(products.mm(a, b), exact)


def test_levels_are_split_where_they_would_be_rounded() -> None:
    x = 511.0 - torch.arange(0, 384.0, 2).reshape(1, -1)
    identity = torch.eye(192)
    with products.rounded_products():
        assert not torch.equal(products.mm(x, identity, fine=True), x)
    with products.rounded_products(split=True):
        assert torch.equal(products.mm(x, identity, fine=True), x)
        assert not torch.equal(products.mm(x, identity), x)


def test_rounded_products_are_one_threads_own() -> None:
    a, b = matrices(torch.float32)[0]
    found = []
    with products.rounded_products():
        other = threading.Thread(target=lambda: found.append(products.mm(a, b)))
        other.start()
        other.join()
    assert torch.equal(found[0], products.mm(a, b))
