"""Reading and writing images; their values lie between 0 and 1."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ergodual.errors import ErgodualError
from ergodual.files import write_atomically
from ergodual.tensors import described

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".webp"})
"""Of the files that a folder of images is made of."""
DEPTHS = {"L": 255, "I;16": 65535, "I;16B": 65535, "I;16L": 65535, "F": 1}
"""What is white, in the modes of grey images that are read as they are."""
PHOTOMETRIC, SAMPLE_FORMAT = 262, 339
"""Tags of TIFF."""
DEEP = frozenset({"PNG", "TIFF", "PPM", "JPEG2000"})
"""The kinds of files that hold 16 bits as they are; others cut them off."""
GREY = (0.299, 0.587, 0.114)
"""Luma of ITU-R BT.601."""


def read_image(path: Path | str, colour: bool = False) -> Tensor:
    """An image file, float32 of shape ``(1, height, width)``, or with ``colour`` (3, …).

    Colours become grey by the luma of ITU-R BT.601, without rounding. 8 and 16 bits a channel, and
    floating-point numbers between 0 and 1, are taken as they are; a photograph lies as its EXIF
    data say.

    Raises
    ------
    ErgodualError
        If the file is missing, is no image, is damaged, holds several images, has transparent
        pixels, more than 8 bits a channel in colour, or numbers that are not between 0 and 1.
    """
    path = Path(path)
    try:
        # by the open file, as Pillow maps that of a name to memory, and then rotates it wrongly
        with path.open("rb") as file, Image.open(file) as image:
            return _values(path, image, colour)
    except FileNotFoundError as error:
        raise ErgodualError(f"There is no file {path}; give an image.") from error
    except (UnidentifiedImageError, IsADirectoryError, Image.DecompressionBombError) as error:
        raise ErgodualError(f"{path} is no image that can be read; give a PNG or TIFF.") from error
    except PermissionError as error:
        raise ErgodualError(f"{path} cannot be read ({error.strerror}).") from error
    except (OSError, SyntaxError, EOFError) as error:  # as Pillow reports damage
        raise ErgodualError(f"{path} is damaged ({error}); give it as a whole.") from error


def write_image(path: Path | str, image: Tensor, bits: int = 8) -> None:
    """An image of shape ``(1, height, width)``, ``(3, …)`` or ``(height, width)`` to a file, whose
    suffix says what kind; values are cut to 0 … 1 and rounded.

    Raises
    ------
    ErgodualError
        If it has another shape or entries that are not finite, or the kind of file is unknown or
        holds no such numbers.
    """
    path, image = Path(path), image.detach().cpu()
    grey = image.ndim == 2 or (image.ndim == 3 and len(image) == 1)
    if not (grey or (image.ndim == 3 and len(image) == 3)) or not image.is_floating_point():
        raise ErgodualError(
            f"{path} was to get {described(image)}; give floating-point numbers of shape "
            "(height, width), (1, height, width) or (3, height, width)."
        )
    if not image.isfinite().all():
        raise ErgodualError(f"{path} was to get values that are not finite; nothing is written.")
    if bits not in (8, 16) or (bits == 16 and not grey):
        raise ErgodualError(f"{path} was to get {bits} bits; give 8, or 16 for a grey image.")
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ErgodualError(f"{path} has no suffix of an image; call it .png, say.")
    if bits == 16 and kind not in DEEP:
        raise ErgodualError(f"{path} cannot hold 16 bits; take .png.")
    levels = (image.double().clamp(0, 1) * (2**bits - 1)).round().squeeze(0) if grey else None
    if levels is None:
        levels = (image.double().clamp(0, 1) * 255).round().permute(1, 2, 0)
    array = levels.numpy().astype(np.uint8 if bits == 8 else np.uint16)
    held = io.BytesIO()
    try:
        Image.fromarray(array).save(held, kind)
    except (OSError, ValueError) as error:
        raise ErgodualError(f"{path} cannot hold such an image ({error}); take .png.") from error
    write_atomically(path, held.getvalue())


def read_folder(folder: Path | str, colour: bool = False) -> list[Tensor]:
    """All images of a folder, by the order of their names.

    Raises
    ------
    ErgodualError
        If there is no such folder, or no image in it.
    """
    return [read_image(path, colour) for path in find_images(folder)]


def find_images(folder: Path | str) -> list[Path]:
    """The image files of a folder, by the order of their names."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ErgodualError(f"There is no folder {folder}; give one that holds images.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ErgodualError(f"{folder} holds no images; give a folder of PNG files, say.")
    return found


def _values(path: Path, image: Image.Image, colour: bool) -> Tensor:
    if getattr(image, "n_frames", 1) > 1:
        raise ErgodualError(f"{path} holds several images; give one of them.")
    if image.mode not in (*DEPTHS, "I") and _deep(image):
        raise ErgodualError(
            f"{path} has more than 8 bits a channel in colour, of which only 8 would be read; "
            "convert it to 8 bits, or to grey."
        )
    tags = getattr(image, "tag_v2", {})  # of TIFF
    if 2 in tags.get(SAMPLE_FORMAT, ()):
        raise ErgodualError(f"{path} has signed integers; convert them to unsigned ones.")
    clear = image.info.get("transparency")
    depths = {**DEPTHS, "I": 65535} if image.format == "PPM" else DEPTHS
    image = ImageOps.exif_transpose(image)
    if image.mode in depths:
        numbers = torch.from_numpy(np.array(image, dtype=np.float32))
        if clear is not None and bool((numbers == clear).any()):
            raise _transparent(path)
        numbers = numbers / depths[image.mode]
        if image.mode != "L" and tags.get(PHOTOMETRIC) == 0:  # 0 is white, which Pillow leaves
            numbers = 1 - numbers
        _require_unit(path, numbers)
        return numbers.expand(3 if colour else 1, -1, -1).clone()
    if image.mode not in (
        "1",
        "P",
        "PA",
        "LA",
        "La",
        "RGB",
        "RGBA",
        "RGBa",
        "RGBX",
        "CMYK",
        "YCbCr",
    ):
        raise ErgodualError(
            f"{path} has pixels of the kind {image.mode!r}; convert it to grey or to RGB."
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.array(image)[..., 3].min() < 255:
            raise _transparent(path)
    numbers = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32)) / 255
    numbers = numbers.permute(2, 0, 1).contiguous()
    return numbers if colour else luma(numbers)


def luma(image: Tensor) -> Tensor:
    """The grey of colours, ``(3, height, width)`` to ``(1, height, width)``."""
    return (image.new_tensor(GREY)[:, None, None] * image).sum(0, keepdim=True)


def _deep(image: Image.Image) -> bool:
    """Whether Pillow reads fewer bits than there are: as its raw mode says, or, in a PPM file, the
    number of white.
    """
    args = [tile[3] for tile in getattr(image, "tile", ())]
    each = [a for arg in args for a in (arg if isinstance(arg, tuple) else (arg,))]
    if any(isinstance(a, str) and ";16" in a for a in each):
        return image.format != "BMP"  # of which these are the bits of a pixel
    return image.format == "PPM" and any(isinstance(a, int) and a > 255 for a in each)


def _transparent(path: Path) -> ErgodualError:
    return ErgodualError(f"{path} has transparent pixels; give it a background.")


def _require_unit(path: Path, numbers: Tensor) -> None:
    if not bool(((numbers >= 0) & (numbers <= 1)).all()):
        raise ErgodualError(
            f"{path} has numbers that are NaN or not between 0 and 1; scale them to that."
        )
