"""One function per fitter: from a `Task` to magnitudes' flux, radius, index and ellipticity.

Each code is used as its documentation does, with the same start, weights, mask and bounds. A fit
that its code calls failed raises `Failed`. Imports nothing of galadapt.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np
from sersic import surface_brightness, total_flux
from start import START_INDEX, Task

#: Bounds of all fits: van der Wel et al. (2012) for the index, the stamp for the rest.
INDEX, RADIUS, ELLIPTICITY = (0.2, 8.0), (0.3, 200.0), (0.0, 0.98)

#: A centre may move this far from its start [px].
WANDER = 5.0

#: petrofit samples this box around the centre [px] so many times finer: its cure for the cusp.
WINDOW, OVERSAMPLING = 15, 9

Fit = tuple[float, float, float, float]

ADAPTERS: dict[str, Callable[[Task], Fit]] = {}


class Failed(Exception):
    """The code says that its fit failed."""


def adapter(function: Callable[[Task], Fit]) -> Callable[[Task], Fit]:
    """Register a fitter under its function's name."""
    ADAPTERS[function.__name__] = function
    return function


def _bounded(value: float, bounds: tuple[float, float]) -> float:
    return float(min(max(value, bounds[0] * 1.05 + 0.01), bounds[1] * 0.95))


def _start(task: Task) -> tuple[float, float, float]:
    """Surface brightness, radius and ellipticity to start from, inside the bounds."""
    radius = _bounded(task.radius, RADIUS)
    ellipticity = _bounded(task.ellipticity, ELLIPTICITY)
    return (
        surface_brightness(task.flux, radius, START_INDEX, ellipticity),
        radius,
        ellipticity,
    )


@adapter
def petrofit(task: Task) -> Fit:
    """petrofit (Geda et al. 2022): astropy's least squares on a convolved, oversampled model.

    With Levenberg-Marquardt, one of the fitters it offers: its default, trust-region reflective,
    took 10 times longer here: 3 of 12 hard galaxies needed more than 6 s, one fit more than 60 s.
    """
    from astropy.modeling import models
    from astropy.modeling.fitting import LevMarLSQFitter
    from petrofit import PSFConvolvedModel2D, fit_model

    brightness, radius, ellipticity = _start(task)
    # In units of the noise no parameter is tiny, which the fitter's steps need.
    unit = float(np.median(task.sigma))
    profile = models.Sersic2D(
        amplitude=brightness / unit,
        r_eff=radius,
        n=START_INDEX,
        x_0=task.x,
        y_0=task.y,
        ellip=ellipticity,
        theta=task.angle,
        bounds={
            "amplitude": (0.0, None),
            "r_eff": RADIUS,
            "n": INDEX,
            "ellip": ELLIPTICITY,
            "theta": (-2 * np.pi, 2 * np.pi),
            "x_0": (task.x - WANDER, task.x + WANDER),
            "y_0": (task.y - WANDER, task.y + WANDER),
        },
    )
    image = np.where(task.masked, np.nan, task.image)
    if task.free_sky:
        image = image - _sky(task)
    model = PSFConvolvedModel2D(
        profile, psf=task.bare_psf, oversample=("x_0", "y_0", WINDOW, OVERSAMPLING)
    )
    model.fixed["psf_pa"] = True
    fitted, _ = fit_model(
        image / unit, model, weights=unit / task.sigma, fitter=LevMarLSQFitter, maxiter=5000
    )
    values = [float(getattr(fitted, name).value) for name in ("amplitude", "r_eff", "n", "ellip")]
    return unit * total_flux(*values), values[1], values[2], values[3]


def _sky(task: Task) -> float:
    """Sky of the pixels far from every source, as petrofit's guide takes it off before a fit."""
    from astropy.stats import sigma_clipped_stats

    sources = task.masked | task.segment
    return float(sigma_clipped_stats(task.image, mask=sources, sigma=3.0)[1])


@adapter
def pyimfit(task: Task) -> Fit:
    """pyimfit (Erwin 2015): Imfit's Levenberg-Marquardt, pixels near the centre subsampled."""
    import pyimfit as imfit

    brightness, radius, ellipticity = _start(task)
    # Imfit counts angles from +y, and pixels from 1.
    angle = (np.degrees(task.angle) - 90) % 180
    functions = [
        {
            "name": "Sersic",
            "label": "galaxy",
            "parameters": {
                "PA": [angle, -180.0, 360.0],
                "ell": [ellipticity, *ELLIPTICITY],
                "n": [START_INDEX, *INDEX],
                "I_e": [brightness, 0.0, 1e6 * brightness],
                "r_e": [radius, *RADIUS],
            },
        }
    ]
    if task.free_sky:
        reach = float(np.median(task.sigma)) * 5
        functions.append(
            {"name": "FlatSky", "label": "sky", "parameters": {"I_sky": [0.0, -reach, reach]}}
        )
    centre = {
        name: [value + 1, value + 1 - WANDER, value + 1 + WANDER]
        for name, value in (("X0", task.x), ("Y0", task.y))
    }
    fitter = imfit.Imfit(
        {"function_sets": [{**centre, "function_list": functions}]},
        psf=task.bare_psf,
        psfNormalization=False,
        maxThreads=1,
    )
    mask = task.masked if task.masked.any() else None
    result = fitter.fit(task.image, error=task.sigma, mask=mask)
    if not result.get("fitConverged"):
        raise Failed("not converged")
    _, _, _, ell, n, brightness, radius = result.params[:7]
    return total_flux(brightness, radius, n, ell), float(radius), float(n), float(ell)


@adapter
def statmorph(task: Task) -> Fit:
    """statmorph (Rodriguez-Gomez et al. 2019): its Sersic fit, which comes with all morphology."""
    import statmorph as package

    if not task.segment.any():
        raise Failed("no segment")
    # With segments as small as their isophote the code finds no half-light radius; its guide
    # smooths them.
    from scipy.ndimage import uniform_filter

    smooth = (uniform_filter(task.segment.astype(float), 10) > 0.5) | task.segment
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (measured,) = package.source_morphology(
            task.image,
            smooth.astype(int),
            mask=task.masked if task.masked.any() else None,
            weightmap=task.sigma,
            psf=task.effective_psf,
        )
    if measured.flag == 4 or measured.flag_sersic != 0:
        raise Failed(f"flag {measured.flag}, flag_sersic {measured.flag_sersic}")
    values = [
        float(getattr(measured, f"sersic_{name}")) for name in ("amplitude", "rhalf", "n", "ellip")
    ]
    return total_flux(*values), values[1], values[2], values[3]


@functools.cache
def version(name: str) -> str:
    """Version of a fitter's package; raises ImportError when it is not installed."""
    import importlib
    from importlib import metadata

    importlib.import_module(name)
    return metadata.version(name)
