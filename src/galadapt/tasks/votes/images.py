"""Reading one image of a galaxy: JPEG, PNG or FITS, as its central part in three channels.

- Channels are red, green and blue. Grey images have three equal channels; transparency is dropped
  where nothing is transparent; 16-bit values are divided by 257. CMYK is refused, because its
  colours depend on a profile.
- Rows run downwards, as images are shown: those of FITS files, which run upwards, are reversed.
- A FITS image is (y, x) or (3, y, x), with 8-bit values from 0 to 255.
- Orientation tags and colour profiles are ignored.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from PIL import Image

from galadapt.core.errors import DataError, reading
from galadapt.core.packed import is_fits_name, stem
from galadapt.sky.fits_files import open_fits

#: Endings of the images that are read beside FITS, in lower case.
_PICTURES = (".jpg", ".jpeg", ".png")

CHANNELS = ("red", "green", "blue")

#: Most pixels of an image: a small file may hold very many equal ones.
_LARGEST = 50_000_000


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image of a known kind."""
    return name.lower().endswith(_PICTURES) or is_fits_name(name)


def plain_name(name: str) -> str:
    """Name of an image without its ending."""
    ending = next((one for one in _PICTURES if name.lower().endswith(one)), "")
    if ending:
        return name[: len(name) - len(ending)]
    return stem(name) if is_fits_name(name) else name


def read_image(path: Path, side: int, crop: float) -> np.ndarray:
    """Read an image: (side, side, 3) float32, 0 to 255, averaged over the pixels' areas.

    Args:
        path: The image.
        side: Side of the stamp [px].
        crop: Central share of the image's side that becomes the stamp, 0 to 1.

    Raises:
        DataError: it cannot be read whole, is not square, too small or too large, or not an image
            in three colours or grey.
    """
    pixels = _fits(path) if is_fits_name(path.name) else _picture(path)
    width = crop * len(pixels)
    if width < side:
        raise DataError(
            f"{path}: its central part is {width:.0f} px wide, a stamp {side}; give a larger "
            "image, a larger crop or a smaller side"
        )
    # Only what is used is averaged: the other pixels are most of the image.
    first = int((len(pixels) - width) / 2)
    inner = pixels[first : len(pixels) - first, first : len(pixels) - first]
    weights = _overlaps(len(inner), side, width)
    planes = np.moveaxis(inner, 2, 0).astype(np.float64)
    return np.moveaxis(weights @ planes @ weights.T, 0, 2).astype(np.float32)


def _check_size(path: Path, width: int, height: int) -> None:
    if width != height:
        raise DataError(
            f"{path}: {width} x {height} px is not square; cut it out around the galaxy"
        )
    if width * height > _LARGEST:
        raise DataError(f"{path}: {width} x {height} px is too large; cut it out around the galaxy")


def _picture(path: Path) -> np.ndarray:
    """Pixels of a JPEG or PNG (n, n, 3)."""
    with reading(path, "not a whole JPEG or PNG", "fetch it again"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            _check_size(path, *image.size)
            if getattr(image, "n_frames", 1) > 1:
                raise DataError(f"{path}: holds several images; write one to a file of its own")
            image.load()
            return _colours(image, path)


def _colours(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("RGBA", "LA"):
        if np.asarray(image.getchannel("A")).min() < 255:
            raise DataError(f"{path}: is transparent in parts; write it without transparency")
        image = image.convert("RGB" if image.mode == "RGBA" else "L")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("RGB", "L", "I", "I;16"):
        raise DataError(f"{path}: its colours are {image.mode}; convert it to RGB")
    pixels = np.asarray(image)
    if image.mode.startswith("I"):
        pixels = pixels / 257
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _fits(path: Path) -> np.ndarray:
    """Pixels of a FITS image (n, n, 3)."""
    with reading(path, "cannot be read", "check the file", OSError), path.open("rb") as file:
        start = file.read(6)
    if start != b"SIMPLE":
        # A packed one could hold any number of bytes.
        raise DataError(f"{path}: not a FITS file, or packed; unpack it or fetch it again")
    # Broken headers and each way of compression fail with errors of their own.
    with reading(path, "not a whole FITS image", "fetch it again"), contextlib.ExitStack() as stack:
        hdus = open_fits(stack, path, "image")
        pixels = np.asarray(_fits_image(hdus, path).data, np.float32)
    if not np.isfinite(pixels).all():
        raise DataError(f"{path}: holds NaN or infinite pixels; mask or replace them")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 255 or high <= 1:
        raise DataError(
            f"{path}: values from {low:g} to {high:g}; give the colour image with values from 0 to "
            "255, as volunteers saw it"
        )
    planes = pixels if pixels.ndim == 3 else np.repeat(pixels[None], 3, axis=0)
    return np.moveaxis(planes, 0, -1)[::-1]


def _fits_image(hdus: fits.HDUList, path: Path) -> Any:
    """The HDU of the only image, whose pixels are not read yet."""
    found = [hdu for hdu in hdus if hdu.is_image and hdu.shape]
    if len(found) != 1:
        raise DataError(f"{path}: holds {len(found)} images; write one to a file of its own")
    shape = found[0].shape
    if len(shape) not in (2, 3) or shape[:-2] not in ((), (3,)):
        raise DataError(
            f"{path}: its image is {shape}; give (y, x), or (3, y, x) for red, green and blue"
        )
    _check_size(path, shape[-1], shape[-2])
    return found[0]


def _overlaps(number: int, side: int, width: float) -> np.ndarray:
    """Weights (side, number) of the pixels of a line in the means over its central `width` px."""
    edges = number / 2 + (np.arange(side + 1) / side - 0.5) * width
    pixel = np.arange(number)
    shared = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.clip(shared, 0, None) * (side / width)
