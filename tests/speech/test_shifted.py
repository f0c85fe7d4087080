"""Frames that begin elsewhere in every epoch, and never reach into another recording."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ergodual as ed
from ergodual.bilevel.data import Share
from ergodual.speech.shifted import Shifted

N = 5


@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=5).filter(
        lambda counts: max(counts) > 1
    ),
    size=st.integers(1, 9),
    first=st.integers(0, 3),
    workers=st.integers(1, 3),
)
def test_an_epoch(counts: list[int], size: int, first: int, workers: int) -> None:
    frames = torch.arange(float(sum(counts) * N)).reshape(-1, N)
    ends = torch.tensor(counts).cumsum(0).tolist()
    data = Shifted(frames, ends, lambda x: (x, x))
    assert len(data) == sum(counts) - len(counts)
    offsets = set()
    for epoch in range(8):
        batches = [x for x, _ in data.batches(size, 0, epoch, 0, Share())]
        starts = torch.cat(batches)[:, 0]
        assert torch.equal(torch.cat(batches), starts[:, None] + torch.arange(N))
        offset = (
            int(starts.min())
            - int(min(start for start, count in zip([0, *ends], counts, strict=False) if count > 1))
            * N
        )
        assert 0 <= offset < N
        offsets.add(offset)
        inner = [
            start + i
            for start, count in zip([0, *ends], counts, strict=False)
            for i in range(count - 1)
        ]
        assert sorted(starts.tolist()) == [i * N + offset for i in inner]
        shares = [
            [x for x, _ in data.batches(size, 0, epoch, first, Share(i, workers))]
            for i in range(workers)
        ]
        for whole, *parts in zip(batches[first:], *shares, strict=True):
            assert torch.equal(torch.cat(parts)[:, 0].sort().values, whole[:, 0].sort().values)
    assert len(offsets) > 1
    assert sum(len(x) for x, _ in data.chunks(Share())) == len(data)


def test_a_quarter_is_biased() -> None:
    frames = torch.ones(401, N)
    data = Shifted(frames, [401], lambda x: (x, x), bias=0.5)
    epochs = [
        torch.cat([x for x, _ in data.batches(7, 0, epoch, 0, Share())]) for epoch in (0, 0, 1)
    ]
    assert torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], epochs[2])
    lowered = Shifted(-frames, [401], lambda x: (x, x), bias=0.5)
    below = torch.cat([x for x, _ in lowered.batches(7, 0, 0, 0, Share())])
    beta = (epochs[0] + below)[:, 0] / 2  # (1 − |β|) x + β for x = 1 and x = −1
    assert (beta != 0).double().mean() == pytest.approx(0.25, abs=0.01)
    assert beta.min() == pytest.approx(-0.5, abs=0.01)
    assert beta.max() == pytest.approx(0.5, abs=0.02)
    assert (epochs[0].abs() <= 1 + 1e-6).all()
    assert all((x == 1).all() for x, _ in data.chunks(Share()))


def test_recordings_of_one_frame() -> None:
    with pytest.raises(ed.ErgodualError, match="cannot be shifted"):
        Shifted(torch.zeros(3, N), [1, 2, 3], lambda x: (x, x))
