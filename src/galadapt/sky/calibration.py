"""Scale, unit, zero point and exposure time of an image by its header, and what contradicts it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from galadapt.core.errors import DataError
from galadapt.core.photometry import choose_zero_point, stmag_zero_point

#: Spellings met in archives, without blanks and in lower case.
_PER_SECOND = ("/s", "/sec", "/second", "/seconds", "s-1", "s^-1", "s**-1", ".s-1", "*s**-1")
_ELECTRONS = ("electrons", "electron", "elec", "e-", "e")
_COUNTS = ("counts", "count", "cts", "ct", "dn", "adu", "photons", "photon", "ph")
_MAGGIES = ("nanomaggy", "nanomaggies", "nanomaggie", "nmgy")

#: Cards that hold the AB magnitude of one image unit, the most explicit first.
ZERO_POINT_CARDS = ("ABMAGZP", "ABZP", "MAGZERO", "MAGZPT", "ZEROPNT")

TIME_CARDS = ("EXPTIME", "TEXPTIME", "EXPOSURE")  #: cards that hold the exposure time [s]

#: Pixel scales that agree to this share are one: no resampling, no contradiction.
SCALE_TOLERANCE = 0.01

_COARSEST = 8.0  #: native pixels may be so many output pixels wide


def whole_header(hdus: fits.HDUList, science: Any) -> fits.Header:
    """Header of an extension, with cards that only the primary header has."""
    header = science.header.copy()
    for card in ("BUNIT", "PHOTFLAM", "PHOTPLAM", *TIME_CARDS, *ZERO_POINT_CARDS):
        if card not in header and card in hdus[0].header:
            header[card] = hdus[0].header[card]
    return header


def _number(header: fits.Header, card: str) -> float | None:
    value = header.get(card)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value)


def exposure_time(header: fits.Header) -> float | None:
    """Exposure time [s]; None when no card gives a positive one."""
    for card in TIME_CARDS:
        time = _number(header, card)
        if time is not None and time > 0:
            return time
    return None


def native_scales(wcs: WCS | None, given: float | None, path: Path) -> np.ndarray:
    """Pixel scale in x and in y [arcsec/px]; NaN when unknown."""
    if wcs is None:
        return np.full(2, np.nan if given is None else given)
    scales = proj_plane_pixel_scales(wcs) * 3600
    if given is not None and np.any(np.abs(scales / given - 1) > SCALE_TOLERANCE):
        raise DataError(
            f"{path}: the WCS gives {scales.mean():.4f} arcsec per pixel, native_pixel_scale "
            f"{given:g}; leave native_pixel_scale out or repair the header"
        )
    return np.asarray(scales)


def wanted_scale(scales: np.ndarray, wanted: float | None, path: Path) -> float:
    """Pixel scale to read at [arcsec/px]: as wanted, or the file's own."""
    if wanted is None:
        if abs(scales[0] / scales[1] - 1) > SCALE_TOLERANCE:
            raise DataError(
                f"{path}: pixels are {scales[0]:.4f} x {scales[1]:.4f} arcsec, not square; give "
                "the pixel_scale to resample to"
            )
        return float(scales.mean())
    if np.isnan(scales).any():
        raise DataError(
            f"{path}: the pixel scale is unknown, as the header has no celestial WCS; give "
            "native_pixel_scale [arcsec]"
        )
    if (scales / wanted > _COARSEST).any():
        raise DataError(
            f"{path}: pixels of {scales.mean():.3g} arcsec are too coarse to be resampled to "
            f"{wanted:g} arcsec; give a sharper image or a network for this scale"
        )
    # The grid is exactly the wanted one, or exactly the file's.
    same = (np.abs(scales / wanted - 1) <= SCALE_TOLERANCE).all()
    return float(scales.mean()) if same else float(wanted)


