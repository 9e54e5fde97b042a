"""The PSF of an image from its stars.

It is built by photutils' EPSFBuilder (Anderson & King 2000). If a PSF is given, such as that of
another mosaic of the same instrument, it is also stretched and sheared until it has the width and
ellipticity of the stars: a few stars show these numbers well, but not the wings. Of the two, the
one that is more like the stars is used. The effective PSF contains the pixel, as everywhere.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.nddata import NDData
from astropy.table import Table
from photutils.psf import EPSFBuilder, extract_stars

from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import Flag
from galadapt.core.files import atomic
from galadapt.core.log import log
from galadapt.cutouts.cutouts import cutouts
from galadapt.cutouts.neighbours import distance
from galadapt.cutouts.stamps import Stamp
from galadapt.prediction.point_sources import BRIGHT, FEWEST, Cores, stars
from galadapt.prediction.stamps import Bordered
from galadapt.sky import Mosaic

#: Side of a star's cutout [px], and samples of the PSF per pixel.
_SIDE, _SAMPLES = 51, 2

#: How stars are cut out: bad pixels only matter where a PSF is built, and a wide mesh leaves the
#: wings.
_CUT = Extraction(
    background_box=96, neighbours="mask", max_neighbour_fraction=1.0, max_bad_fraction=0.9
)

#: FWHM of the Moffat profile that is the unit of widths where no PSF is given [px]: stars from half
#: to more than twice as wide are found with it.
_UNIT_FWHM = 4.0

#: Flags of the extraction that a star must not have for a PSF to be built of it, and the largest
#: share of neighbours' light.
_UNFIT, _NEIGHBOURS = int(Flag.SATURATED | Flag.BAD_PIXELS | Flag.BLENDED), 0.3

#: Rounds of stretching, and side of the image of the PSF that is written [samples].
_ROUNDS, _WRITTEN = 3, 321

#: Radius within which PSFs are compared with stars [FWHM].
_WITHIN = 4.0

#: Stars that a built PSF is compared with, at most, and parts of them that are left out in turn.
_JUDGES, _PARTS = 16, 4

#: Radii of half maximum beyond which only the azimuthal median is kept.
_WINGS = 4.0

#: Most pieces of an image that are searched, and most stars that a PSF is made of.
_PIECES, _MOST = 9, 100


def psf_from_stars(
    mosaic: Mosaic, output: Path, given: galsim.GSObject | None = None
) -> tuple[int, float]:
    """Make the PSF of an open image at its own pixel scale and write it.

    Args:
        mosaic: The image, in its own pixels.
        output: FITS file to write; its header holds the number of stars and the method.
        given: A PSF [arcsec] that may be stretched instead of building one.

    Returns:
        Number of stars, and the sampling of the PSF's image [arcsec/px].

    Raises:
        DataError: the image has too few stars.
    """
    found, scale = _stars(mosaic, given), mosaic.pixel_scale
    cut = _cut(mosaic, found)
    fit = [one for one in cut if not one.flags & _UNFIT and one.neighbour_fraction < _NEIGHBOURS]
    fit = sorted(fit, key=lambda star: -star.signal_to_noise)[:_MOST]
    #: PSF, number of stars, how it was made, and how much it differs from stars.
    made: list[tuple[galsim.GSObject, int, str, float]] = []
    if given is not None and len(found):
        profile, how = _stretched(given, found, cut, scale)
        made.append((profile, len(found), how, _difference(profile, cut, scale)))
    if len(fit) >= FEWEST:
        profile = _built(fit, scale)
        difference = _apart(fit[:_JUDGES], scale) if made else _difference(profile, fit, scale)
        made.append((profile, len(fit), "built by EPSFBuilder", difference))
    if not made:
        raise DataError(_too_few(mosaic.path, len(found), len(fit)))
    profile, count, how, difference = min(made, key=lambda one: one[3])
    image = profile.drawImage(
        nx=_WRITTEN, ny=_WRITTEN, scale=scale / _SAMPLES, method="no_pixel", dtype=float
    ).array
    header = fits.Header()
    header["PIXSCALE"] = (scale / _SAMPLES, "arcsec per pixel of this PSF")
    header["NSTARS"] = (count, "stars of the image it was made of")
    header["METHOD"] = f"{how}, of {count} stars"
    with atomic(output) as temporary:
        fits.PrimaryHDU(image.astype(np.float32), header).writeto(temporary)
    log.info(
        f"{output}: PSF of {count} stars of {mosaic.path}, {how}; it differs from them by "
        f"{difference:.0%} of their light; look at it before use"
    )
    for _, _, other, share in made:
        if other != how:
            log.info(f"{output}: not used: {other}; it differs from the stars by {share:.0%}")
    return count, scale / _SAMPLES


def _too_few(path: Path, found: int, fit: int) -> str:
    if not found:
        return (
            f"{path}: no {FEWEST} unsaturated sources of S/N above {BRIGHT:g} are narrow and alike "
            "as stars are, so no PSF can be made of this image; leave --psf-from-stars out and "
            "give the PSF with --psf"
        )
    return (
        f"{path}: {fit} of {found} stars are whole and without close neighbours, {FEWEST} are "
        "needed to build a PSF of them alone; give a PSF of the same instrument and filter too "
        "(--psf), it is stretched to these stars"
    )


def _stars(mosaic: Mosaic, given: galsim.GSObject | None) -> pd.DataFrame:
    """Stars of an image, from its middle outwards until they are enough."""
    scale = mosaic.pixel_scale
    psf = given or galsim.Moffat(beta=3, fwhm=_UNIT_FWHM * scale)
    pieces: list[pd.DataFrame] = []
    for piece in islice(Cores(psf, scale).of_image(mosaic), _PIECES):
        pieces.append(piece)
        found = stars(pd.concat(pieces, ignore_index=True), bound=given is not None)
        if len(found) >= _MOST:
            break
    return found


def _cut(mosaic: Mosaic, found: pd.DataFrame) -> list[Stamp]:
    """Cut out stars, without their neighbours."""
    wider = Bordered(mosaic, _SIDE)
    x, y = (found[axis].to_numpy() + wider.pad for axis in "xy")
    batches = cutouts(wider, x, y, _SIDE + 1, _CUT)
    return [one for _, judged in batches for one in judged if isinstance(one, Stamp)]


def _stretched(
    psf: galsim.GSObject, found: pd.DataFrame, cut: list[Stamp], scale: float
) -> tuple[galsim.GSObject, str]:
    """Give a PSF the width and ellipticity of stars; and what was done."""
    stretch = 1.0
    for _ in range(_ROUNDS):
        size, e1, e2 = found[["core_width", "core_e1", "core_e2"]].median()
        stretch *= math.exp(size)
        psf = psf.dilate(math.exp(size)).shear(e1=e1, e2=e2)
        again = Cores(psf, scale).of_stamps(cut)
        found = found if again.empty else again
    return psf, f"the PSF given, stretched by {stretch:.3f} and sheared"


def _apart(fit: list[Stamp], scale: float) -> float:
    """How much built PSFs differ from stars that they were not built of.

    Of few stars a PSF has their noise, which a stretched one has not.
    """
    shares = []
    for part in range(_PARTS):
        others = [one for number, one in enumerate(fit) if number % _PARTS != part]
        shares.append(_difference(_built(others, scale), fit[part::_PARTS], scale))
    return float(np.mean(shares))


def _difference(psf: galsim.GSObject, cut: list[Stamp], scale: float) -> float:
    """How much a PSF differs from stars, as a share of their light: the median of all."""
    cores, shares = Cores(psf, scale), []
    for star in cut:
        found, size = cores.of_stamps([star]), len(star.pixels)
        if found.empty:
            continue
        x, y = (float(found[axis].iloc[0]) for axis in "xy")
        offset = x - (size - 1) / 2, y - (size - 1) / 2
        model = psf.drawImage(
            nx=size, ny=size, scale=scale, method="no_pixel", offset=offset, dtype=float
        ).array
        good = distance(model.shape, (x, y)) < _WITHIN * cores.fwhm
        if star.bad is not None:
            good &= ~star.bad
        light, model = star.pixels[good].astype(float), model[good]
        flux = float(light @ model / (model @ model))
        shares.append(float(np.abs(light - flux * model).sum()) / flux)
    return float(np.median(shares)) if shares else math.inf


def _built(stars: list[Stamp], scale: float) -> galsim.GSObject:
    """Combine stars to an effective PSF [arcsec], sampled `_SAMPLES` times per pixel."""
    size = len(stars[0].pixels)
    strip = np.concatenate([star.pixels for star in stars], axis=1).astype(float)
    middle = (size - 1) / 2
    table = Table(
        {
            "x": [k * size + middle + star.x_offset for k, star in enumerate(stars)],
            "y": [middle + star.y_offset for star in stars],
        }
    )
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        found = extract_stars(NDData(strip), table, size=_SIDE - 4)
        builder = EPSFBuilder(oversampling=_SAMPLES, maxiters=6, progress_bar=False)
        built = builder(found)
    epsf = built[0] if isinstance(built, tuple) else built.epsf
    image = _smooth_wings(np.asarray(epsf.data, float))
    sampled = galsim.Image(image, scale=scale / _SAMPLES)
    return galsim.InterpolatedImage(sampled, x_interpolant=galsim.Lanczos(15), flux=1.0)


def _smooth_wings(image: np.ndarray) -> np.ndarray:
    """Replace the wings by their medians in rings, never negative: there the stars are noise."""
    y, x = np.indices(image.shape)
    middle = (np.array(image.shape) - 1) / 2
    ring = np.hypot(y - middle[0], x - middle[1])
    light = np.where(image > image.max() / 2, 1.0, 0.0).sum()
    edge = _WINGS * np.sqrt(light / np.pi)
    number = np.round(ring).astype(int)
    medians = np.array([np.median(image[number == k]) for k in range(number.max() + 1)])
    return np.where(ring > edge, np.maximum(medians[number], 0.0), image)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("astropy")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
