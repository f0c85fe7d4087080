"""Files of images: what is read as it is, and what is refused in a sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ergodual as ed
from ergodual.images import find_images, read_folder, read_image, write_image

GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOUR = np.stack([GREY, GREY[::-1], np.full_like(GREY, 7)], -1)
LUMA = (COLOUR / 255) @ (0.299, 0.587, 0.114)


def with_alpha(alpha: int) -> Image.Image:
    return Image.fromarray(np.concatenate([COLOUR, np.full((4, 6, 1), alpha, np.uint8)], -1))


def palette() -> Image.Image:
    image = Image.fromarray(GREY // 10, "P")
    image.putpalette(np.repeat(np.arange(0, 250, 10), 3).astype(np.uint8).tobytes())
    return image


READ = {
    "grey.png": (Image.fromarray(GREY), GREY / 255),
    "deep.png": (Image.fromarray(GREY.astype(np.uint16) * 257 + 3), (GREY * 257.0 + 3) / 65535),
    "deep.tif": (Image.fromarray(GREY.astype(np.uint16) * 250), GREY * 250.0 / 65535),
    "deep.pgm": (Image.fromarray(GREY.astype(np.uint16) * 250), GREY * 250.0 / 65535),
    "float.tif": (Image.fromarray((GREY / 300).astype(np.float32)), GREY / 300),
    "black and white.png": (Image.fromarray(GREY > 100), (GREY > 100) * 1.0),
    "colour.png": (Image.fromarray(COLOUR), LUMA),
    "palette.png": (palette(), GREY / 255),
    "opaque.png": (with_alpha(255), LUMA),
}


@pytest.mark.parametrize("name", READ)
def test_read(name: str, tmp_path: Path) -> None:
    image, expected = READ[name]
    image.save(tmp_path / name)
    found = read_image(tmp_path / name)
    assert found.shape == (1, 4, 6)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0], expected, atol=2e-7)


WIDE = np.tile(COLOUR, (1, 9, 1))[:, :53]
DEEP = GREY.astype(np.uint16) * 250
TURNED = {"exif": Image.Exif()}
TURNED["exif"][0x0112] = 6
AS_SAVED = {
    # a row of a BMP file is here 160 bytes long
    "row of 160.bmp": (WIDE, {}, (WIDE / 255) @ (0.299, 0.587, 0.114)),
    "turned.tif": (GREY, TURNED, np.rot90(GREY, -1) / 255),
    "turned, deep.tif": (DEEP, TURNED, np.rot90(DEEP, -1) / 65535),
    "turned, packed.tif": (DEEP, {**TURNED, "compression": "tiff_lzw"}, np.rot90(DEEP, -1) / 65535),
    "white is 0.tif": (GREY, {"tiffinfo": {262: 0}}, GREY / 255),  # which Pillow turns on writing
    "white is 0, deep.tif": (DEEP, {"tiffinfo": {262: 0}}, 1 - DEEP / 65535),
}


@pytest.mark.parametrize("name", AS_SAVED)
def test_read_as_the_file_says(name: str, tmp_path: Path) -> None:
    array, options, expected = AS_SAVED[name]
    Image.fromarray(array).save(tmp_path / name, **options)  # type: ignore[arg-type]
    np.testing.assert_allclose(read_image(tmp_path / name)[0], expected, atol=2e-7)


def nan() -> Image.Image:
    numbers = (GREY / 255).astype(np.float32)
    numbers[1, 2] = np.nan
    return Image.fromarray(numbers)


def animation(path: Path) -> None:
    frame = Image.fromarray(GREY)
    frame.save(path, save_all=True, append_images=[Image.fromarray(GREY[::-1])])


REFUSED = {
    "clear.png": (lambda p: with_alpha(100).save(p), "transparent pixels; give it a background"),
    "a clear grey.png": (
        lambda p: Image.fromarray(GREY).save(p, transparency=10),
        "transparent pixels; give it a background",
    ),
    "signed.tif": (
        lambda p: Image.fromarray(GREY).save(p, tiffinfo={339: 2}),
        "has signed integers; convert them",
    ),
    "deep colour.ppm": (
        lambda p: p.write_bytes(b"P6 1 1 1023\n" + bytes(6)),
        "more than 8 bits a channel in colour",
    ),
    "nan.tif": (lambda p: nan().save(p), "NaN or not between 0 and 1"),
    "large.tif": (lambda p: Image.fromarray(GREY.astype(np.float32)).save(p), "not between 0 and"),
    "two.tif": (animation, "holds several images"),
    "text.png": (lambda p: p.write_text("no image"), "is no image that can be read"),
    "cut.png": (lambda p: p.write_bytes(whole()[:60]), "is damaged"),
    "deep colour.png": (lambda p: p.write_bytes(deep_colour()), "8 bits a channel in colour"),
    "missing.png": (lambda p: None, "There is no file"),
    "folder.png": (lambda p: p.mkdir(), "is no image that can be read"),
}


def whole() -> bytes:
    import io

    held = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)).save(held, "png")
    return held.getvalue()


def deep_colour() -> bytes:
    """One black pixel of 16 bits a channel, which Pillow cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(7))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    make, said = REFUSED[name]
    make(tmp_path / name)  # type: ignore[no-untyped-call]
    with pytest.raises(ed.ErgodualError, match=said) as raised:
        read_image(tmp_path / name)
    assert name in str(raised.value)


