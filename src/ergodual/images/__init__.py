"""Images: files, noise, crops, measures; regularisers and networks that are learned from them."""

from ergodual.images.crops import NoisyCrops
from ergodual.images.denoising import denoise
from ergodual.images.measures import psnr, ssim
from ergodual.images.noise import add_noise
from ergodual.images.pictures import find_images, read_folder, read_image, write_image

__all__ = [
    "NoisyCrops",
    "add_noise",
    "denoise",
    "find_images",
    "psnr",
    "read_folder",
    "read_image",
    "ssim",
    "write_image",
]