def unit_of(
    header: fits.Header, given: str | None, path: Path, remark: Callable[[str], None]
) -> tuple[str, float]:
    """Unit of the pixels as they are read, and what the file's are multiplied with for it."""
    written = str(header.get("BUNIT", "")).strip()
    kind = unit_kind(written if given is None else given)
    if given is not None and written and kind != unit_kind(written):
        remark(f"{path}: BUNIT is '{written}'; taken as '{given}', as given")
    if kind in ("e-", "counts"):
        if given is None:
            raise DataError(
                f"{path}: BUNIT is '{written}', not a rate; give unit 'counts' to divide by "
                "EXPTIME, or 'counts/s' or 'e-/s' if BUNIT is wrong"
            )
        time = exposure_time(header)
        if time is None:
            raise DataError(
                f"{path}: counts cannot be divided by the exposure time, as EXPTIME is "
                f"'{header.get('EXPTIME', '')}'; set it in the header [s]"
            )
        if time == 1:
            remark(f"{path}: EXPTIME is 1 s; check that the image does hold counts of 1 s")
        return f"{kind}/s", 1 / time
    if kind is not None:
        return kind, 1.0
    if given is None and not written:
        raise DataError(
            f"{path}: BUNIT is missing, so the unit of the pixels is unknown; give unit: 'e-/s', "
            "'counts/s', 'counts' or a flux density such as 'nJy' or 'MJy/sr'"
        )
    raise DataError(
        f"{path}: unit '{written if given is None else given}' is neither a rate nor a flux "
        "density per frequency; give unit: 'e-/s', 'counts/s', 'counts' or one such as 'nJy' or "
        "'MJy/sr'"
    )


def unit_kind(text: str) -> str | None:
    """Name a unit: "e-/s", "counts/s", "e-", "counts", a flux density as in astropy, or None."""
    plain = text.lower().replace(" ", "")
    for per, suffix in ((_PER_SECOND, "/s"), (("",), "")):
        for names, name in ((_ELECTRONS, "e-"), (_COUNTS, "counts")):
            if plain in {one + end for one in names for end in per}:
                return name + suffix
    if plain == "cps":
        return "counts/s"
    if plain in _MAGGIES:
        return "nmgy"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", units.UnitsWarning)
            unit = units.Unit(text.strip())
    except (ValueError, TypeError):
        return None
    if unit.is_equivalent(units.Jy) or unit.is_equivalent(units.Jy / units.sr):
        return str(unit)
    return None


def _calibrated(unit: str, scales: np.ndarray, path: Path) -> float | None:
    """AB zero point of a flux density per pixel; None for a rate."""
    if unit in ("e-/s", "counts/s"):
        return None
    if unit == "nmgy":
        return 22.5
    flux = units.Unit(unit)
    if not flux.is_equivalent(units.Jy):
        if np.isnan(scales).any():
            raise DataError(
                f"{path}: unit '{unit}' needs the area of a pixel; give native_pixel_scale [arcsec]"
            )
        flux = flux * (float(np.prod(scales)) * units.arcsec**2)
    return float((1 * flux).to_value(units.ABmag))


def zero_point_of(
    header: fits.Header,
    given: float | None,
    unit: str,
    divided: bool,
    scales: np.ndarray,
    path: Path,
    remark: Callable[[str], None],
) -> float | None:
    """AB magnitude of one unit: as given, else from the unit, else from the header, else None."""
    known = _calibrated(unit, scales, path)
    source = f"unit '{unit}'"
    if known is None:
        # Cards may mean a count or a count per second.
        card = next((c for c in ZERO_POINT_CARDS if _number(header, c) is not None), None)
        flam, plam = _number(header, "PHOTFLAM"), _number(header, "PHOTPLAM")
        if card is not None and divided:
            if given is None:
                remark(f"{path}: {card} may be that of counts, not of counts/s; it is not used")
        elif card is not None:
            known, source = _number(header, card), card
        if known is None and flam is not None and plam is not None and min(flam, plam) > 0:
            known = stmag_zero_point(flam, plam)
            source = "PHOTFLAM and PHOTPLAM"
    return choose_zero_point(given, known, source, path, remark)
