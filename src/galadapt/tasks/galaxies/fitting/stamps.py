"""Fit the galaxy of a stamp: starting values, masks, failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from galadapt.config.survey import Extraction
from galadapt.core.errors import RunError
from galadapt.cutouts.neighbours import shape_of
from galadapt.tasks.galaxies.fitting.sersic import SersicFitter

#: Smoothing of the light that photon noise is taken from [px].
_SMOOTHING = 1.2

#: Where fits start, never at a prediction: a fit that starts at the answer may stay there.
START_INDEX, _START_ELLIPTICITY = 1.5, 0.3


def fit_stamp(
    fitter: SersicFitter,
    pixels: np.ndarray,
    rms: float,
    offset: tuple[float, float],
    extraction: Extraction,
    exposure_time: float | None = None,
    start_indices: Sequence[float] = (START_INDEX,),
) -> dict[str, Any]:
    """Fit the galaxy of a stamp, starting from its moments; neighbours are masked.

    Args:
        fitter: For stamps of this size, seen through this PSF.
        pixels: The stamp (S, S), background-subtracted.
        rms: Sky noise of a pixel.
        offset: Position (x, y) of the galaxy from the stamp's centre [px].
        extraction: How neighbours are found.
        exposure_time: Adds the galaxy's own photon noise to the weights [s]; None: sky alone.
        start_indices: Sersic indices to start from; the best fit is kept.

    Returns:
        What `SersicFitter.fit` returns, or ``{"failure": why}`` if no start succeeds.
    """
    shape = shape_of(pixels, rms, offset, extraction)
    own = np.where(shape.neighbours, 0.0, pixels)
    guess = {
        "magnitude": fitter.magnitude(max(float(own.sum()), 10 * rms)),
        "effective_radius": max(_half_light(own, offset), 1.0),
        "ellipticity": _START_ELLIPTICITY,
        "position_angle": shape.position_angle,
        "x_offset": offset[0],
        "y_offset": offset[1],
    }
    sigma: np.ndarray | float = rms
    if exposure_time is not None:
        # Smoothed, so that a pixel's noise does not weigh the pixel.
        light = np.clip(gaussian_filter(pixels, _SMOOTHING), 0, None)
        sigma = np.sqrt(rms**2 + light / exposure_time)
    found: list[dict[str, Any]] = []
    failure = ""
    for index in start_indices:
        try:
            start = {**guess, "sersic_index": index}
            found.append(dict(fitter.fit(pixels, sigma, start, shape.neighbours)))
        except RunError as error:
            failure = str(error)
    return min(found, key=lambda one: float(one["chi2"]), default={"failure": failure})


def _half_light(pixels: np.ndarray, offset: tuple[float, float]) -> float:
    """Radius of the circle that holds half of the stamp's light [px]; 0 where there is none."""
    rows, columns = np.indices(pixels.shape)
    middle = (len(pixels) - 1) / 2
    radius = np.hypot(columns - middle - offset[0], rows - middle - offset[1]).ravel()
    order = np.argsort(radius, kind="stable")
    growth = np.cumsum(pixels.ravel()[order])
    if growth[-1] <= 0:
        return 0.0
    return float(radius[order][np.searchsorted(growth >= growth[-1] / 2, True)])
