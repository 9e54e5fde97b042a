"""World coordinates of an image's pixels."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import FK5, ICRS, SkyCoord, UnitSphericalRepresentation
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, FITSFixedWarning, Sip
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame

from galadapt.core.errors import DataError

_DISTORTION = re.compile(r"^(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)$")


class Sky:
    """Celestial coordinates of an image's own pixels, 0-based, in degrees (ICRS or J2000)."""

    def __init__(self, wcs: WCS) -> None:
        self.wcs = wcs
        # Right ascension comes first in catalogues; not in every header.
        self._longitude_first = wcs.wcs.lng < wcs.wcs.lat
        frame = wcs_to_celestial_frame(wcs)
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
        world = (lon, lat) if self._longitude_first else (lat, lon)
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore")
            x, y = self.wcs.all_world2pix(*world, 0, quiet=True)
        known &= np.isfinite(x) & np.isfinite(y)
        return np.where(known, x, np.nan), np.where(known, y, np.nan)

    def pixel_to_world_values(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Turn pixels into ra and dec [deg]."""
        world = self.wcs.all_pix2world(x, y, 0)
        lon, lat = world if self._longitude_first else world[::-1]
        if self._frame is not None:
            here = UnitSphericalRepresentation(lon * units.deg, lat * units.deg)
            here = SkyCoord(self._frame.realize_frame(here)).icrs
            lon, lat = here.ra.deg, here.dec.deg
        return np.asarray(lon), np.asarray(lat)


def without_stale_distortion(header: fits.Header) -> fits.Header:
    """Remove stale SIP keywords: distortion coefficients without SIP in CTYPE.

    Drizzled mosaics, CANDELS' among them, keep the SIP coefficients of one exposure although they
    have no distortion: their CTYPE does not end in -SIP. Astropy applies them all the same and is
    up to an arcminute off (astropy issue 4761).

    Returns:
        A copy; unchanged if CTYPE1 ends in -SIP.
    """
    clean = header.copy()
    if not str(header.get("CTYPE1", "")).strip().endswith("-SIP"):
        for key in [key for key in clean if _DISTORTION.match(key)]:
            del clean[key]
    return clean


def celestial(header: fits.Header, hdus: fits.HDUList | None, path: Path) -> WCS | None:
    """Celestial WCS of a plane, None when the header has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            wcs = WCS(without_stale_distortion(header), hdus)
            if not wcs.has_celestial:
                return None
            scale = proj_plane_pixel_scales(wcs) * 3600
        except Exception as error:
            reason = str(error).strip().split("\n")[-1].rstrip(".")
            raise DataError(f"{path}: unreadable WCS ({reason}); repair the header") from None
    if not (np.isfinite(scale).all() and (scale > 0).all() and (scale < 600).all()):
        raise DataError(
            f"{path}: by the WCS a pixel is {scale[0]:.3g} x {scale[1]:.3g} arcsec; repair "
            "CD or CDELT in the header"
        )
    return wcs


def scaled_sip(sip: Sip, ratio: np.ndarray, crpix: np.ndarray) -> Sip:
    """Distortion polynomials on a grid whose pixels are 1 / ratio of the old ones."""

    def scaled(terms: np.ndarray | None, axis: int) -> np.ndarray | None:
        if terms is None:
            return None
        p, q = np.indices(terms.shape)
        return np.asarray(terms * ratio[axis] / (ratio[0] ** p * ratio[1] ** q))

    return Sip(scaled(sip.a, 0), scaled(sip.b, 1), scaled(sip.ap, 0), scaled(sip.bp, 1), crpix)
