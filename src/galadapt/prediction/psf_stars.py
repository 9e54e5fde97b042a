"""The PSF of an image from its stars, by photutils' EPSFBuilder (Anderson & King 2000).

Stars are the compact ones among the bright, isolated sources: a narrow ridge at the small end of
the half-light radii. The effective PSF contains the pixel, as everywhere in galadapt.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import NDData
from astropy.table import Table
from photutils.psf import EPSFBuilder, extract_stars
from scipy.spatial import cKDTree

from galadapt.config.survey import Extraction
from galadapt.core.errors import DataError
from galadapt.core.extraction_flags import Flag
from galadapt.core.files import atomic
from galadapt.core.log import log
from galadapt.cutouts.cutouts import cutouts
from galadapt.cutouts.stamps import Stamp
from galadapt.prediction.detection import detect
from galadapt.sky import Mosaic

#: Side of a star's cutout [px], and samples of the PSF per pixel.
_SIDE, _SAMPLES = 51, 2

#: Stars have this signal-to-noise ratio, and no detected source within this distance [px].
_SIGNAL_TO_NOISE, _APART = 50.0, 18.0

#: Flags of the extraction that a star must not have.
_UNFIT = int(Flag.SATURATED | Flag.BAD_PIXELS | Flag.BLENDED)

#: Largest difference of a star's ellipticity or ln(size) from the median of all, and the width of
#: the Gaussian weight that they are measured with [px].
_UNLIKE, _WEIGHT = 0.06, 3.0

#: Width in ln(half-light radius) of the ridge of the stars.
_RIDGE = 0.12

#: Radii of half maximum beyond which only the azimuthal median is kept.
_WINGS = 4.0

#: Fewest and most stars that a PSF is made of.
_FEWEST, _MOST = 5, 100


def psf_from_stars(mosaic: Mosaic, output: Path) -> tuple[int, float]:
    """Make the PSF of an open image at its own pixel scale and write it.

    Returns:
        Number of stars, and the sampling of the PSF's image [arcsec/px].

    Raises:
        DataError: the image has too few stars.
    """
    extraction = Extraction(max_neighbour_fraction=0.3)
    places = detect(mosaic, _SIDE + 1, extraction)
    x, y = mosaic.regrid(places["x"].to_numpy(), places["y"].to_numpy())
    stamps = _isolated(mosaic, x, y, extraction)
    radii = np.array([_half_light_radius(stamp) for stamp in stamps])
    stars = _alike([stamps[k] for k in _ridge(radii)])
    if len(stars) < _FEWEST:
        raise DataError(
            f"{mosaic.path}: only {len(stars)} isolated, unsaturated sources of S/N above "
            f"{_SIGNAL_TO_NOISE:g} look like stars, {_FEWEST} are needed to make a PSF; give "
            "one with --psf"
        )
    stars = sorted(stars, key=lambda star: -star.signal_to_noise)[:_MOST]
    image = _built(stars)
    scale = mosaic.pixel_scale / _SAMPLES
    header = fits.Header()
    header["PIXSCALE"] = (scale, "arcsec per pixel of this PSF")
    header["NSTARS"] = (len(stars), "stars of the image it was made of")
    with atomic(output) as temporary:
        fits.PrimaryHDU(image.astype(np.float32), header).writeto(temporary)
    log.info(f"{output}: PSF of {len(stars)} stars of {mosaic.path}; look at it before use")
    return len(stars), scale


def _isolated(mosaic: Mosaic, x: np.ndarray, y: np.ndarray, extraction: Extraction) -> list[Stamp]:
    """Cut out the sources that are bright, unsaturated, whole and apart from others."""
    tree = cKDTree(np.stack([x, y], axis=1))
    apart = np.array([len(found) == 1 for found in tree.query_ball_point(tree.data, _APART)])
    wanted = np.flatnonzero(apart)
    kept: dict[int, Stamp] = {}
    for rows, judged in cutouts(mosaic, x[wanted], y[wanted], _SIDE + 1, extraction):
        for row, one in zip(rows, judged, strict=True):
            if not isinstance(one, Stamp) or one.flags & _UNFIT:
                continue
            if one.signal_to_noise > _SIGNAL_TO_NOISE:
                kept[int(wanted[row])] = one
    return [kept[row] for row in sorted(kept)]


def _half_light_radius(stamp: Stamp) -> float:
    """Radius of half of the light within 12 px [px]; NaN where there is none."""
    middle = (len(stamp.pixels) - 1) / 2
    axis = np.arange(len(stamp.pixels)) - middle
    distance = np.hypot(axis[:, None] - stamp.y_offset, axis[None, :] - stamp.x_offset)
    order = np.argsort(distance, axis=None)
    near = distance.ravel()[order] < 12
    light = np.cumsum(stamp.pixels.ravel()[order][near].astype(float))
    if not light[-1] > 0:
        return float("nan")
    # The first pixel that reaches half of the light, interpolated in area.
    place = int(np.argmax(light >= light[-1] / 2))
    before = light[place - 1] if place else 0.0
    count = place + (light[-1] / 2 - before) / max(light[place] - before, 1e-30)
    return float(np.sqrt(count / np.pi))


def _ridge(radii: np.ndarray) -> np.ndarray:
    """Rows of the stars: the fullest narrow range of radii in the smaller half."""
    if not np.isfinite(radii).any():
        return np.zeros(0, int)
    sizes = np.log(np.where(np.isfinite(radii) & (radii > 0), radii, np.inf))
    small = sizes[sizes <= np.median(sizes[np.isfinite(sizes)])]
    counts = [int(((sizes >= low) & (sizes < low + _RIDGE)).sum()) for low in small]
    low = small[int(np.argmax(counts))]
    return np.flatnonzero((sizes >= low) & (sizes < low + _RIDGE))


def _alike(stars: list[Stamp]) -> list[Stamp]:
    """Keep those whose shape is the common one; galaxies of one size differ in theirs."""
    shapes = np.array([_shape(star) for star in stars]).reshape(-1, 3)
    if not len(shapes):
        return []
    distance = np.abs(shapes - np.median(shapes, axis=0)).max(axis=1)
    return [star for star, far in zip(stars, distance, strict=True) if far < _UNLIKE]


def _shape(star: Stamp) -> tuple[float, float, float]:
    """Gaussian-weighted ellipticity in two components, and ln of the size."""
    middle = (len(star.pixels) - 1) / 2
    axis = np.arange(len(star.pixels)) - middle
    x, y = axis[None, :] - star.x_offset, axis[:, None] - star.y_offset
    light = star.pixels * np.exp(-(x**2 + y**2) / (2 * _WEIGHT**2))
    total = float((light * (x**2 + y**2)).sum())
    if not total > 0:
        return np.inf, np.inf, np.inf
    first = float((light * (x**2 - y**2)).sum()) / total
    return first, float((light * 2 * x * y).sum()) / total, np.log(total / float(light.sum()))


def _built(stars: list[Stamp]) -> np.ndarray:
    """Combine stars to an effective PSF of sum 1, `_SAMPLES` samples per pixel."""
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
    return image / image.sum()


def _smooth_wings(image: np.ndarray) -> np.ndarray:
    """Replace the wings by their medians in rings, never negative: there the stars are noise."""
    y, x = np.indices(image.shape)
    middle = (np.array(image.shape) - 1) / 2
    ring = np.hypot(y - middle[0], x - middle[1])
    light = np.where(image > image.max() / 2, 1.0, 0.0).sum()
    edge = _WINGS * np.sqrt(light / np.pi)
    number = np.round(ring).astype(int)
    medians = np.array([np.median(image[number == k]) for k in range(number.max() + 1)])
    # The corners' last rings have few pixels; a level there is sky that was left.
    sky = float(np.median(medians[number.max() // 2 : int(min(middle))]))
    sky = min(sky, 1e-3 * float(image.max()))
    smooth = np.maximum(medians[number] - sky, 0.0)
    return np.where(ring > edge, smooth, image - sky)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("astropy")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
