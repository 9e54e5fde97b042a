"""Rendering: from parameters to a noiseless stamp.

To add a renderer, write a class with `render` and name it in `_RENDERERS` and in
`config.Simulation.renderer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

import galsim
import numpy as np
from scipy import fft
from scipy.special import gamma, gammaincinv

from galadapt.config import PARAMETERS, Image
from galadapt.errors import ConfigError, DataError

# Periods of the transform [px]; each is quick to transform.
_PERIODS = (256, 384, 512, 768, 1024, 1536, 2048, 3072)

# Largest surface brightness folded into a stamp by the periodic transform [e-/s/px]: 1/50 of the
# pixel noise of CANDELS wide.
_FOLDED = 1e-4

# Period of the image in which the PSF's wings are measured [px]; beyond half of it they are nil.
_WING_PERIOD = 1024

# Below this index the exact transform is quick to tabulate; above it, GalSim's default accuracy
# errs only at scales of a hundred effective radii (2e-4 of the flux).
_EXACT_BELOW = 3.0


class Renderer(Protocol):
    """Draws one noiseless galaxy."""

    def render(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Draw a stamp.

        Args:
            parameters: `galadapt.config.PARAMETERS`, position_angle [deg], x_offset and
                y_offset [px].

        Returns:
            (S, S) float64 [e-/s], the galaxy at pixel (S - 1) / 2 + offset.

        Raises:
            DataError: this galaxy cannot be drawn.
        """
        ...


