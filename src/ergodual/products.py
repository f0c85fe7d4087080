"""Products of matrices by the fastest kernel that is exact on this processor.

torch's own products are not the fastest everywhere: on an AMD EPYC of its fifth generation oneDNN
multiplies matrices of float32 twice as fast, and numpy's BLAS those of float64 1.7 times. What is
fastest is measured once a process for each type, at one fixed size.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.tensors import random_like, traced

KERNELS = ("auto", "torch", "onednn", "numpy")
OTHER = {torch.float32: "onednn", torch.float64: "numpy"}
"""What else than torch's own kernel multiplies matrices of a type."""

LEAST_SIZE = 2_500_000
"""Multiplications from which another kernel pays, whose call takes 15 µs more."""

LEAST_GAIN = 1.4
"""From how many times torch's speed another kernel is taken. It is one or two times where it was
measured, so that noise does not decide: runs on one machine stay the same, bit for bit.
"""

PROBE = (256, 320, 320)
"""The size of the products that are timed."""

ROUNDED_PROBE = (2048, 320, 640)
"""The same for bfloat16, whose gain grows with the size: here it is below 1, or about 2."""

ERROR = {torch.float32: 2e-6, torch.float64: 1e-14}
"""The largest relative error of a product that is exact: ten times that of torch's."""

_fixed: str | None = None
_rounding: ContextVar[str] = ContextVar("rounding", default="")


def use_products(kernel: str) -> None:
    """Fix what multiplies dense matrices on the CPU, in this process.

    The environment variable ``ERGODUAL_PRODUCTS`` does the same before anything is multiplied. A
    kernel that is not exact on this processor is never taken, whatever is asked for: oneDNN may
    multiply numbers of float32 in bfloat16 where there are units for it.

    Parameters
    ----------
    kernel
        ``"torch"``; ``"onednn"`` for float32 and ``"numpy"`` for float64, with torch's for the
        other type; or ``"auto"``, the default: the fastest, of which numpy's is one where a single
        thread multiplies.

    Raises
    ------
    ErgodualError
        If there is no such kernel.

    Examples
    --------
    >>> ed.use_products("torch")
    >>> ed.products_in_use(torch.float32)
    'torch'
    >>> ed.use_products("auto")  # the fastest again
    """
    global _fixed
    _require_kernel("The kernel of products", kernel)
    _fixed = kernel


def products_in_use(dtype: torch.dtype) -> str:
    """What multiplies large matrices of this type on the CPU: one of ``"torch"``, ``"onednn"`` and
    ``"numpy"``.

    Examples
    --------
    >>> ed.products_in_use(torch.float64) in ("torch", "onednn", "numpy")
    True
    """
    return _chosen(_fixed or _from_environment(), dtype, torch.get_num_threads())


def all_in_use() -> dict[str, str]:
    """:func:`products_in_use` by the names of the types."""
    return {str(dtype).removeprefix("torch."): products_in_use(dtype) for dtype in OTHER}


def mm(a: Tensor, b: Tensor, fine: bool = False) -> Tensor:
    """The product of two matrices; ``fine`` where :func:`rounded_products` may have to split a."""
    if _rounds(a, b):
        return _rounded_product(a, b, fine).float()
    kernel = _kernel(a, b)
    return a @ b if kernel == "torch" else _TIMES[kernel](a, b)


def addmm(
    base: Tensor,
    a: Tensor,
    b: Tensor,
    keep: float,
    scale: float,
    out: Tensor,
    fine: bool = False,
) -> Tensor:
    """keep · base + scale · a b, written to ``out``, which may be ``base``; see :func:`mm`."""
    if _rounds(a, b):
        return _added(base, _rounded_product(a, b, fine), keep, scale, out)
    kernel = _kernel(a, b)
    if kernel == "torch":
        return torch.addmm(base, a, b, beta=keep, alpha=scale, out=out)
    if kernel == "onednn":
        with _through_onednn():
            return torch.addmm(base, a, b, beta=keep, alpha=scale, out=out)
    return _added(base, _by_numpy(a, b), keep, scale, out)


@contextmanager
def rounded_products(split: bool = False) -> Iterator[None]:
    """Within it, this thread multiplies matrices of float32 on the CPU in bfloat16.

    Where the processor has units for it that is 2 to 4 times as fast. Products that autograd
    records are not concerned; for them there is ``torch.autocast``. That K and Kᵀ are rounded apart
    is no matter for a network that has learned so, and forbids certificates.

    Parameters
    ----------
    split
        Whether signals that an operator is applied to count with 16 bits instead of 8, as the sum
        of two such numbers: for quantized ones of more than 16 levels, which would be rounded.
    """
    before = _rounding.set("split" if split else "plain")
    try:
        yield
    finally:
        _rounding.reset(before)


@cache
def _rounding_gain() -> float:
    """How many times as fast products of float32 are in bfloat16, conversions included."""
    rows, inner, columns = ROUNDED_PROBE
    a, b = random_like(torch.empty(rows, inner), 1), random_like(torch.empty(columns, inner), 2).T
    rounded = partial(_rounded_product, fine=False)
    with torch.no_grad():
        pairs = [(_seconds(torch.mm, a, b), _seconds(rounded, a, b)) for _ in range(5)]
    return min(exact for exact, _ in pairs) / min(others for _, others in pairs)


