"""Crops of images with noise, to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ergodual.bilevel.data import Pair, Share, key_of
from ergodual.errors import ErgodualError
from ergodual.tensors import require


class NoisyCrops:
    """Crops at random places, flipped and turned at random, with noise, in units of the noise.

    As :class:`~ergodual.bilevel.Data`: every epoch draws new crops and new noise, a function of the
    seed, the epoch and the mini-batch alone. :meth:`chunks` gives the middles of ``measured`` of
    the images, with noise that stays.

    Parameters
    ----------
    images
        Each ``(1, height, width)``, between 0 and 1.
    size
        Of a crop, in pixels.
    sigma
        The noise's standard deviation in the units of the images, or its least and largest, between
        which it is drawn for each crop.
    batches_an_epoch
        How many mini-batches an epoch has.
    batch_size
        Crops a mini-batch.
    measured
        How many images the loss is measured on.

    Raises
    ------
    ErgodualError
        If there are no images, one is smaller than a crop or no grey one, or σ is not positive.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        size: int,
        sigma: float | tuple[float, float],
        batches_an_epoch: int = 100,
        batch_size: int = 3,
        measured: int = 8,
    ) -> None:
        require(len(images) > 0, "There are no images to cut crops from; give at least one.")
        for i, image in enumerate(images):
            if image.ndim != 3 or len(image) != 1 or min(image.shape[1:]) < size:
                raise ErgodualError(
                    f"Image {i} has shape {tuple(image.shape)}; give grey images (1, height, "
                    f"width) of at least {size} pixels, or smaller crops."
                )
        ends = sigma if isinstance(sigma, tuple) else (sigma, sigma)
        require(0 < ends[0] <= ends[1], f"The noise's sigma is {sigma}; it must be positive.")
        self.images, self.size, self.sigma = images, size, ends
        self.batches_an_epoch, self.batch_size = batches_an_epoch, batch_size
        self.measured = min(measured, len(images))

    def __len__(self) -> int:
        """How many crops an epoch sees."""
        return self.batches_an_epoch * self.batch_size

    def batches(self, size: int, seed: int, epoch: int, first: int, share: Share) -> Iterator[Pair]:
        """An epoch, from mini-batch ``first`` on."""
        for number in range(first, -(-len(self) // size)):
            draw = torch.Generator().manual_seed(key_of(seed, epoch, number))
            count = min(size, len(self) - number * size)
            pairs = [self._drawn(draw) for _ in range(count)][share.rank :: share.size]
            if pairs:
                x_tilde, x_true = zip(*pairs, strict=True)
                yield torch.stack(x_tilde), torch.stack(x_true)

    def chunks(self, share: Share) -> Iterator[Pair]:
        """The middles of some images, one by one."""
        step = len(self.images) / self.measured
        for number in range(self.measured)[share.rank :: share.size]:
            image = self.images[int(number * step)]
            top, left = ((n - self.size) // 2 for n in image.shape[1:])
            crop = image[:, top : top + self.size, left : left + self.size]
            draw = torch.Generator().manual_seed(number)
            yield tuple(t[None] for t in self._noisy(crop, draw))  # type: ignore[misc]

    def _drawn(self, draw: torch.Generator) -> Pair:
        def number(below: int) -> int:
            return int(torch.randint(below, (), generator=draw))

        image = self.images[number(len(self.images))]
        top, left = (number(n - self.size + 1) for n in image.shape[1:])
        crop = image[:, top : top + self.size, left : left + self.size]
        crop = torch.rot90(crop, number(4), (1, 2))
        return self._noisy(crop.flip(2) if number(2) else crop, draw)

    def _noisy(self, crop: Tensor, draw: torch.Generator) -> Pair:
        least, largest = self.sigma
        share = float(torch.rand((), generator=draw)) if largest > least else 0.0
        x = crop / (least + share * (largest - least))
        return x + torch.randn(x.shape, generator=draw, dtype=x.dtype), x
