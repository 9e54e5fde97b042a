"""Finding the planes of an image in FITS files, plain or compressed."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS

from galadapt.core.errors import DataError, not_of_the_file
from galadapt.core.files import Extension, shown, split_extension
from galadapt.core.log import log
from galadapt.core.packed import kind_of, unpacked
from galadapt.sky.headers import Cards
from galadapt.sky.pixels import Pixels, Steps
from galadapt.sky.sky import celestial

#: Names of the extensions that come with an image.
EXTENSIONS = {
    "weight": ("WHT", "WEIGHT", "IVAR", "INVVAR"),
    "rms": ("RMS", "ERR", "ERROR", "SIGMA", "STD", "STDDEV", "NOISE", "UNCERT"),
    "variance": ("VAR", "VARIANCE", "UNCERT"),
    "exposure": ("EXP", "EXPTIME", "EXPOSURE", "WHT", "WEIGHT"),
    "mask": ("MASK", "DQ", "FLAG", "FLAGS", "FLG", "BPM", "BADPIX", "MSK"),
}
#: Names of extensions that are no image of the sky either.
_OTHER_MAPS = {"CTX", "CON", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"}
_OTHER_MAPS |= {"AREA", "WMAP", "TIME", "NSAMP", "SAMP", "PSF", "PSFIMAGE", "BKG", "BACKGROUND"}
_NOT_SCIENCE = {name for names in EXTENSIONS.values() for name in names} | _OTHER_MAPS

#: Names of the extension that holds the image, the most explicit first.
_SCIENCE = ("SCI", "SCIENCE", "IMAGE")


def unreadable(path: Path, error: Exception) -> DataError:
    """Explain that a file cannot be read as FITS; raises where the file is not to blame."""
    not_of_the_file(path, error)
    reason = " ".join(str(error).split("\n")[0].split()).rstrip(".") or type(error).__name__
    try:
        with path.open("rb") as file:
            kind = kind_of(file.read(512))
    except OSError:
        kind = None
    if kind is not None:
        return DataError(f"{path}: is {kind[0]}, not a FITS file; {kind[1]}")
    return DataError(f"{path}: not a readable FITS file ({reason}); fetch it again")


def open_fits(stack: contextlib.ExitStack, path: Path, what: str) -> fits.HDUList:
    """Open a file, unpacked if it is compressed as a whole; `what` is its name in messages.

    An extension that the path names is left to what chooses the plane.
    """
    path, _ = split_extension(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such {what} file; check the path or rerun the stage that writes it"
        )
    given = path
    try:
        folder = tempfile.TemporaryDirectory(prefix="galadapt-")
        with contextlib.ExitStack() as kept:
            path = unpacked(path, Path(kept.enter_context(folder)))
            if path != given:
                stack.push(kept.pop_all())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            # Astropy only warns of a truncated file; such an image must not be measured.
            warnings.filterwarnings("error", ".*truncated", AstropyWarning)
            hdus = stack.enter_context(fits.open(path, memmap=False))
            for hdu in hdus:
                _ = hdu.header
        if getattr(hdus[0]._file, "compression", None) is not None:
            # Its bytes on disk are not those of its pixels, which are read by their place.
            raise OSError("packed in an unknown way; unpack it")
    except DataError:
        raise
    except Exception as error:
        # Headers that are broken fail with errors of many kinds.
        raise unreadable(given, error) from None
    return hdus


def planes_of(hdus: fits.HDUList) -> list[Any]:
    """List the HDUs that hold a 2-D image."""
    return [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) == 2]


def listed(hdus: list[Any], everything: fits.HDUList) -> str:
    """Numbers and names of some HDUs, for messages."""
    first = [f"{everything.index(hdu)} ({hdu.name or 'unnamed'})" for hdu in hdus[:5]]
    more = [f"{len(hdus) - 5} more"] if len(hdus) > 5 else []
    return ", ".join(first + more) or "none"


def extension(hdus: fits.HDUList, file: Path, wanted: Extension, images: list[Any]) -> Any:
    """The HDU of a number or name; where there is none, a DataError lists the `images`."""
    try:
        return hdus[wanted]
    except (KeyError, IndexError):
        raise DataError(
            f"{file}: has no extension {shown(wanted)}; images are in {listed(images, hdus)}"
        ) from None


def _named(hdus: fits.HDUList, path: Path, wanted: Extension) -> Any:
    """The HDU of a number or name, which must hold a 2-D image."""
    file, planes = split_extension(path)[0], planes_of(hdus)
    hdu = extension(hdus, file, wanted, planes)
    if hdu not in planes:
        raise DataError(
            f"{file}: extension {shown(wanted)} is no plane image; images are in "
            f"{listed(planes, hdus)}"
        )
    return hdu


def science_plane(hdus: fits.HDUList, path: Path, wanted: Extension | None) -> Any:
    """The HDU that holds the image: the one that its path names, else the one wanted."""
    planes = planes_of(hdus)
    named = split_extension(path)[1]
    wanted = wanted if named is None else named
    if wanted is not None:
        return _named(hdus, path, wanted)
    if not planes:
        cubes = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) > 2]
        if cubes:
            raise DataError(
                f"{path}: holds a cube of {cubes[0].shape} px, no 2-D image; write the plane to be "
                "measured to a file of its own"
            )
        raise DataError(f"{path}: holds no 2-D image; give the file of the mosaic itself")
    found: list[Any] = []
    for name in _SCIENCE:
        found = found or [hdu for hdu in planes if hdu.name == name]
    found = found or [hdu for hdu in planes if hdu.name not in _NOT_SCIENCE]
    # An image's own file often calls it nothing, or even "WHT".
    found = found or planes
    if len(found) > 1:
        raise DataError(
            f"{path}: holds {len(found)} images, in extensions {listed(found, hdus)}; name one "
            f"with --hdu, or behind the path: {path.name}[{hdus.index(found[0])}]"
        )
    return found[0]


def plane_of(stack: contextlib.ExitStack, hdu: Any, path: Path) -> Pixels:
    """Pixels of an HDU; those of a compressed one are unpacked once, to a temporary file.

    Values in asinh magnitudes (BSOFTEN and BOFFSET, as Pan-STARRS' stacks) are made linear.
    """
    try:
        asinh = _asinh(hdu.header, path)
        if not isinstance(hdu, fits.CompImageHDU):
            return _mapped(hdu, asinh)
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
        return Pixels(unpacked, asinh=asinh, steps=_steps(hdu))
    except DataError:
        raise
    except Exception as error:
        # Each way of compression fails with errors of its own.
        raise unreadable(path, error) from None


def _asinh(header: fits.Header, path: Path) -> tuple[float, float] | None:
    if "BSOFTEN" not in header and "BOFFSET" not in header:
        return None
    try:
        offset, softening = float(header["BOFFSET"]), float(header["BSOFTEN"])
    except (KeyError, TypeError, ValueError, fits.VerifyError):
        offset, softening = np.nan, np.nan
    if not (np.isfinite(offset) and softening > 0):
        raise DataError(
            f"{path}: its pixels are asinh magnitudes (BSOFTEN, BOFFSET) without both numbers to "
            "make them linear; repair the header or give a linear image"
        )
    return offset, softening


def _steps(hdu: Any) -> Steps | None:
    """Steps of a compressed image whose quantisation was dithered; None for any other."""
    table = getattr(hdu, "_bintable", None)
    if table is None:
        return None
    if not str(table.header.get("ZQUANTIZ", "")).strip().startswith("SUBTRACTIVE_DITHER"):
        return None
    ny, nx = hdu.shape
    tile = int(table.header.get("ZTILE2", 1)), int(table.header.get("ZTILE1", nx))
    shape = -(-ny // tile[0]), -(-nx // tile[1])
    if "ZSCALE" in table.columns.names:
        values = np.asarray(table.data["ZSCALE"], float)
    else:
        values = np.full(shape[0] * shape[1], float(table.header.get("ZSCALE", 0.0)))
    return Steps(np.nan_to_num(values).reshape(shape), tile)


def _mapped(hdu: Any, asinh: tuple[float, float] | None) -> Pixels:
    place, header = hdu.fileinfo(), hdu.header
    bits = int(header["BITPIX"])
    dtype = np.dtype(fits.BITPIX2DTYPE[bits]).newbyteorder(">")
    plane = np.memmap(place["file"].name, dtype, "r", place["datLoc"], tuple(hdu.shape))
    return Pixels(
        plane,
        float(header.get("BSCALE", 1.0)),
        float(header.get("BZERO", 0.0)),
        int(header["BLANK"]) if bits > 0 and "BLANK" in header else None,
        asinh,
    )


@dataclass
class Plane:
    """The image of an open FITS file; what belongs to it is opened with it."""

    stack: contextlib.ExitStack
    hdus: fits.HDUList
    hdu: Any
    cards: Cards

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.hdu.shape
        return ny, nx

    @property
    def others(self) -> list[Any]:
        """HDUs of the same file with maps of the image, by their shape and version."""
        like = self.hdu.shape, self.hdu.ver
        maps = [hdu for hdu in planes_of(self.hdus) if (hdu.shape, hdu.ver) == like]
        return [hdu for hdu in maps if hdu is not self.hdu]

    @cached_property
    def pixels(self) -> Pixels:
        """Pixels of the image."""
        return self.pixels_of(self.hdu)

    def pixels_of(self, hdu: Any) -> Pixels:
        """Pixels of one of `others`."""
        return plane_of(self.stack, hdu, self.cards.path)

    @cached_property
    def sky(self) -> WCS | None:
        """See `celestial`."""
        return celestial(self.hdu.header, self.hdus, self.cards.path, self.cards.remark)


@contextlib.contextmanager
def open_plane(
    path: Path,
    what: str,
    wanted: Extension | None = None,
    remark: Callable[[str], None] = log.info,
) -> Iterator[Plane]:
    """Open the image of a file; arguments as of `open_fits`, `science_plane` and `Cards`."""
    with contextlib.ExitStack() as stack:
        hdus = open_fits(stack, path, what)
        hdu = science_plane(hdus, path, wanted)
        yield Plane(stack, hdus, hdu, Cards(hdus, hdu, path, remark))


def companion(plane: Plane, path: Path, kind: str) -> tuple[Pixels, fits.Header]:
    """The map of a given kind (a key of `EXTENSIONS`) that belongs to an image, and its header.

    It is the extension that the path names, else the one that is named as such a map, else the
    only one of the image's shape.
    """
    stack, image, shape, sky = plane.stack, plane.cards.path, plane.shape, plane.sky
    hdus = open_fits(stack, path, kind)
    wanted = split_extension(path)[1]
    planes = planes_of(hdus) if wanted is None else [_named(hdus, path, wanted)]
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
            f"{path}: holds {len(found)} images, in extensions {listed(found, hdus)}, none named "
            f"as a {kind} map; name one behind the path: "
            f"{path.name}[{hdus.index(found[0])}]"
        )
    other = celestial(found[0].header, hdus, path, lambda _: None)
    if sky is not None and other is not None:
        corner = np.array([[0.0, 0.0], [shape[1] - 1, shape[0] - 1]])
        there = other.all_world2pix(sky.all_pix2world(corner, 0), 0, quiet=True)
        shift = np.abs(there - corner).max()
        if shift >= 2:
            raise DataError(
                f"{path}: its WCS lies {shift:.1f} px from that of {image}; give the {kind} map of "
                "the same mosaic"
            )
    return plane_of(stack, found[0], path), found[0].header