@pytest.mark.parametrize(("bits", "error"), [(8, 0.5 / 255), (16, 0.5 / 65535)])
def test_written_and_read_again(bits: int, error: float, tmp_path: Path) -> None:
    image = torch.rand(1, 5, 7)
    write_image(tmp_path / "image.png", image, bits)
    assert float((read_image(tmp_path / "image.png") - image).abs().max()) <= error * (1 + 1e-4)


def test_colours_stay_and_values_beyond_are_cut(tmp_path: Path) -> None:
    image = torch.tensor([-1.0, 0.2, 2.0]).view(3, 1, 1).expand(3, 2, 2)
    write_image(tmp_path / "image.png", image)
    found = read_image(tmp_path / "image.png", colour=True)
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([0, 0.2, 1]))


@pytest.mark.parametrize(
    ("name", "image", "bits", "said"),
    [
        ("a.png", torch.full((1, 2, 2), torch.nan), 8, "not finite"),
        ("a.png", torch.zeros(2, 2, 2), 8, "a tensor of shape"),
        ("a.png", torch.zeros(3, 2, 2), 16, "give 8, or 16 for a grey image"),
        ("a.txt", torch.zeros(1, 2, 2), 8, "no suffix of an image"),
        ("a.jpg", torch.zeros(1, 2, 2), 16, "cannot hold 16 bits"),
        ("a.webp", torch.zeros(1, 2, 2), 16, "cannot hold 16 bits"),
        ("a.gif", torch.zeros(1, 2, 2), 16, "cannot hold 16 bits"),
    ],
)
def test_not_written(name: str, image: torch.Tensor, bits: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        write_image(tmp_path / name, image, bits)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_read_by_name(tmp_path: Path) -> None:
    for name, value in (("b.png", 0.2), ("a.png", 0.4)):
        write_image(tmp_path / name, torch.full((1, 2, 2), value))
    (tmp_path / "notes.txt").write_text("none")
    assert [float(image.mean()) for image in read_folder(tmp_path)] == pytest.approx([0.4, 0.2])
    assert [path.name for path in find_images(tmp_path)] == ["a.png", "b.png"]
    for folder, said in ((tmp_path / "none", "no folder"), (tmp_path / "empty", "no images")):
        if said == "no images":
            folder.mkdir()
        with pytest.raises(ed.ErgodualError, match=said):
            read_folder(folder)
