"""Finding the planes of an image in FITS files, plain or compressed."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS

from galadapt.core.errors import DataError
from galadapt.sky.pixels import Pixels
from galadapt.sky.sky import celestial

#: Names of the extensions that come with an image.
EXTENSIONS = {
    "weight": ("WHT", "WEIGHT", "IVAR", "INVVAR"),
    "rms": ("RMS", "ERR", "ERROR", "SIGMA", "STD"),
    "exposure": ("EXP", "EXPTIME", "EXPOSURE", "WHT", "WEIGHT"),
    "mask": ("MASK", "DQ", "FLAG", "FLAGS"),
}
#: Names of extensions that are no image of the sky either.
_OTHER_MAPS = {"CTX", "CON", "VAR", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"}
_OTHER_MAPS |= {"AREA", "WMAP", "TIME", "NSAMP"}
_NOT_SCIENCE = {name for names in EXTENSIONS.values() for name in names} | _OTHER_MAPS

#: First bytes of files that are compressed as a whole, and what opens them.
_COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def unreadable(path: Path, error: Exception) -> DataError:
    """Explain that a file cannot be read as FITS."""
    reason = str(error).split("\n")[0].rstrip(".")
    return DataError(f"{path}: not a readable FITS file ({reason}); fetch it again")


def open_fits(stack: contextlib.ExitStack, path: Path, what: str) -> fits.HDUList:
    """Open a file, unpacked if it is compressed as a whole; `what` is its name in messages."""
    if not path.is_file():
        raise DataError(
            f"{path}: no such {what} file; check the path or rerun the stage that writes it"
        )
    shown = path
    try:
        with path.open("rb") as file:
            start = file.read(6)
        opener = next((way for magic, way in _COMPRESSED.items() if start.startswith(magic)), None)
        if opener is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="galadapt-"))
            plain = Path(folder) / "image.fits"
            with opener(path) as packed, plain.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 2**24)
            path = plain
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            # Astropy only warns of a truncated file; such an image must not be measured.
            warnings.filterwarnings("error", ".*truncated", AstropyWarning)
            hdus = stack.enter_context(fits.open(path, memmap=False))
            for hdu in hdus:
                _ = hdu.header
    except Exception as error:
        # Headers that are broken fail with errors of many kinds.
        raise unreadable(shown, error) from None
    return hdus


def planes_of(hdus: fits.HDUList) -> list[Any]:
    """List the HDUs that hold a 2-D image."""
    return [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) == 2]


def _names(hdus: list[Any], everything: fits.HDUList) -> str:
    shown = [f"{everything.index(hdu)} ({hdu.name or 'unnamed'})" for hdu in hdus[:5]]
    more = [f"{len(hdus) - 5} more"] if len(hdus) > 5 else []
    return ", ".join(shown + more)


def science_plane(hdus: fits.HDUList, path: Path, wanted: int | str | None) -> Any:
    """The HDU that holds the image."""
    planes = planes_of(hdus)
    if wanted is not None:
        images = f"images are in {_names(planes, hdus) or 'none'}"
        try:
            hdu = hdus[wanted]
        except (KeyError, IndexError):
            raise DataError(f"{path}: has no extension {wanted}; {images}") from None
        if not hdu.is_image or len(hdu.shape) != 2:
            raise DataError(f"{path}: extension {wanted} is no plane image; {images}")
        return hdu
    if not planes:
        cubes = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) > 2]
        if cubes:
            raise DataError(
                f"{path}: holds a cube of {cubes[0].shape} px, no 2-D image; write the plane to be "
                "measured to a file of its own"
            )
        raise DataError(f"{path}: holds no 2-D image; give the file of the mosaic itself")
    named = [hdu for hdu in planes if hdu.name == "SCI"]
    found = named or [hdu for hdu in planes if hdu.name not in _NOT_SCIENCE]
    # An image's own file often calls it nothing, or even "WHT".
    found = found or planes
    if len(found) > 1:
        raise DataError(
            f"{path}: holds {len(found)} images, in extensions {_names(found, hdus)}; name one "
            "with hdu"
        )
    return found[0]


def plane_of(stack: contextlib.ExitStack, hdu: Any, path: Path) -> Pixels:
    """Pixels of an HDU; those of a compressed one are unpacked once, to a temporary file."""
    try:
        if not isinstance(hdu, fits.CompImageHDU):
            return _mapped(hdu)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="galadapt-"))
        ny, _ = hdu.shape
        unpacked = None
        for start in range(0, ny, 512):
            band = hdu.section[start : min(start + 512, ny)]
            if unpacked is None:
                unpacked = np.lib.format.open_memmap(
                    Path(folder) / "image.npy", mode="w+", dtype=band.dtype, shape=hdu.shape
                )
            unpacked[start : start + len(band)] = band
        assert unpacked is not None
        return Pixels(unpacked)
    except Exception as error:
        # Each way of compression fails with errors of its own.
        raise unreadable(path, error) from None


def _mapped(hdu: Any) -> Pixels:
    place, header = hdu.fileinfo(), hdu.header
    bits = int(header["BITPIX"])
    dtype = np.dtype(fits.BITPIX2DTYPE[bits]).newbyteorder(">")
    plane = np.memmap(place["file"].name, dtype, "r", place["datLoc"], tuple(hdu.shape))
    return Pixels(
        plane,
        float(header.get("BSCALE", 1.0)),
        float(header.get("BZERO", 0.0)),
        int(header["BLANK"]) if bits > 0 and "BLANK" in header else None,
    )


def companion(
    stack: contextlib.ExitStack,
    path: Path,
    kind: str,
    shape: tuple[int, int],
    image: Path,
    sky: WCS | None,
) -> Pixels:
    """The map of a given kind (weight, rms, exposure or mask) that belongs to an image."""
    hdus = open_fits(stack, path, kind)
    planes = planes_of(hdus)
    if not planes:
        raise DataError(f"{path}: holds no 2-D image; give the {kind} map itself")
    fitting = [hdu for hdu in planes if tuple(hdu.shape) == shape]
    if not fitting:
        raise DataError(
            f"{path}: {kind} map of {tuple(planes[0].shape)} px for a mosaic of {shape} px "
            f"({image}); give the {kind} map of the same mosaic"
        )
    named = [hdu for hdu in fitting if hdu.name in EXTENSIONS[kind]]
    found = named[:1] or fitting
    if len(found) > 1:
        raise DataError(
            f"{path}: holds {len(found)} images, in extensions {_names(found, hdus)}, none named "
            f"as a {kind} map; give it in a file of its own"
        )
    other = celestial(found[0].header, hdus, path)
    if sky is not None and other is not None:
        corner = np.array([[0.0, 0.0], [shape[1] - 1, shape[0] - 1]])
        there = other.all_world2pix(sky.all_pix2world(corner, 0), 0, quiet=True)
        shift = np.abs(there - corner).max()
        if not shift < 2:
            raise DataError(
                f"{path}: its WCS lies {shift:.1f} px from that of {image}; give the {kind} map of "
                "the same mosaic"
            )
    return plane_of(stack, found[0], path)
