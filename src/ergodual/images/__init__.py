"""Images: files, noise, crops, measures; regularisers and networks that are learned from them."""

from ergodual.errors import lacking

try:
    from ergodual.images.crops import NoisyCrops
    from ergodual.images.denoising import denoise
    from ergodual.images.measures import psnr, ssim
    from ergodual.images.noise import add_noise
    from ergodual.images.pictures import find_images, read_folder, read_image, write_image
except ModuleNotFoundError as error:
    raise lacking("ergodual.images", error) from error

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
