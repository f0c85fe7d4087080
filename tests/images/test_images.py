"""Noise, crops, measures."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import ergodual as ed
from ergodual.bilevel.data import Share
from ergodual.images import NoisyCrops, add_noise, psnr, ssim
from ergodual.images.loss import InteriorError


def test_noise_is_that_of_the_seed() -> None:
    image = torch.full((1, 4, 5), 0.5)
    expected = np.random.default_rng(1003).standard_normal((4, 5)).astype(np.float32)
    found = add_noise(image, 0.25, index=3)
    np.testing.assert_allclose(found[0], 0.5 + 0.25 * expected, rtol=1e-6)
    assert float(found.min()) < 0  # not clipped
    with pytest.raises(ed.ErgodualError, match=r"standard deviation is -1"):
        add_noise(image, -1)


def test_psnr() -> None:
    image = torch.zeros(1, 4, 4)
    assert psnr(image + 0.1, image) == pytest.approx(20, abs=1e-5)
    assert psnr(image, image) == math.inf
    with pytest.raises(ed.ErgodualError, match="make them alike"):
        psnr(image[0], image)


def test_ssim() -> None:
    image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert ssim(image, image) == pytest.approx(1)
    assert 0 < ssim(add_noise(image, 0.1), image) < 0.999
    with pytest.raises(ed.ErgodualError, match="11 pixels wide"):
        ssim(image[:, :8], image[:, :8])


def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, 20, 24, generator=generator) for _ in range(3)]


def all_of(data: NoisyCrops, epoch: int, first: int = 0, share: Share = Share()) -> list[Tensor]:  # noqa: B008
    return [x for pair in data.batches(4, 5, epoch, first, share) for x in pair]


def test_crops_are_a_function_of_the_epoch() -> None:
    data = NoisyCrops(images(), 8, 0.1, batches_an_epoch=3, batch_size=4)
    whole = all_of(data, 1)
    assert [tuple(x.shape) for x in whole] == [(4, 1, 8, 8)] * 6
    for a, b in zip(all_of(data, 1, first=2), whole[4:], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(all_of(data, 2)[0], whole[0])
    for rank in range(2):
        for a, b in zip(all_of(data, 1, share=Share(rank, 2)), whole, strict=True):
            assert torch.equal(a, b[rank::2])


def test_crops_are_of_the_images_in_units_of_the_noise() -> None:
    given = images()
    x_tilde, x_true = all_of(NoisyCrops(given, 8, 0.1, 1, 4), 1)
    noise = x_tilde - x_true
    assert 0.8 < float(noise.std()) < 1.2
    windows = torch.cat([x[0].unfold(0, 8, 1).unfold(1, 8, 1).reshape(-1, 8, 8) for x in given])
    for crop in x_true[:, 0] * 0.1:
        turned = [torch.rot90(c, k) for c in (crop, crop.flip(1)) for k in range(4)]
        assert any(bool((windows - t).abs().amax((1, 2)).min() < 1e-6) for t in turned)


def test_what_is_measured_stays() -> None:
    data = NoisyCrops(images(), 8, (0.1, 0.2), measured=2)
    once, again = (list(data.chunks(Share())) for _ in range(2))
    assert len(once) == 2
    for p, q in zip(once, again, strict=True):
        assert all(map(torch.equal, p, q))


@pytest.mark.parametrize(
    ("given", "size", "sigma", "said"),
    [
        ([], 8, 0.1, "no images"),
        ([torch.zeros(1, 6, 9)], 8, 0.1, r"Image 0 has shape \(1, 6, 9\)"),
        ([torch.zeros(3, 9, 9)], 8, 0.1, "give grey images"),
        ([torch.zeros(1, 9, 9)], 8, 0.0, "must be positive"),
    ],
)
def test_crops_refused(given: list[Tensor], size: int, sigma: float, said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        NoisyCrops(given, size, sigma)


def test_interior_error() -> None:
    error = torch.zeros(2, 1, 6, 6)
    error[0, 0, 0, 3] = 5.0  # in the rim
    error[1, 0, 3, 3] = 2.0
    found = InteriorError(2)(error, torch.zeros_like(error))
    assert found.tolist() == [0, 1]
    with pytest.raises(ed.ErgodualError, match="no pixel within the rim"):
        InteriorError(3)(error, error)
