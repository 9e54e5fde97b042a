"""Width of stars by a fit."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from astropy.table import Table
from photutils.psf import CircularGaussianPRF, PSFPhotometry

from galadapt.tasks.stars.frames import Frame

_PARTIAL = 1  #: the only flag of photutils' fits that leaves a measurement: some pixels were masked
_NARROWEST = 0.5  #: no optics gives a narrower star [px]
_REACH = 5  #: side of the fitted box where stars have one peak, in units of the detector's FWHM


def fit_fwhm(frame: Frame, stars: pd.DataFrame, fwhm: float, box: int) -> np.ndarray:
    """Fit a circular Gaussian, integrated over the pixels, to each star.

    Args:
        frame: The stars' frame.
        stars: With x_centroid, y_centroid [px] and flux.
        fwhm: First guess [px].
        box: Largest side of the fitted box [px].

    Returns:
        FWHM [px] (N,), NaN where the fit failed: no convergence or covariance, no positive flux, a
        centre out of the box, or a width no star has (below half a pixel, above the box).
    """
    if len(stars) == 0:
        return np.empty(0)
    side = min(2 * round(_REACH * fwhm / 2) + 1, box - 1 + box % 2)
    model = CircularGaussianPRF(fwhm=fwhm)
    model.fwhm.fixed = False
    start = Table(
        {
            "x": stars["x_centroid"].to_numpy(float),
            "y": stars["y_centroid"].to_numpy(float),
            "flux": np.maximum(stars["flux"].to_numpy(float), frame.noise),
        }
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # What goes wrong with one star is in its flags.
        warnings.simplefilter("ignore")
        fitted = PSFPhotometry(model, side)(
            frame.pixels, mask=frame.bad | frame.saturated, init_params=start
        )
    width = np.asarray(fitted["fwhm_fit"], float)
    moved = np.hypot(fitted["x_fit"] - start["x"], fitted["y_fit"] - start["y"])
    good = (np.asarray(fitted["flags"]) & ~_PARTIAL) == 0
    good &= (width > _NARROWEST) & (width < side) & np.asarray(moved < side / 2)
    return np.where(good, width, np.nan)
