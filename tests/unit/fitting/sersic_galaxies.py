"""Galaxies drawn by other code than that of the fits they test."""

from __future__ import annotations

import math
from functools import cache

import galsim
import numpy as np

from galadapt.config.image import Image
from galadapt.core.photometry import magnitude_of
from galadapt.simulation.ktable import KTableRenderer

PSF = galsim.Convolve(galsim.Moffat(beta=3.0, fwhm=2.6), galsim.Pixel(1.0))
SIDE = 128
#: flux, radius, index, ellipticity, position angle, x, y; the last two are wider than the stamp.
GALAXIES = [
    (900.0, 1.5, 1.0, 0.3, 30.0, 0.3, -0.2),
    (900.0, 4.0, 4.0, 0.6, 100.0, -0.4, 0.1),
    (900.0, 3.0, 0.5, 0.85, 20.0, 0.0, 0.45),
    (900.0, 12.0, 1.0, 0.5, 10.0, 0.3, 0.3),
    (900.0, 30.0, 2.0, 0.6, 120.0, 0.1, -0.3),
    (900.0, 24.0, 5.0, 0.1, 70.0, 0.0, 0.2),
]


def theta_of(flux, radius, index, e, angle, x, y) -> np.ndarray:
    double = 2 * math.radians(angle)
    logs = math.log(flux), math.log(radius), math.log(index)
    return np.array([[*logs, e * math.cos(double), e * math.sin(double), x, y]])


@cache
def drawn(flux, radius, index, e, angle, x, y) -> np.ndarray:
    """The galaxy in a stamp; those that would take GalSim seconds by the simulations' renderer."""
    if index <= 2:
        return drawn_by_galsim(flux, radius, index, e, angle, x, y)
    image = Image(stamp_size=SIDE, pixel_scale=1.0)
    names = ("magnitude", "effective_radius", "sersic_index", "ellipticity", "position_angle")
    values = (magnitude_of(flux, image.zero_point), radius, index, e, angle)
    parameters = dict(zip(names, values, strict=True)) | {"x_offset": x, "y_offset": y}
    return KTableRenderer(image, PSF).render(parameters).astype(float)


def drawn_by_galsim(flux, radius, index, e, angle, x, y) -> np.ndarray:
    """GalSim's own Sersic, sheared, by another route than the table."""
    galaxy = galsim.Sersic(n=index, half_light_radius=radius * math.sqrt(1 - e), flux=flux)
    galaxy = galaxy.shear(q=1 - e, beta=(angle + 90) * galsim.degrees)
    parameters = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-4)
    seen = galsim.Convolve(galaxy, PSF, gsparams=parameters)
    return seen.drawImage(
        nx=SIDE, ny=SIDE, scale=1.0, offset=(x, y), method="no_pixel", dtype=float
    ).array
