"""Effective PSFs: everything between the sky and a pixel value, the pixel included.

A renderer convolves with the profile and samples at pixel centres (GalSim's ``no_pixel``).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits

from galadapt.config.image import GaussianPsf, MoffatPsf, OpticalPsf, Psf, PsfSet
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.files import expand, split_extension
from galadapt.core.log import log

# HST's secondary-mirror vanes and WFC3's cold mask, as a fraction of the aperture.
_STRUT_THICKNESS = 0.022

_SCALE_TOLERANCE = 0.01  #: headers give scales to a few digits; a real contradiction is a factor
_OFF_CENTRE = 2.0  #: from here on a message states that a PSF was centred [px]
_MAX_OFF_CENTRE = 0.25  #: how far from the middle of its image it may sit, in sides of the image

#: Sky left in the image of a PSF, over its peak, and over all its light, that is subtracted.
_SKY_PEAK, _SKY_LIGHT = 1e-4, 0.01

#: Errors of that sky from which on it is one.
_SKY_ERRORS = 5.0

#: Wings of a PSF fall as this power of the radius, or faster; a sky does not.
_WINGS = 3.0

#: Cards that hold the sampling of a PSF [arcsec/px].
_SCALE_CARDS = ("PIXSCALE", "PIXELSCL", "PIXSCL", "PIXELSCA", "PIXSCAL1", "SECPIX", "SECPIX1")

# Order of the interpolant of FITS PSFs; its roll-off ends 2 / order beyond the Nyquist frequency.
_LANCZOS = 15

_PADDING = 4  #: period of a FITS PSF's tabulated transform, in sides of its image
_AVERAGED = 16  #: PSFs of a set that its average is taken over
_FINE, _SIDE = 8, 400  #: samples per pixel and side of the image that widths are measured on

#: Side of the largest transform that GalSim makes, half a gibibyte; a profile that needs more
#: is drawn as if it came back after so many sides of the image.
_LARGEST_FFT, _FOLDS = 8192, 2

_GSPARAMS = galsim.GSParams(maxk_threshold=1e-4, kvalue_accuracy=1e-6)


def make_psf(psf: Psf, pixel_scale: float) -> galsim.GSObject:
    """Build the effective PSF of an image to be drawn with pixels of `pixel_scale` [arcsec].

    Analytic PSFs are convolved with the pixel; a FITS PSF includes its own.

    Returns:
        A profile of unit flux in arcsec, to be drawn with ``method="no_pixel"``.

    Raises:
        DataError: the FITS image is missing, broken, or contradicts the settings.
        ConfigError: it is a set of PSFs, where one is needed.
    """
    if psf.kind == "set":
        raise ConfigError(
            "psf.kind: set is for simulated stamps only; a survey is seen through one PSF, "
            "give that one"
        )
    return make_psfs(psf, pixel_scale)[0]()


def summed(psf: galsim.GSObject, pixel_scale: float, factor: int) -> galsim.GSObject:
    """Effective PSF of an image of which factor x factor pixels are summed.

    Args:
        psf: Effective PSF of the image itself [arcsec].
        pixel_scale: Of the image itself [arcsec/px].
        factor: Pixels along the side of a sum.
    """
    if factor == 1:
        return psf
    places = pixel_scale * (np.arange(factor) - (factor - 1) / 2)
    return galsim.Sum([psf.shift(x, y) / factor**2 for x in places for y in places])


def make_psfs(psf: Psf, pixel_scale: float) -> list[Callable[[], galsim.GSObject]]:
    """Prepare every PSF of a set, or the one PSF of the other kinds; as `make_psf`.

    Returns:
        One function per PSF that builds it, members before images: a built PSF takes megabytes, an
        image kilobytes. All files are read and checked before.
    """
    if psf.kind == "set":
        members = [build for member in psf.members for build in make_psfs(member, pixel_scale)]
        return members + (_images_of(psf, pixel_scale) if psf.path is not None else [])
    if psf.kind != "fits":
        return [partial(_analytic, psf, pixel_scale)]
    path = expand(psf.path)
    data, header = _chosen(path, psf.hdu)
    return [_builder(data, header, psf.pixel_scale, pixel_scale, path, "the PSF")]


def stated_scale(path: Path, hdu: int = 0) -> float | None:
    """Sampling of a PSF's image by its header [arcsec/px]; None when it does not contain it.

    Raises:
        DataError: the file is missing, broken, or holds no such image.
    """
    return _stated_scale(_chosen(path, hdu)[1])


def _chosen(path: Path, number: int) -> tuple[np.ndarray, fits.Header]:
    """The image of the extension that a path names, else of the number given.

    Where that is 0 and the primary extension holds no image, it is the only image.
    """
    # Its imports take most of a second, which other PSFs do without.
    from galadapt.sky.fits_files import extension, listed, open_fits

    with contextlib.ExitStack() as stack:
        hdus = open_fits(stack, path, "PSF")
        file, wanted = split_extension(path)
        planes = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) > 1]
        images = listed(planes, hdus)
        if number == 0 and wanted is None and not hdus[0].shape and planes:
            if len(planes) > 1:
                raise DataError(
                    f"{file}: holds {len(planes)} images, in extensions {images}; name one with "
                    f"--psf-hdu, or behind the path: {file.name}[{hdus.index(planes[0])}]"
                )
            hdu = planes[0]
        else:
            hdu = extension(hdus, file, number if wanted is None else wanted, planes)
        data, header = hdu.data if hdu.is_image else None, hdu.header
        # A cube of one plane is that plane.
        while data is not None and data.ndim > 2 and data.shape[0] == 1:
            data = data[0]
        if data is None or data.ndim != 2:
            if "PSF_SAMP" in header or "PSFNAXIS" in header:
                raise DataError(f"{file}: is a PSFEx model; write its image at the galaxies' place")
            raise DataError(
                f"{file}: extension {hdus.index(hdu)} is not a 2-D image; images are in {images}; "
                "correct --psf-hdu, or the extension behind the path"
            )
        return data, header


def mean_psf(psfs: list[Callable[[], galsim.GSObject]]) -> galsim.GSObject:
    """Return the average of PSFs from `make_psfs`, for what needs only their typical width."""
    if len(psfs) == 1:
        return psfs[0]()
    return galsim.Add([build() for build in psfs[:_AVERAGED]]).withFlux(1.0)


def _analytic(psf: OpticalPsf | GaussianPsf | MoffatPsf, pixel_scale: float) -> galsim.GSObject:
    if psf.kind == "optical":
        optics = _optics(psf)
    elif psf.kind == "moffat":
        optics = galsim.Moffat(beta=psf.beta, fwhm=psf.fwhm, gsparams=_GSPARAMS)
    else:
        optics = galsim.Gaussian(fwhm=psf.fwhm, gsparams=_GSPARAMS)
    return galsim.Convolve(optics, galsim.Pixel(pixel_scale), gsparams=_GSPARAMS)


def fwhm(psf: galsim.GSObject, pixel_scale: float) -> float:
    """Full width at half maximum [arcsec] of a circle as large as the area above half maximum."""
    scale = pixel_scale / _FINE
    if 2 * math.pi / (psf.stepk * scale) > _LARGEST_FFT:
        image = _folded(psf, scale)
    else:
        image = psf.drawImage(nx=_SIDE, ny=_SIDE, scale=scale, method="no_pixel", dtype=float).array
    area = np.count_nonzero(image > image.max() / 2)
    return 2 * math.sqrt(area / math.pi) * scale


def _folded(psf: galsim.GSObject, scale: float) -> np.ndarray:
    """Draw a profile as if it came back every `_FOLDS` sides: wings fold, memory stays small."""
    side = _FOLDS * _SIDE
    step = 2 * math.pi / (side * scale)
    half = min(math.ceil(psf.maxk / step), side // 2 - 1)
    bounds = galsim.BoundsI(-half, half, -half, half)
    sampled = psf.drawKImage(galsim.ImageCD(bounds, scale=step), recenter=False).array
    whole = np.pad(sampled, ((side // 2 - half, side // 2 - half - 1),) * 2)
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(whole)).real)


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


def _images_of(psf: PsfSet, pixel_scale: float) -> list[Callable[[], galsim.GSObject]]:
    """Prepare every image and plane of a file."""
    from galadapt.sky.fits_files import open_fits

    path = expand(str(psf.path))
    builders = []
    with contextlib.ExitStack() as stack:
        for number, hdu in enumerate(open_fits(stack, path, "PSF")):
            if not hdu.is_image or len(hdu.shape) not in (2, 3):
                continue
            planes = hdu.data[None] if hdu.data.ndim == 2 else hdu.data
            for plane, image in enumerate(planes):
                what = f"the PSF of extension {number}, plane {plane},"
                builders.append(
                    _builder(image, hdu.header, psf.pixel_scale, pixel_scale, path, what)
                )
    if not builders:
        raise DataError(f"{path}: holds no 2-D image or cube of PSFs; correct psf.path")
    return builders


def _builder(
    data: np.ndarray,
    header: fits.Header,
    sampling: float,
    pixel_scale: float,
    path: Path,
    what: str,
) -> Callable[[], galsim.GSObject]:
    """Check one image, sampled at `sampling` [arcsec/px], and prepare its profile."""
    image = np.ascontiguousarray(data, np.float64)
    if not np.isfinite(image).all():
        raise DataError(f"{path}: {what} holds NaN or infinite pixels; replace it")
    if image.size > 1 and image.any() and np.ptp(image) <= 1e-9 * np.abs(image).max():
        raise DataError(f"{path}: {what} has one value in all pixels; replace it")
    image = _without_sky(image, path, what)
    if image.sum() <= 0:
        raise DataError(f"{path}: {what} has the sum {image.sum():g}, not positive; replace it")
    stated = _stated_scale(header)
    if stated is not None and abs(stated / sampling - 1) > _SCALE_TOLERANCE:
        raise DataError(
            f"{path}: the header gives {stated:.4g} arcsec/px, --psf-pixel-scale is "
            f"{sampling:.4g}; correct one of them"
        )
    if sampling > pixel_scale * (1 + _SCALE_TOLERANCE):
        raise DataError(
            f"{path}: a PSF sampled at {sampling:g} arcsec/px is coarser than the image's "
            f"{pixel_scale:g} (--pixel-scale); give a PSF at least as finely sampled"
        )
    return partial(_interpolated, image, sampling, _offset(image, path, what))


def _interpolated(
    image: np.ndarray, sampling: float, offset: tuple[float, float]
) -> galsim.GSObject:
    # A PSF sampled at its band limit needs sinc interpolation: GalSim's default (quintic) lowers
    # the peak of the F160W PSF by 0.8 %, this by 0.08 %.
    sampled = galsim.InterpolatedImage(
        galsim.Image(image, scale=sampling),
        x_interpolant=galsim.Lanczos(_LANCZOS),
        flux=1.0,
        offset=offset,
    )
    # What the interpolant leaves beyond its roll-off (1e-4) is its own error, no light: drop it.
    step = 2 * math.pi / (_PADDING * max(image.shape) * sampling)
    reach = math.pi / sampling * (1 + 2 / _LANCZOS)
    half = math.ceil(reach / step)
    bounds = galsim.BoundsI(-half, half, -half, half)
    transform = sampled.drawKImage(galsim.ImageCD(bounds, scale=step), recenter=False)
    return galsim.InterpolatedKImage(transform, gsparams=_GSPARAMS)


def _stated_scale(header: fits.Header) -> float | None:
    """Pixel scale [arcsec/px] in a header, if it is one on the sky."""
    from galadapt.sky.headers import drop_unparsable

    header = header.copy()
    drop_unparsable(header)
    try:
        for card in _SCALE_CARDS:
            if card in header and abs(float(header[card])) > 0:
                return abs(float(header[card]))
        matrix, alone = _matrix(header)
        if matrix is None:
            return None
        scale = math.sqrt(abs(float(np.linalg.det(matrix)))) or math.hypot(*matrix[:, 0])
    except (TypeError, ValueError):
        return None
    kind = str(header.get("CTYPE1", "")).strip().upper()
    unit = str(header.get("CUNIT1", "")).strip().lower()
    if scale == 0:
        return None
    # GalSim writes arcsec without a unit.
    if "GS_WCS" in header or unit.startswith("arcsec"):
        return scale
    if unit.startswith("deg") or kind[:2] in ("RA", "DE", "GL", "EL"):
        return 3600 * scale
    # CDELT alone may count pixels. No PSF has pixels of 3.6 arcsec: larger numbers are arcsec.
    if alone or scale == 1:
        return None
    return scale if scale > 1e-3 else 3600 * scale


def _matrix(header: fits.Header) -> tuple[np.ndarray | None, bool]:
    """Linear part of a WCS (2, 2), and whether it is CDELT alone; None without any."""

    def of(kind: str, diagonal: float) -> np.ndarray:
        cards = [(f"{kind}{i}_{j}", diagonal if i == j else 0.0) for i in (1, 2) for j in (1, 2)]
        return np.reshape([float(header.get(*card)) for card in cards], (2, 2))

    first = float(header.get("CDELT1", 1.0))
    steps = [first, float(header.get("CDELT2", abs(first)))]
    if any(card.startswith("CD") and card[2:3].isdigit() for card in header):
        return of("CD", 0.0), False
    if any(card.startswith("PC") and card[2:3].isdigit() for card in header):
        return np.diag(steps) @ of("PC", 1.0), False
    return (np.diag(steps), True) if "CDELT1" in header else (None, True)


def _without_sky(image: np.ndarray, path: Path, what: str) -> np.ndarray:
    """Subtract a sky that was left in the image of a PSF, with a message.

    Its wings fall towards the edge, a sky does not: a constant and wings that fall like the power
    `_WINGS` of the radius are fitted to the medians of rings in the outer half. Many rings average
    what diffraction makes of them, and leave the constant's error.
    """
    rows, columns = np.indices(image.shape)
    peak = np.unravel_index(np.argmax(image), image.shape)
    radius = np.hypot(rows - peak[0], columns - peak[1])
    reach = min(image.shape) / 2 - 1
    if reach < 12:
        # Too few rings to distinguish a sky from wings.
        return image
    rings = np.arange(reach / 2, reach + 0.5)
    levels = np.array([np.median(image[np.abs(radius - ring) <= 0.5]) for ring in rings])
    terms = np.stack([np.ones(len(rings)), (rings / reach) ** -_WINGS], axis=1)
    fitted = np.linalg.lstsq(terms, levels)[0]
    left = levels - terms @ fitted
    scatter = (left**2).sum() / max(len(rings) - 2, 1)
    error = math.sqrt(scatter * np.linalg.inv(terms.T @ terms)[0, 0])
    sky = float(fitted[0])
    light = abs(sky) * image.size / max(abs(image.sum() - sky * image.size), 1e-300)
    small = abs(sky) < max(_SKY_PEAK * image.max(), _SKY_ERRORS * error) or light < _SKY_LIGHT
    # Wings fall more slowly than assumed, or faster; a sky is seen at the edge itself.
    if small or (sky > 0) != (levels[-1] > 0) or abs(sky) > 2 * abs(levels[-1]):
        return image
    log.info(
        f"{path}: {what} has a sky of {sky / image.max():.2g} of its peak left, {100 * light:.0f} "
        "% of its light; it is subtracted"
    )
    return np.asarray(image - sky)


def _offset(image: np.ndarray, path: Path, what: str) -> tuple[float, float]:
    """Offset (x, y) of the pixel centre, edge or corner nearest the centroid of the core [px].

    Images of even size may be centred on a pixel or between four. Half a pixel is the resolution
    because a PSF's own asymmetry is no shift.
    """
    core = np.where(image > 0.1 * image.max(), image, 0.0)
    rows, columns = np.indices(image.shape)
    centre = [(axis * core).sum() / core.sum() for axis in (columns, rows)]
    middle = [(size - 1) / 2 for size in image.shape[::-1]]
    x, y = (round(2 * (c - m)) / 2 for c, m in zip(centre, middle, strict=True))
    if max(abs(x), abs(y)) > max(_OFF_CENTRE, _MAX_OFF_CENTRE * min(image.shape)):
        raise DataError(
            f"{path}: {what} sits {x:+.1f}, {y:+.1f} px off the middle of its image; centre it"
        )
    if max(abs(x), abs(y)) > _OFF_CENTRE:
        log.info(f"{path}: {what} sits {x:+.1f}, {y:+.1f} px off the middle; it is centred")
    return x, y
