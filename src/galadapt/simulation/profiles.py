"""Light profiles of composite galaxies and the single Sersic that fits each of them best.

A composite galaxy is a sum of Sersic components that share one ellipse. All radii here are
semi-major axes [px]; because the components are concentric similar ellipses, everything about them
is one-dimensional in the elliptical radius.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chndtr, gamma, gammainc, gammaincinv

#: Bounds GALFIT was given for the index by van der Wel et al. (2012), section 3.
INDEX_BOUNDS = (0.2, 8.0)

_ITERATIONS = 60

#: Edges of the annuli of a fit, as geometric-mean radii [px].
_EDGES = np.concatenate([[0.0], np.geomspace(0.4, 400, 64)])


def enclosed(radius: np.ndarray, effective_radius: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Share of a Sersic profile's flux inside an elliptical radius (Graham & Driver 2005, eq. 2).

    Arguments broadcast; radii in one unit.
    """
    b = gammaincinv(2 * index, 0.5)
    return gammainc(2 * index, b * (radius / effective_radius) ** (1 / index))


def surface_brightness(
    radius: np.ndarray, effective_radius: np.ndarray, index: np.ndarray, axis_ratio: np.ndarray
) -> np.ndarray:
    """Intensity of a Sersic profile of unit flux [1/px^2] (Graham & Driver 2005, eq. 1 and 4)."""
    b = gammaincinv(2 * index, 0.5)
    total = 2 * np.pi * index * axis_ratio * effective_radius**2 * gamma(2 * index)
    return b ** (2 * index) / total * np.exp(-b * (radius / effective_radius) ** (1 / index))


def half_light_radius(fractions: np.ndarray, radii: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Half-light radius of each composite (N,) [px], by bisection, from (N, K) components."""
    low, high = radii.min(axis=1), radii.max(axis=1)
    for _ in range(40):
        middle = (low + high) / 2
        inside = (fractions * enclosed(middle[:, None], radii, indices)).sum(axis=1)
        low = np.where(inside < 0.5, middle, low)
        high = np.where(inside < 0.5, high, middle)
    return (low + high) / 2


def _smearing(psf_sigma: float) -> np.ndarray:
    """Share of an annulus's light (first axis) that a Gaussian PSF moves into each annulus."""
    centre = np.sqrt((_EDGES[:-1] ** 2 + _EDGES[1:] ** 2) / 2)
    # The distance from the origin after a Gaussian step from `centre` follows Rice's distribution.
    inside = chndtr((_EDGES / psf_sigma) ** 2, 2, (centre[:, None] / psf_sigma) ** 2)
    # Far out scipy's series underflows to NaN; there a step does not leave the annulus.
    inside = np.where(np.isfinite(inside), inside, centre[:, None] < _EDGES)
    return np.diff(inside, axis=1)


def fit_single_sersic(
    flux: np.ndarray,
    axis_ratio: np.ndarray,
    fractions: np.ndarray,
    radii: np.ndarray,
    indices: np.ndarray,
    pixel_rms: float,
    exposure_time: float,
    psf_sigma: float = 1.5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit one Sersic profile to the noiseless light of each composite, weighted as by GALFIT.

    The two-dimensional chi^2 of concentric, similar ellipses is a weighted integral over the
    elliptical radius. It is summed here over annuli, each with the variance of the sky and of the
    galaxy's photons in it, after a PSF has smeared light between them (as if the ellipses were
    circles of the same area). All galaxies are fitted at once by Levenberg-Marquardt in (ln flux,
    ln radius, ln index). Full fits of images differ by little: see the tests.

    Args:
        flux: Total flux (N,) [e-/s].
        axis_ratio: b/a of the common ellipse (N,).
        fractions: Share of each component in the flux (N, K), with radii [px] and indices alike.
        pixel_rms: Sky noise [e-/s per px]; `exposure_time` [s] gives the photon noise.
        psf_sigma: Sigma of a Gaussian as wide as the PSF [px].

    Returns:
        Flux [e-/s], effective radius [px] and Sersic index, (N,) each.
    """
    half = half_light_radius(fractions, radii, indices)
    edges = _EDGES / np.sqrt(axis_ratio)[:, None]
    inside = (
        fractions[:, None, :] * enclosed(edges[:, :, None], radii[:, None, :], indices[:, None, :])
    ).sum(axis=2)
    smearing = _smearing(psf_sigma)
    light = (np.diff(inside, axis=1) * flux[:, None]) @ smearing
    area = np.pi * np.diff(_EDGES**2)
    sigma = np.sqrt(pixel_rms**2 * area + light / exposure_time)
    # Van der Wel et al. fit stamps several Kron radii wide: light beyond is not seen.
    last = np.maximum(6 * half, 12 * psf_sigma)
    sigma = np.where(edges[:, 1:] < last[:, None], sigma, np.inf)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        total, radius, index = np.exp(parameters).T[:, :, None]
        model = np.diff(total * enclosed(edges, radius, index), axis=1) @ smearing
        return (model - light) / sigma

    start_index = np.clip((fractions * indices).sum(axis=1), 0.5, 4)
    parameters = np.log(np.stack([flux, half, start_index], axis=1))
    damping = np.full(len(flux), 1e-2)
    current = residuals(parameters)
    cost = (current**2).sum(axis=1)
    for _ in range(_ITERATIONS):
        step = 1e-5
        jacobian = np.stack(
            [(residuals(parameters + step * axis) - current) / step for axis in np.eye(3)], axis=2
        )
        normal = np.einsum("nbi,nbj->nij", jacobian, jacobian)
        gradient = np.einsum("nbi,nb->ni", jacobian, current)
        diagonal = np.einsum("nii->ni", normal)
        damped = normal + np.eye(3) * ((damping[:, None] * diagonal + 1e-12)[:, None, :])
        move = -np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        trial = parameters + np.clip(move, -0.5, 0.5)
        trial[:, 2] = np.clip(trial[:, 2], *np.log(INDEX_BOUNDS))
        attempt = residuals(trial)
        new_cost = (attempt**2).sum(axis=1)
        better = new_cost < cost
        parameters = np.where(better[:, None], trial, parameters)
        current = np.where(better[:, None], attempt, current)
        cost = np.where(better, new_cost, cost)
        damping = np.clip(np.where(better, damping / 5, damping * 4), 1e-9, 1e6)
        if np.abs(move).max() < 1e-6:
            break
    fitted = np.exp(parameters)
    return fitted[:, 0], fitted[:, 1], fitted[:, 2]