class GalsimRenderer:
    """A single Sersic profile by GalSim, convolved on the native pixel grid in Fourier space.

    The galaxy's transform comes from GalSim; the PSF's is sampled once per grid and kept. The grid
    reaches the PSF's own band limit, so nothing aliases in frequency, and its period grows with
    the galaxy and its flux until less than 1e-4 e-/s/px folds back into the stamp.

    Cost: about 1 ms per 64 px stamp, and once 2 to 300 ms per Sersic index.
    """

    def __init__(self, image: Image, psf: galsim.GSObject) -> None:
        """Prepare.

        Args:
            image: Stamp size, pixel scale and zero point.
            psf: Effective PSF, pixel included [arcsec], from `galadapt.simulation.psf.make_psf`.
        """
        self._side = image.stamp_size
        self._zero_point = image.zero_point
        self._psf = psf.dilate(1.0 / image.pixel_scale)
        # Sampling finer than a pixel, where the PSF has power beyond the Nyquist frequency.
        self._oversampling = max(1, math.ceil(self._psf.maxk / np.pi - 0.05))
        self._psf_transforms: dict[int, np.ndarray] = {}
        self._periods = [p for p in _PERIODS if p >= 2 * self._side] or [2 * self._side]
        # The nearest copy's centre lies this far from the stamp's edge, a pixel of offset included.
        self._distances = [period - self._side / 2 - 1 for period in self._periods]
        self._wings = self._psf_wings()

    def render(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Draw a stamp; see `Renderer.render`."""
        index, ellipticity = parameters["sersic_index"], parameters["ellipticity"]
        centre = (self._side - 1) / 2
        flux = 10 ** (-0.4 * (parameters["magnitude"] - self._zero_point))
        try:
            # GalSim's radius is the circularised one; its angles start at +x, GALFIT's at +y.
            galaxy = (
                _unit_sersic(float(index))
                .dilate(parameters["effective_radius"] * math.sqrt(1 - ellipticity))
                .shear(
                    q=1 - ellipticity, beta=(parameters["position_angle"] + 90.0) * galsim.degrees
                )
                .shift(centre + parameters["x_offset"], centre + parameters["y_offset"])
            )
            period = self._period(flux, parameters)
            transform = self._sample(galaxy, period)
        except (galsim.GalSimError, ValueError, OverflowError, ZeroDivisionError) as error:
            values = ", ".join(f"{name} {parameters[name]:g}" for name in PARAMETERS)
            line = " ".join(str(error).split())
            raise DataError(
                f"galaxy with {values} cannot be drawn ({line}); narrow simulation.priors"
            ) from None
        transform *= self._psf_transform(period)
        transform *= flux * self._oversampling**2
        # Only the rows and columns inside the stamp are finished.
        inside = slice(0, self._side * self._oversampling, self._oversampling)
        rows = fft.ifft(fft.ifftshift(transform, axes=0), axis=0)[inside]
        return fft.irfft(rows, n=period * self._oversampling, axis=1)[:, inside]

    def _sample(self, profile: galsim.GSObject, period: int) -> np.ndarray:
        half = period * self._oversampling // 2
        grid = galsim.ImageCD(galsim.BoundsI(0, half, -half, half - 1), scale=2 * np.pi / period)
        return profile.drawKImage(image=grid, recenter=False).array

    def _psf_transform(self, period: int) -> np.ndarray:
        if period not in self._psf_transforms:
            self._psf_transforms[period] = self._sample(self._psf, period)
        return self._psf_transforms[period]

    def _period(self, flux: float, parameters: Mapping[str, float]) -> int:
        """Choose the shortest period whose folded surface brightness is below `_FOLDED`."""
        n, radius = parameters["sersic_index"], parameters["effective_radius"]
        b = gammaincinv(2 * n, 0.5)
        q = 1 - parameters["ellipticity"]
        central = flux * b ** (2 * n) / (2 * np.pi * n * gamma(2 * n) * q * radius**2)
        for period, distance, wing in zip(self._periods, self._distances, self._wings, strict=True):
            # Four copies are as near as the nearest.
            galaxy = 4 * central * math.exp(-b * (distance / radius) ** (1 / n))
            if galaxy + flux * wing < _FOLDED:
                return period
        return self._periods[-1]

    def _psf_wings(self) -> list[float]:
        """Return the PSF's largest brightness from each distance outwards [1/px]."""
        if min(self._distances) > _WING_PERIOD / 2:
            return [0.0] * len(self._distances)
        step = self._oversampling
        transform = fft.ifftshift(self._sample(self._psf, _WING_PERIOD), axes=0)
        image = fft.irfft2(transform)[::step, ::step] * step**2
        # Frequency order is also the order of signed distances from pixel 0.
        axis = fft.fftfreq(_WING_PERIOD, 1 / _WING_PERIOD)
        radius = np.hypot(axis[:, None], axis[None])
        inside = radius <= _WING_PERIOD / 2
        return [
            float(np.abs(image[inside & (radius >= distance)]).max(initial=0.0))
            for distance in self._distances
        ]


@lru_cache(maxsize=512)
def _unit_sersic(index: float) -> galsim.Sersic:
    # GalSim forgets a transform after 100 other indices; keeping the objects keeps the tables, so
    # the order of the galaxies does not matter for speed either.
    accuracy = 1e-6 if index < _EXACT_BELOW else 1e-5
    parameters = galsim.GSParams(kvalue_accuracy=accuracy, maxk_threshold=1e-3)
    return galsim.Sersic(n=index, half_light_radius=1.0, gsparams=parameters)


_RENDERERS: dict[str, Callable[[Image, Any], Renderer]] = {"galsim": GalsimRenderer}


def make_renderer(image: Image, psf: galsim.GSObject, kind: str) -> Renderer:
    """Build a renderer by name.

    Args:
        image: Stamp size, pixel scale and zero point.
        psf: Effective PSF, pixel included [arcsec].
        kind: ``simulation.renderer``.

    Raises:
        ConfigError: no renderer has that name.
    """
    if kind not in _RENDERERS:
        known = ", ".join(sorted(_RENDERERS))
        raise ConfigError(f"simulation.renderer: no renderer '{kind}'; use one of {known}")
    return _RENDERERS[kind](image, psf)
