"""One image of a galaxy: how its pixels become a stamp, and what is refused with which sentence."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galadapt.core.errors import DataError
from galadapt.tasks.votes.images import read_image


def _pixels(side: int = 60, channels: int = 3) -> np.ndarray:
    shape = (side, side, channels) if channels > 1 else (side, side)
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def _saved(folder: Path, pixels: np.ndarray, name: str = "a.png", mode: str | None = None) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(folder / name)
    return folder / name


def test_the_middle_is_averaged_by_area(tmp_path: Path) -> None:
    pixels = _pixels()
    path = _saved(tmp_path, pixels)
    whole = read_image(path, 30, 1.0)
    assert whole.dtype == np.float32
    assert whole == pytest.approx(pixels.reshape(30, 2, 30, 2, 3).mean(axis=(1, 3)), abs=1e-4)
    middle = pixels[10:50, 10:50].reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    assert read_image(path, 20, 40 / 60) == pytest.approx(middle, abs=1e-4)
    # Parts of pixels count by their parts: 60 px into 25, compared with 300 into 25.
    finer = pixels.repeat(5, axis=0).repeat(5, axis=1)
    expected = finer.reshape(25, 12, 25, 12, 3).mean(axis=(1, 3))
    assert read_image(path, 25, 1.0) == pytest.approx(expected, abs=1e-4)


def test_a_constant_image_stays_what_it_is(tmp_path: Path) -> None:
    path = _saved(tmp_path, np.full((424, 424, 3), 255, np.uint8), "a.jpg")
    stamp = read_image(path, 64, 208 / 424)
    assert stamp.shape == (64, 64, 3)
    assert stamp.max() <= 255
    assert stamp == pytest.approx(255, abs=1e-3)


def test_grey_palettes_and_sixteen_bits_become_three_channels(tmp_path: Path) -> None:
    grey = _pixels(30, 1)
    three = np.repeat(grey[:, :, None], 3, axis=2)
    for name, pixels in (("grey.png", grey), ("deep.png", grey.astype(np.uint16) * 257)):
        assert read_image(_saved(tmp_path, pixels, name), 30, 1.0) == pytest.approx(three)
    opaque = np.dstack([_pixels(30), np.full((30, 30), 255, np.uint8)])
    assert read_image(_saved(tmp_path, opaque, "rgba.png"), 30, 1.0) == pytest.approx(
        opaque[:, :, :3]
    )
    few = (_pixels(30) // 128) * 255
    palette = _saved(tmp_path, few.astype(np.uint8), "palette.png", "P")
    assert Image.open(palette).mode == "P"
    assert read_image(palette, 30, 1.0).shape == (30, 30, 3)


def test_fits_images_are_turned_the_way_they_are_shown(tmp_path: Path) -> None:
    pixels = _pixels(30)
    planes = np.moveaxis(pixels[::-1], 2, 0)
    fits.PrimaryHDU(planes.astype(np.float32)).writeto(tmp_path / "a.fits")
    assert read_image(tmp_path / "a.fits", 30, 1.0) == pytest.approx(pixels)
    fits.PrimaryHDU(planes[0]).writeto(tmp_path / "grey.fits")
    packed = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(planes[0])])
    packed.writeto(tmp_path / "packed.fits")
    for name in ("grey.fits", "packed.fits"):
        grey = read_image(tmp_path / name, 30, 1.0)
        assert grey == pytest.approx(np.repeat(pixels[:, :, :1], 3, axis=2))


def _png(width: int, height: int) -> bytes:
    """A PNG that claims to be large and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _fits(path: Path, pixels: np.ndarray | None) -> Path:
    fits.PrimaryHDU(pixels).writeto(path)
    return path


def _two(path: Path) -> Path:
    plane = np.ones((30, 30), np.float32) * 9
    fits.HDUList([fits.PrimaryHDU(plane), fits.ImageHDU(plane)]).writeto(path)
    return path


def _animated(folder: Path) -> Path:
    frames = [Image.fromarray(_pixels(30)), Image.fromarray(255 - _pixels(30))]
    frames[0].save(folder / "a.png", save_all=True, append_images=frames[1:])
    return folder / "a.png"


