"""The Sersic profile's total flux: what turns every code's parameters into a magnitude.

Imports nothing of galadapt: it is used in the fitters' environment.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincinv, gammaln


def total_flux(surface_brightness: float, radius: float, index: float, ellipticity: float) -> float:
    """Flux of a Sersic profile integrated to infinity (Graham & Driver 2005, eq. 2).

    Args:
        surface_brightness: At the half-light ellipse [flux per square pixel].
        radius: Semi-major axis of that ellipse [px].
        index: Sersic index.
        ellipticity: 1 - b/a.
    """
    b = gammaincinv(2 * index, 0.5)
    shape = np.log(index) + b - 2 * index * np.log(b) + gammaln(2 * index)
    area = 2 * np.pi * radius**2 * (1 - ellipticity)
    return float(surface_brightness * area * np.exp(shape))


def surface_brightness(flux: float, radius: float, index: float, ellipticity: float) -> float:
    """Surface brightness at the half-light ellipse of a profile of a given total flux."""
    return flux / total_flux(1.0, radius, index, ellipticity)
