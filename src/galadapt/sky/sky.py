"""World coordinates of an image's pixels, and the size and shape of the pixels on the sky."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import (
    FK5,
    ICRS,
    BarycentricMeanEcliptic,
    BaseCoordinateFrame,
    Galactic,
    SkyCoord,
    Supergalactic,
)
from astropy.io import fits
from astropy.time import Time
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, FITSFixedWarning, Sip
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame

from galadapt.core.errors import DataError
from galadapt.core.log import log
from galadapt.sky.headers import PLACING, drop_unparsable, number_in

#: Reference frames that catalogues do not resolve from ICRS, by names that astropy lacks.
_LIKE_ICRS = {"ICRF", "ICRS", "GAIA", "HIPPARCOS", "HCRF"}
_LIKE_J2000 = {"FK5", "J2000", "FK5/2000", "FK5-2000", "J2000.0", "FK5J2000", "FK5(J2000)"}

#: Pixels this far from their place after a step to the sky and back are not there [px].
_CONVERGED = 0.1

#: Scale and shear of the pixels may vary so much over an image, as a share, before a remark and
#: before an error: a radius would be wrong by as much.
_VARIATION_REMARK, _VARIATION_ERROR = 0.01, 0.03

_DISTORTION = re.compile(r"^(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)$")


class Sky:
    """Celestial coordinates of an image's own pixels, 0-based, in degrees (ICRS or J2000)."""

    def __init__(self, wcs: WCS) -> None:
        self.wcs = wcs
        # Right ascension comes first in catalogues; not in every header.
        self._longitude_first = wcs.wcs.lng < wcs.wcs.lat
        frame = frame_of(wcs)
        # ICRS and J2000 differ by less than catalogues resolve: both are taken as they are.
        same = isinstance(frame, ICRS) or (isinstance(frame, FK5) and frame.equinox == "J2000")
        self._frame = None if same else frame

    def world_to_pixel_values(self, ra: Any, dec: Any) -> tuple[np.ndarray, np.ndarray]:
        """Turn ra and dec [deg] into pixels (x, y), NaN where off the sky."""
        lon, lat = np.broadcast_arrays(np.asarray(ra, float), np.asarray(dec, float))
        known = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90)
        lon, lat = np.where(known, lon, np.nan), np.where(known, lat, np.nan)
        if self._frame is not None:
            there = SkyCoord(np.nan_to_num(lon), np.nan_to_num(lat), unit="deg", frame="icrs")
            there = there.transform_to(self._frame)
            lon, lat = there.spherical.lon.deg, there.spherical.lat.deg
        world = np.stack([lon, lat] if self._longitude_first else [lat, lon])
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore")
            x, y = self.wcs.all_world2pix(*world, 0, quiet=True)
            known &= np.isfinite(x) & np.isfinite(y) & (np.abs(x) < 1e9) & (np.abs(y) < 1e9)
            known &= self._converged(x, y, world)
        return np.where(known, x, np.nan), np.where(known, y, np.nan)

    def _converged(self, x: np.ndarray, y: np.ndarray, world: np.ndarray) -> np.ndarray:
        """Whether pixels lie where the coordinates were: distortions far off cannot be inverted."""
        there = _directions(self.wcs, self.wcs.all_pix2world(x, y, 0))
        beside = _directions(self.wcs, self.wcs.all_pix2world(x + 1, y + 1, 0))
        off = np.linalg.norm(there - _directions(self.wcs, world), axis=0)
        pixel = np.linalg.norm(beside - there, axis=0)
        return np.asarray(off <= _CONVERGED * pixel + 1e-12)

    def pixel_to_world_values(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Turn pixels into ra and dec [deg]."""
        world = self.wcs.all_pix2world(x, y, 0)
        lon, lat = world if self._longitude_first else world[::-1]
        if self._frame is not None:
            here = SkyCoord(lon, lat, unit="deg", frame=self._frame).icrs
            lon, lat = here.ra.deg, here.dec.deg
        return np.asarray(lon), np.asarray(lat)


def frame_of(wcs: WCS) -> BaseCoordinateFrame:
    """Frame of celestial coordinates: by the names of their axes, then by RADESYS.

    Astropy looks at RADESYS alone where there is one, and takes galactic coordinates as equatorial.

    Raises:
        ValueError: the axes are those of another frame.
    """
    axis = wcs.wcs.lngtyp.strip()
    if axis == "GLON":
        return Galactic()
    if axis == "SLON":
        return Supergalactic()
    if axis == "ELON":
        equinox = wcs.wcs.equinox
        return BarycentricMeanEcliptic(
            equinox=Time(equinox if np.isfinite(equinox) else 2000.0, format="jyear")
        )
    if axis != "RA":
        raise ValueError(f"coordinates along {axis} are not those of the sky")
    return wcs_to_celestial_frame(wcs)


def without_stale_distortion(header: fits.Header) -> fits.Header:
    """Remove stale SIP keywords: distortion coefficients without SIP in CTYPE.

    Drizzled mosaics, CANDELS' among them, keep the SIP coefficients of one exposure although they
    have no distortion: their CTYPE does not end in -SIP. Astropy applies them all the same and is
    up to an arcminute off (astropy issue 4761).

    Returns:
        A copy; unchanged if CTYPE1 ends in -SIP.
    """
    clean = header.copy()
    drop_unparsable(clean)
    if not str(header.get("CTYPE1", "")).strip().endswith("-SIP"):
        for key in [key for key in clean if _DISTORTION.match(key)]:
            del clean[key]
    return clean


def celestial(
    header: fits.Header,
    hdus: fits.HDUList | None,
    path: Path,
    remark: Callable[[str], None] = log.info,
) -> WCS | None:
    """Celestial WCS of a plane, None when the header has none.

    A reference frame that astropy does not know is taken as ICRS, or as FK5 where the header gives
    another equinox than 2000, with a remark.

    Raises:
        DataError: the WCS cannot be read, or is of no frame on the sky.
    """
    first = hdus[0].header if hdus is not None and not hdus[0].shape else {}
    if "CTYPE1" in first and "CTYPE1" not in header:
        # Extensions inherit the cards of a primary header without an image.
        header = first
        remark(f"{path}: the WCS is that of the primary header")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.simplefilter("ignore", AstropyWarning)
        clean = _with_numbers(without_stale_distortion(header), header, path)
        try:
            wcs = WCS(_known_frame(clean, path, remark), hdus)
            if not wcs.has_celestial:
                return None
            # Spectral and other axes of length 1 do not concern the sky.
            wcs = wcs if wcs.naxis == 2 else wcs.celestial
            with np.errstate(invalid="ignore"):
                scale = 3600 * np.sqrt((wcs.pixel_scale_matrix**2).sum(axis=0))
            frame_of(wcs)
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = (lines[-1] if lines else type(error).__name__).rstrip(".")
            raise DataError(f"{path}: unreadable WCS ({reason}); repair the header") from None
    if not (np.isfinite(scale).all() and (scale > 0).all() and (scale < 600).all()):
        raise DataError(
            f"{path}: by the WCS a pixel is {scale[0]:.3g} x {scale[1]:.3g} arcsec; repair "
            "CD or CDELT in the header"
        )
    return wcs


def _with_numbers(clean: fits.Header, header: fits.Header, path: Path) -> fits.Header:
    """Make numbers of those in quotes among the cards that place pixels on the sky.

    Raises:
        DataError: one of them is no number: without it pixels would lie elsewhere.
    """
    if not str(clean.get("CTYPE1", "")).strip():
        return clean
    broken = [name for name in header if name not in clean and PLACING.match(name)]
    for name in [name for name in clean if PLACING.match(name)]:
        number = number_in(clean[name])
        if number is None:
            broken.append(name)
        elif isinstance(clean[name], str):
            clean[name] = number
    if broken:
        raise DataError(
            f"{path}: the card {broken[0]} is no number, so the place of its pixels on the sky is "
            "not known; repair the header"
        )
    return clean


def _known_frame(header: fits.Header, path: Path, remark: Callable[[str], None]) -> fits.Header:
    """Give the frame of equatorial coordinates a name that astropy knows, in place."""
    if not str(header.get("CTYPE1", "")).strip().startswith(("RA", "DEC")):
        return header
    written = str(header.get("RADESYS", header.get("RADECSYS", ""))).strip()
    card = "RADESYS" if "RADESYS" in header else "RADECSYS"
    try:
        equinox = float(str(header.get("EQUINOX", header.get("EPOCH", ""))).strip().lstrip("JB"))
    except ValueError:
        equinox = np.nan
    for name in ("EQUINOX", "EPOCH"):
        if isinstance(header.get(name), str):
            del header[name]
            if np.isfinite(equinox):
                header["EQUINOX"] = equinox
    plain = "".join(written.upper().split())
    if not plain:
        return header
    if plain in ("ICRS", "FK4", "FK4-NO-E", "FK5"):
        header["RADESYS"] = plain
    elif plain in _LIKE_J2000:
        header["RADESYS"], header["EQUINOX"] = "FK5", equinox if np.isfinite(equinox) else 2000.0
    elif plain in ("B1950", "FK4/1950", "FK4-1950"):
        header["RADESYS"], header["EQUINOX"] = "FK4", 1950.0
    elif plain in _LIKE_ICRS or not np.isfinite(equinox) or equinox == 2000:
        header["RADESYS"] = "ICRS"
        if plain not in _LIKE_ICRS:
            remark(f"{path}: {card} is '{written}', which is not known; positions taken as ICRS")
    else:
        header["RADESYS"], header["EQUINOX"] = "FK5", equinox
        remark(
            f"{path}: {card} is '{written}', which is not known; positions taken as FK5 of the "
            f"equinox {equinox:g}"
        )
    header.remove("RADECSYS", ignore_missing=True)
    return header


def _pixel_shape(wcs: WCS, shape: tuple[int, int], path: Path) -> tuple[np.ndarray, float, float]:
    """Measure the pixels of an image (ny, nx) by local derivatives.

    Scales at the projection's reference point are those of the image only near it: in plate carree
    at declination 60 a pixel is half as wide.

    Returns:
        Scales in x and in y at the middle [arcsec/px]; cosine of the angle between the axes, the
        worst over the image; largest relative difference from the scales over the image.

    Raises:
        DataError: no pixel is on the sky.
    """
    ny, nx = shape
    x, y = (k.ravel() for k in np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5)))
    x, y = np.append(x, (nx - 1) / 2), np.append(y, (ny - 1) / 2)
    sides = []
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")
        for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
            low = _directions(wcs, wcs.all_pix2world(x - dx, y - dy, 0))
            sides.append(_directions(wcs, wcs.all_pix2world(x + dx, y + dy, 0)) - low)
        lengths = np.stack([np.linalg.norm(side, axis=0) for side in sides])
        cosine = (sides[0] * sides[1]).sum(axis=0) / lengths.prod(axis=0)
    known = np.isfinite(lengths).all(axis=0) & (lengths > 0).all(axis=0)
    if not known.any():
        raise DataError(f"{path}: by the WCS no pixel is on the sky; repair the header")
    scales = lengths[:, -1] if known[-1] else np.median(lengths[:, known], axis=1)
    scales_arcsec = np.degrees(scales) * 3600
    # Near the reference point the header's own numbers are exact, derivatives are not.
    projected = proj_plane_pixel_scales(wcs) * 3600
    if np.allclose(scales_arcsec, projected, rtol=1e-4, atol=0):
        scales_arcsec = projected
    variation = np.abs(lengths[:, known] / scales[:, None] - 1).max()
    return np.asarray(scales_arcsec), float(np.abs(cosine[known]).max()), float(variation)


def mean_scale(wcs: WCS, shape: tuple[int, int], path: Path) -> float:
    """Side of a square as large as a pixel at the middle of an image [arcsec]."""
    scales, shear, _ = _pixel_shape(wcs, shape, path)
    return float(np.sqrt(scales.prod() * np.sqrt(1 - shear**2)))


def local_scales(
    wcs: WCS, shape: tuple[int, int], path: Path, remark: Callable[[str], None]
) -> np.ndarray:
    """Pixel scale in x and y [arcsec/px] of an image whose pixels are rectangles of one size.

    Raises:
        DataError: its pixels are sheared, or their size varies, by more than a few per cent.
    """
    scales, shear, variation = _pixel_shape(wcs, shape, path)
    for value, what in (
        (shear, "the pixels are sheared by"),
        (variation, "the size of the pixels varies over the image by"),
    ):
        if value > _VARIATION_ERROR:
            raise DataError(
                f"{path}: {what} {100 * value:.0f} %; resample the image to a tangent plane at its "
                "middle (drizzle, SWarp), or cut it into smaller ones"
            )
        if value > _VARIATION_REMARK:
            remark(f"{path}: {what} {100 * value:.1f} %; radii are wrong by as much")
    return scales


def _directions(wcs: WCS, world: Any) -> np.ndarray:
    """Unit vectors (3, ...) of coordinates [deg], in the order of the axes of a WCS."""
    lon, lat = np.radians(world if wcs.wcs.lng < wcs.wcs.lat else world[::-1])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def scaled_sip(sip: Sip, ratio: np.ndarray, crpix: np.ndarray) -> Sip:
    """Distortion polynomials on a grid whose pixels are 1 / ratio of the old ones."""

    def scaled(terms: np.ndarray | None, axis: int) -> np.ndarray | None:
        if terms is None:
            return None
        p, q = np.indices(terms.shape)
        return np.asarray(terms * ratio[axis] / (ratio[0] ** p * ratio[1] ** q))

    return Sip(scaled(sip.a, 0), scaled(sip.b, 1), scaled(sip.ap, 0), scaled(sip.bp, 1), crpix)