def _bytes(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path


def _see_through(folder: Path) -> Path:
    return _saved(folder, np.dstack([_pixels(30), _pixels(30, 1)]))


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "truncated": (
        lambda f: _cut(_saved(f, _pixels(), "a.jpg")),
        "not a whole JPEG or PNG .*truncated.*; fetch it again",
    ),
    "truncated PNG": (lambda f: _cut(_saved(f, _pixels())), "not a whole JPEG or PNG"),
    "no image": (lambda f: _bytes(f / "a.jpg", b"<html>"), "not a whole JPEG or PNG"),
    "empty": (lambda f: _bytes(f / "a.jpg", b""), "not a whole JPEG or PNG"),
    "another format": (lambda f: _saved(f, _pixels(), "a.gif").rename(f / "a.jpg"), "not a whole"),
    "a bomb": (lambda f: _bytes(f / "a.png", _png(20000, 20000)), "a.png: .*DOS|too large"),
    "large": (lambda f: _bytes(f / "a.png", _png(8000, 8000)), "8000 x 8000 px is too large"),
    "not square": (lambda f: _saved(f, _pixels()[:40]), "60 x 40 px is not square; cut it out"),
    "small": (lambda f: _saved(f, _pixels(20)), "central part is 20 px wide, a stamp 30; give"),
    "CMYK": (lambda f: _saved(f, _pixels(), "a.jpg", "CMYK"), "its colours are CMYK; convert"),
    "transparent": (_see_through, "is transparent in parts; write it without"),
    "animated": (_animated, "holds several images; write one to"),
    "four planes": (
        lambda f: _fits(f / "a.fits", np.ones((4, 30, 30))),
        r"its image is \(4, 30, 30\); give \(y, x\), or \(3, y, x\)",
    ),
    "a line": (lambda f: _fits(f / "a.fits", np.ones(30)), r"its image is \(30,\)"),
    "no FITS image": (lambda f: _fits(f / "a.fits", None), "holds 0 images"),
    "two FITS images": (lambda f: _two(f / "a.fits"), "holds 2 images; write one to"),
    "oblong FITS": (lambda f: _fits(f / "a.fits", np.ones((30, 40))), "40 x 30 px is not square"),
    "NaN": (lambda f: _fits(f / "a.fits", np.full((30, 30), np.nan)), "holds NaN or infinite"),
    "calibrated": (
        lambda f: _fits(f / "a.fits", np.linspace(-1, 900, 900).reshape(30, 30)),
        "values from -1 to 900; give the colour image with values from 0 to 255",
    ),
    "shares": (lambda f: _fits(f / "a.fits", np.eye(30)), "values from 0 to 1; give"),
    "packed": (lambda f: _bytes(f / "a.fits", b"\x1f\x8b\x08\x00"), "not a FITS file, or packed"),
    "truncated FITS": (
        lambda f: _cut(_fits(f / "a.fits", np.full((90, 90), 9.0))),
        "not a (whole FITS image|readable FITS file)",
    ),
    "missing": (lambda f: f / "a.fits", "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_gets_one_sentence(tmp_path: Path, case: str) -> None:
    make, message = REFUSED[case]
    path = make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read_image(path, 30, 1.0)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.fits", "packed.fits"])
def test_broken_bytes_give_a_stamp_or_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.fits":
        fits.PrimaryHDU(np.moveaxis(_pixels(30), 2, 0)).writeto(path)
    elif name == "packed.fits":
        hdus = [fits.PrimaryHDU(), fits.CompImageHDU(_pixels(30, 1))]
        fits.HDUList(hdus).writeto(path)
    else:
        _saved(tmp_path, _pixels(30), name)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(1), 0
    for k in range(80):
        broken = bytearray(whole[: rng.integers(1, len(whole))] if k % 5 == 0 else whole)
        for place in rng.integers(0, len(broken), 4):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(bytes(broken))
        try:
            stamp = read_image(path, 30, 1.0)
            assert 0 <= stamp.min() <= stamp.max() < 255.01
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
    assert refused >= 10


def test_a_header_without_its_sizes_is_refused(tmp_path: Path) -> None:
    path = _fits(tmp_path / "a.fits", np.ones((3, 30, 30)))
    path.write_bytes(path.read_bytes().replace(b"NAXIS3  =", b"NAXIS9  ="))
    with pytest.raises(DataError, match=r"not a readable FITS file .*; fetch it again"):
        read_image(path, 30, 1.0)
