"""Reading a mosaic and its weight map, as surveys publish them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales

from galadapt.errors import DataError

#: Spellings of "electrons per second" met in archives, without blanks and in lower case.
_RATE_UNITS = frozenset(
    f"{electron}{per}"
    for electron in ("electrons", "electron", "elec", "e-", "e")
    for per in ("/s", "/sec", "/second", "s-1", "s^-1", "s**-1", ".s-1")
)


@dataclass(frozen=True)
class Mosaic:
    """An open mosaic: arrays are memory-mapped, read only where they are sliced.

    Attributes:
        drz: Image (ny, nx) [e-/s].
        wht: Inverse variance (ny, nx) [(e-/s)^-2]; 0 where there is no data.
        wcs: Celestial coordinates of `drz`.
        pixel_scale: Mean pixel scale [arcsec/px].
    """

    drz: np.ndarray
    wht: np.ndarray
    wcs: WCS
    pixel_scale: float


@contextlib.contextmanager
def open_mosaic(drz: str | Path, wht: str | Path) -> Iterator[Mosaic]:
    """Open a mosaic and its weight map.

    Raises:
        DataError: a file is missing, broken or without an image, the unit is not e-/s, there is no
            celestial WCS, or the shapes differ.
    """
    with contextlib.ExitStack() as stack:
        image, header = _open_image(stack, Path(drz))
        weight, _ = _open_image(stack, Path(wht))
        if image.shape != weight.shape:
            raise DataError(
                f"{wht}: weight map of {weight.shape} px for a mosaic of {image.shape} px ({drz}); "
                "give the weight map of the same mosaic"
            )
        unit = str(header.get("BUNIT", "")).strip()
        if unit.lower().replace(" ", "") not in _RATE_UNITS:
            raise DataError(
                f"{drz}: BUNIT is '{unit}', not ELECTRONS/S; divide counts by the exposure time "
                "and set BUNIT"
            )
        wcs = _celestial(header, Path(drz))
        scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600
        yield Mosaic(image, weight, wcs, scale)


def _open_image(stack: contextlib.ExitStack, path: Path) -> tuple[np.ndarray, fits.Header]:
    if not path.is_file():
        raise DataError(f"{path}: no such mosaic; check the path or rerun the stage that writes it")
    try:
        with warnings.catch_warnings():
            # Astropy only warns of a truncated file; such a mosaic must not be measured.
            warnings.simplefilter("error", AstropyWarning)
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            hdus = stack.enter_context(fits.open(path, memmap=True))
            hdu = next((hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS") == 2), None)
            data = None if hdu is None else hdu.data
    except (OSError, ValueError, TypeError, AstropyWarning) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise DataError(f"{path}: not a readable FITS file ({reason}); fetch it again") from None
    if hdu is None or data is None:
        raise DataError(f"{path}: holds no 2-D image; give the file of the mosaic itself")
    return data, hdu.header


def _celestial(header: fits.Header, path: Path) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(header)
        except Exception as error:
            reason = str(error).strip().split("\n")[-1].rstrip(".")
            raise DataError(f"{path}: unreadable WCS ({reason}); repair the header") from None
    if not wcs.has_celestial:
        raise DataError(
            f"{path}: no celestial WCS in the header (CTYPE1 = '{header.get('CTYPE1', '')}'); "
            "catalogue positions cannot be found without it"
        )
    return wcs.celestial
