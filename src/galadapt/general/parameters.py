"""The seven numbers that the network measures of a galaxy, and their conversion."""

from __future__ import annotations

import numpy as np

from galadapt.core.photometry import magnitude_of

#: Order of every vector and covariance. Flux in units of the stamp's pixels; radius: semi-major
#: half-light radius [px]; e1 = e cos(2 PA), e2 = e sin(2 PA) with e = 1 - b/a and the position
#: angle counter-clockwise from +y; x and y [px] from the middle of the stamp.
PARAMETERS = ("ln_flux", "ln_radius", "ln_index", "e1", "e2", "x", "y")

#: Side of the stamps [px], at the image's own pixel scale.
SIDE = 128


_MAGNITUDES = 2.5 / np.log(10)  #: per relative change of a flux


def catalogued(
    theta: np.ndarray, covariance: np.ndarray, zero_point: float
) -> tuple[np.ndarray, np.ndarray]:
    """Turn vectors (n, 7) into magnitudes, radii, indices and ellipticities, with errors (n, 4)."""
    sigma = np.sqrt(np.abs(np.diagonal(covariance, axis1=1, axis2=2)))
    radius, index = np.exp(theta[:, 1]), np.exp(theta[:, 2])
    e, e_err = np.hypot(theta[:, 3], theta[:, 4]), np.hypot(sigma[:, 3], sigma[:, 4]) / np.sqrt(2)
    values = [magnitude_of(np.exp(theta[:, 0]), zero_point), radius, index, e]
    errors = [_MAGNITUDES * sigma[:, 0], radius * sigma[:, 1], index * sigma[:, 2], e_err]
    return np.stack(values, axis=1), np.stack(errors, axis=1)


def position_angle(theta: np.ndarray) -> np.ndarray:
    """Position angles [deg] in [0, 180) of vectors (..., 7)."""
    return np.degrees(np.arctan2(theta[..., 4], theta[..., 3])) / 2 % 180.0


def with_ellipticity(theta: np.ndarray) -> np.ndarray:
    """Append the ellipticities 1 - b/a to vectors (n, 7): (n, 8)."""
    return np.column_stack([theta, np.hypot(theta[:, 3], theta[:, 4])])
