"""Effective PSFs: everything between the sky and a pixel value, the pixel included.

A renderer convolves with the profile and samples at pixel centres (GalSim's ``no_pixel``).
"""

from __future__ import annotations

import math
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits

from galadapt.config import FitsPsf, OpticalPsf, Psf
from galadapt.errors import DataError
from galadapt.files import expand

# HST's secondary-mirror vanes and WFC3's cold mask, as a fraction of the aperture.
_STRUT_THICKNESS = 0.022

# Headers give scales to a few digits; a real contradiction is a factor.
_SCALE_TOLERANCE = 0.01

# How far from the middle of its image a PSF may sit [px].
_MAX_OFF_CENTRE = 2.0

# Order of the interpolant of FITS PSFs; its roll-off ends 2 / order beyond the Nyquist frequency.
_LANCZOS = 15

# Period of a FITS PSF's tabulated transform, in sides of its image.
_PADDING = 4

_GSPARAMS = galsim.GSParams(maxk_threshold=1e-4, kvalue_accuracy=1e-6)


def make_psf(psf: Psf, pixel_scale: float) -> galsim.GSObject:
    """Build the effective PSF of an image.

    Args:
        psf: Which PSF.
        pixel_scale: Pixel scale of the image to be drawn [arcsec/px]; sets the pixel that analytic
            PSFs are convolved with. A FITS PSF includes its own.

    Returns:
        A profile of unit flux in arcsec, to be drawn with ``method="no_pixel"``.

    Raises:
        DataError: the FITS image is missing, broken, or contradicts the settings.
    """
    if psf.kind == "fits":
        return _from_fits(psf, pixel_scale)
    if psf.kind == "optical":
        optics = _optics(psf)
    elif psf.kind == "moffat":
        optics = galsim.Moffat(beta=psf.beta, fwhm=psf.fwhm, gsparams=_GSPARAMS)
    else:
        optics = galsim.Gaussian(fwhm=psf.fwhm, gsparams=_GSPARAMS)
    return galsim.Convolve(optics, galsim.Pixel(pixel_scale), gsparams=_GSPARAMS)


def _optics(psf: OpticalPsf) -> galsim.GSObject:
    optics = galsim.OpticalPSF(
        lam=psf.wavelength,
        diam=psf.diameter,
        obscuration=psf.obscuration,
        nstruts=psf.struts,
        strut_thick=_STRUT_THICKNESS,
        strut_angle=45 * galsim.degrees,
        defocus=psf.defocus,
        astig1=psf.astigmatism,
        astig2=psf.astigmatism,
        coma1=psf.coma,
        coma2=psf.coma,
    )
    if psf.blur == 0:
        return optics
    return galsim.Convolve(optics, galsim.Gaussian(sigma=psf.blur), gsparams=_GSPARAMS)


def _from_fits(psf: FitsPsf, pixel_scale: float) -> galsim.GSObject:
    path = expand(psf.path)
    image, header = _read(path, psf.hdu)
    _check_scale(header, psf.pixel_scale, path)
    if psf.pixel_scale > pixel_scale * (1 + _SCALE_TOLERANCE):
        raise DataError(
            f"{path}: a PSF sampled at {psf.pixel_scale:g} arcsec/px is coarser than the image's "
            f"{pixel_scale:g} (image.pixel_scale); give a PSF at least as finely sampled"
        )
    offset = _offset(image, path)
    # A PSF sampled at its band limit wants sinc interpolation: GalSim's default (quintic) lowers
    # the peak of the F160W PSF by 0.8 %, this by 0.08 %.
    sampled = galsim.InterpolatedImage(
        galsim.Image(image, scale=psf.pixel_scale),
        x_interpolant=galsim.Lanczos(_LANCZOS),
        flux=1.0,
        offset=offset,
    )
    # What the interpolant leaves beyond its roll-off (1e-4) is its own error, no light: drop it.
    step = 2 * math.pi / (_PADDING * max(image.shape) * psf.pixel_scale)
    reach = math.pi / psf.pixel_scale * (1 + 2 / _LANCZOS)
    half = math.ceil(reach / step)
    bounds = galsim.BoundsI(-half, half, -half, half)
    transform = sampled.drawKImage(galsim.ImageCD(bounds, scale=step), recenter=False)
    return galsim.InterpolatedKImage(transform, gsparams=_GSPARAMS)


def _read(path: Path, hdu: int) -> tuple[np.ndarray, fits.Header]:
    if not path.is_file():
        raise DataError(f"{path}: no such PSF file; correct psf.path")
    try:
        with fits.open(path, memmap=False) as hdus:
            if hdu >= len(hdus):
                raise DataError(
                    f"{path}: has {len(hdus)} extensions, no number {hdu}; correct psf.hdu"
                )
            data, header = hdus[hdu].data, hdus[hdu].header
    except (OSError, ValueError, TypeError) as error:
        line = " ".join(str(error).split())
        raise DataError(f"{path}: not a readable FITS file ({line}); replace it") from None
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.dtype.names:
        raise DataError(f"{path}: extension {hdu} is not a 2-D image; correct psf.hdu")
    image = np.ascontiguousarray(data, np.float64)
    if not np.isfinite(image).all():
        raise DataError(f"{path}: the PSF holds NaN or infinite pixels; replace it")
    if image.sum() <= 0:
        raise DataError(f"{path}: the PSF's sum is {image.sum():g}, not positive; replace it")
    return image, header


def _check_scale(header: fits.Header, configured: float, path: Path) -> None:
    stated = _stated_scale(header)
    if stated is not None and abs(stated / configured - 1) > _SCALE_TOLERANCE:
        raise DataError(
            f"{path}: the header says {stated:.4g} arcsec/px, psf.pixel_scale says "
            f"{configured:.4g}; correct one of them"
        )


def _stated_scale(header: fits.Header) -> float | None:
    """Return the pixel scale [arcsec/px] a header states, if it states one on the sky."""
    try:
        if "PIXSCALE" in header:
            return abs(float(header["PIXSCALE"])) or None
        if "CD1_1" in header:
            degrees = math.hypot(header["CD1_1"], header.get("CD2_1", 0.0))
            return 3600 * degrees or None
        # CDELT alone may count pixels; only celestial axes are in degrees.
        if "CDELT1" in header and str(header.get("CTYPE1", ""))[:2] in ("RA", "DE", "GL"):
            return 3600 * abs(float(header["CDELT1"])) or None
    except (TypeError, ValueError):
        return None
    return None


def _offset(image: np.ndarray, path: Path) -> tuple[float, float]:
    """Place the PSF's centre: the pixel centre, edge or corner nearest its core's centroid.

    Images of even size may be centred on a pixel or between four; neither is taken on faith.
    Half a pixel is the resolution because a PSF's own asymmetry is no shift.
    """
    core = np.where(image > 0.1 * image.max(), image, 0.0)
    rows, columns = np.indices(image.shape)
    centre = [(axis * core).sum() / core.sum() for axis in (columns, rows)]
    middle = [(size - 1) / 2 for size in image.shape[::-1]]
    x, y = (round(2 * (c - m)) / 2 for c, m in zip(centre, middle, strict=True))
    if max(abs(x), abs(y)) > _MAX_OFF_CENTRE:
        raise DataError(
            f"{path}: the PSF sits {x:+.1f}, {y:+.1f} px off the middle of its image; centre it"
        )
    return x, y