def rounding_pays() -> bool:
    """Whether :func:`rounded_products` is faster on this processor, by as much as another kernel
    must be; not where :func:`use_products` or ``ERGODUAL_PRODUCTS`` fix what multiplies.
    """
    return (_fixed or _from_environment()) == "auto" and _rounding_gain() >= LEAST_GAIN


def _rounds(a: Tensor, b: Tensor) -> bool:
    if not _rounding.get() or not (a.is_cpu and a.dtype == b.dtype == torch.float32):
        return False
    return not (torch.is_grad_enabled() and (a.requires_grad or b.requires_grad))


def _rounded_product(a: Tensor, b: Tensor, fine: bool) -> Tensor:
    high, b = a.bfloat16(), b.bfloat16()
    if fine and _rounding.get() == "split":
        return (high @ b).float() + ((a - high).bfloat16() @ b)
    return high @ b


def _added(base: Tensor, product: Tensor, keep: float, scale: float, out: Tensor) -> Tensor:
    if keep == 0:
        return torch.mul(product, scale, out=out)
    base = base if keep == 1 else torch.mul(base, keep, out=out)
    return torch.add(base, product, alpha=scale, out=out)


@cache
def _from_environment() -> str:
    wish = os.environ.get("ERGODUAL_PRODUCTS") or "auto"
    _require_kernel("The environment variable ERGODUAL_PRODUCTS", wish)
    return wish


@cache
def _chosen(wish: str, dtype: torch.dtype, threads: int) -> str:
    other = OTHER.get(dtype)
    if other is None or wish not in ("auto", other) or not _is_exact(dtype, *PROBE):
        return "torch"
    # several threads of numpy's BLAS are not torch's, and no thread's time tells of the others
    able = other != "numpy" or threads == _threads_of_numpy() == 1
    return other if wish == other or (able and _gain(dtype) >= LEAST_GAIN) else "torch"


def _kernel(a: Tensor, b: Tensor) -> str:
    """What multiplies these two; torch what has a gradient, and small or unusual matrices."""
    if traced() or a.numel() * b.shape[-1] < LEAST_SIZE:
        return "torch"
    if a.dtype not in OTHER or b.dtype != a.dtype or not (a.is_cpu and b.is_cpu):
        return "torch"
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        return "torch"
    kernel = products_in_use(a.dtype)
    if kernel != "torch" and not _is_exact(a.dtype, *map(_rounded, (*a.shape, b.shape[1]))):
        return "torch"
    return kernel


def _rounded(size: int) -> int:
    """Up to a power of 2, so that few sizes are checked; to 4096 at most."""
    return min(4096, 1 << max(size - 1, 0).bit_length())


def _by_onednn(a: Tensor, b: Tensor) -> Tensor:
    with _through_onednn():
        return a @ b


def _by_numpy(a: Tensor, b: Tensor) -> Tensor:
    return torch.from_numpy(np.matmul(a.numpy(force=True), b.numpy(force=True)))


_TIMES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "onednn": _by_onednn,
    "numpy": _by_numpy,
}

_lock = threading.Lock()
_inside = 0
_before = ""


@contextmanager
def _through_onednn() -> Iterator[None]:
    """Torch hands products of float32 to oneDNN where it may use bfloat16 there, which it does on
    processors with units for it alone. The setting is the process's: the first thread that enters
    sets it, and the last one that leaves puts the old one back.
    """
    global _inside, _before
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    with _lock:
        if not _inside:
            _before = settings.fp32_precision
            settings.fp32_precision = "bf16"
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                settings.fp32_precision = _before


@cache
def _is_exact(dtype: torch.dtype, rows: int, inner: int, columns: int) -> bool:
    """Whether the other kernel's products of this size, with operands that lie as K and Kᵀ do and
    as those of outer products, have the error of their type.
    """
    if dtype is torch.float32 and not hasattr(torch.backends.mkldnn, "matmul"):
        return False
    times = _TIMES[OTHER[dtype]]
    a = random_like(torch.empty(rows, inner, dtype=dtype), 1)
    b = random_like(torch.empty(inner, columns, dtype=dtype), 2)
    right = a.double() @ b.double()
    layouts = ((a, b), (a, b.T.contiguous().T), (a.T.contiguous().T, b))
    with torch.no_grad():
        errors = [float((times(*pair).double() - right).norm()) for pair in layouts]
    return max(errors) <= ERROR[dtype] * float(right.norm())


def _gain(dtype: torch.dtype) -> float:
    """How many times torch's seconds are the other kernel's, with as many threads.

    By the seconds that the processor spends on this thread, and the best of many: so that whatever
    else the machine does decides nothing.
    """
    rows, inner, columns = PROBE
    a = random_like(torch.empty(rows, inner, dtype=dtype), 1)
    b = random_like(torch.empty(columns, inner, dtype=dtype), 2).T
    times = _TIMES[OTHER[dtype]]
    with torch.no_grad():
        pairs = [(_seconds(torch.mm, a, b), _seconds(times, a, b)) for _ in range(20)]
    return min(torchs for torchs, _ in pairs) / min(others for _, others in pairs)


def _seconds(times: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> float:
    begun = time.thread_time()
    times(a, b)
    return time.thread_time() - begun


def _threads_of_numpy() -> int:
    """As OpenBLAS counts them."""
    names = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
    given = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return int(given) if given.isdigit() else os.cpu_count() or 1


def _require_kernel(said: str, kernel: str) -> None:
    if kernel not in KERNELS:
        raise ErgodualError(f"{said} is {kernel!r}; give one of {', '.join(KERNELS)}.")
