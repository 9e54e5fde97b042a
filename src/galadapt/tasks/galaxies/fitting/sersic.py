"""Sérsic fits of stamps without a network: `galadapt.fitting.refine` with next to no prior."""

from __future__ import annotations

import galsim
import numpy as np
import pandas as pd

from galadapt.config.survey import Extraction
from galadapt.core.photometry import magnitude_of
from galadapt.cutouts.neighbours import shape_of
from galadapt.fitting.profiles import LOG_INDEX
from galadapt.fitting.refine import Refined, Refiner

#: Where fits start: a disc and a spheroid, one of them is near enough. Never at a prediction: a fit
#: that starts at the answer may stay there.
_START_INDICES, _START_ELLIPTICITY = (1.0, 3.5), 0.3

#: Standard deviations of the prior, in the order of `galadapt.fitting.profiles.NAMES`.
_PRIOR = np.array([3.0, 2.0, 2.0, 1.0, 1.0, 3.0, 3.0])

#: Largest sky left in a stamp, in units of its noise: meshes take wings, and miss gradients.
_SKY = 1.0

#: Sources in the way exceed the model's light by this factor: arms are not masked.
_EXCESS = 1.0

#: Smallest radius of a fit [px], wider than any network's range.
_LEAST_RADIUS = 0.3

_COLUMNS = (
    *("magnitude", "effective_radius", "sersic_index", "ellipticity", "position_angle"),
    *("x_offset", "y_offset", "sky", "chi2"),
)


def fit_stamps(
    psf: galsim.GSObject,
    pixel_scale: float,
    zero_point: float,
    pixels: np.ndarray,
    rms: np.ndarray,
    offsets: np.ndarray,
    extraction: Extraction,
    exposure_time: float | None = None,
) -> pd.DataFrame:
    """Fit the galaxies of stamps and their sky, starting from moments; neighbours are masked.

    Args:
        psf: Effective PSF, pixel included [arcsec].
        pixel_scale: Of the stamps [arcsec/px].
        zero_point: AB magnitude of 1 unit of the stamps.
        pixels: (n, S, S), background-subtracted.
        rms: Sky noise of a pixel, (n,).
        offsets: Positions (x, y) of the galaxies from the stamps' centres, (n, 2) [px].
        extraction: How neighbours are found.
        exposure_time: Adds the galaxy's own photon noise to the weights [s]; None: sky alone.

    Returns:
        One row per stamp: magnitude, effective_radius [px], sersic_index, ellipticity,
        position_angle [deg], x_offset and y_offset [px], sky, chi2 (reduced), all NaN where the fit
        failed, and failure (why; empty: none).
    """
    refiner = Refiner(psf.dilate(1 / pixel_scale), pixels.shape[-1], excess=_EXCESS)
    shapes = [
        shape_of(one, float(noise), (float(x), float(y)), extraction)
        for one, noise, (x, y) in zip(pixels, rms, offsets, strict=True)
    ]
    valid = np.array([~shape.neighbours for shape in shapes], bool).reshape(pixels.shape)
    own = np.where(valid & np.isfinite(pixels), pixels, 0.0)
    angle = 2 * np.radians([shape.position_angle for shape in shapes])
    start = np.zeros((len(pixels), len(_PRIOR)))
    start[:, 0] = np.log(np.maximum(own.sum(axis=(1, 2)), 10 * rms))
    start[:, 1] = [
        np.log(max(_half_light(one, offset), 1.0)) for one, offset in zip(own, offsets, strict=True)
    ]
    start[:, 3:5] = _START_ELLIPTICITY * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    start[:, 5:] = offsets
    prior = np.broadcast_to(np.diag(_PRIOR**2), (len(pixels), len(_PRIOR), len(_PRIOR)))
    best = pd.DataFrame(np.nan, range(len(pixels)), _COLUMNS)
    best["failure"] = ""
    for index in _START_INDICES:
        start[:, 2] = np.log(index)
        refined = refiner(pixels, rms, start, prior, valid, exposure_time, _SKY)
        found = _table(refined, zero_point)
        better = (found["failure"] == "") & ~(found["chi2"] >= best["chi2"])
        better |= best["chi2"].isna()
        best[better] = found[better]
    return best


def _table(refined: Refined, zero_point: float) -> pd.DataFrame:
    theta = refined.theta
    values = [
        magnitude_of(np.exp(theta[:, 0]), zero_point),
        *np.exp(theta[:, 1:3]).T,
        np.hypot(theta[:, 3], theta[:, 4]),
        np.degrees(np.arctan2(theta[:, 4], theta[:, 3]) / 2) % 180,
        *theta[:, 5:].T,
        refined.sky,
        refined.chi2,
    ]
    found = pd.DataFrame(dict(zip(_COLUMNS, values, strict=True)))
    low, high = LOG_INDEX
    at_bound = (theta[:, 2] < low + 1e-3) | (theta[:, 2] > high - 1e-3)
    found["failure"] = np.select(
        [
            ~refined.converged,
            refined.covariance[:, 0, 0] > 1,
            at_bound | (found["effective_radius"] < _LEAST_RADIUS),
        ],
        [
            "the profile fit does not converge; leave this object out",
            "the profile fit finds no light; leave this object out",
            "the profile fit ends at a bound of radius or index; leave this object out",
        ],
        "",
    )
    found.loc[found["failure"] != "", list(_COLUMNS)] = np.nan
    return found


def _half_light(pixels: np.ndarray, offset: np.ndarray) -> float:
    """Radius of the circle that holds half of the stamp's light [px]; 0 where there is none."""
    rows, columns = np.indices(pixels.shape)
    middle = (len(pixels) - 1) / 2
    radius = np.hypot(columns - middle - offset[0], rows - middle - offset[1]).ravel()
    order = np.argsort(radius, kind="stable")
    growth = np.cumsum(pixels.ravel()[order])
    if growth[-1] <= 0:
        return 0.0
    return float(radius[order][np.searchsorted(growth >= growth[-1] / 2, True)])
