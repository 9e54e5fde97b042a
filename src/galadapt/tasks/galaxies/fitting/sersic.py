"""A profile fit that shares no code with the simulator: astropy's Sersic2D by least squares.

The profile is sampled in real space, finer than the pixels, and convolved with the PSF there; where
it is steepest, at its centre, each sample is the mean of finer ones. The fit is astropy's
trust-region least squares (scipy's TRF) with numerical derivatives.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import galsim
import numpy as np
from astropy.modeling import Fittable2DModel, Parameter
from astropy.modeling.fitting import TRFLSQFitter
from astropy.modeling.models import Sersic2D
from scipy import fft
from scipy.ndimage import gaussian_filter
from scipy.special import gamma, gammaincinv

from galadapt.config.survey import Extraction
from galadapt.core.errors import RunError
from galadapt.core.photometry import flux_of, magnitude_of
from galadapt.cutouts.neighbours import shape_of

#: Samples around the centre, in fine pixels, that are means over `_CORE_FINE` squared finer ones.
_CORE, _CORE_FINE = 2, 9

#: A fit has converged when a step is this short, over the length of all parameters: below 0.001.
#: The finer samples move with the centre in jumps, at which shorter steps never end.
_STEP = 1e-5

#: Bounds of the fit, wider than any network's range.
_BOUNDS = {"r_eff": (0.3, 60.0), "n": (0.25, 8.0), "ellip": (0.0, 0.97)}


#: Smoothing of the light that photon noise is taken from [px].
_SMOOTHING = 1.2

#: Largest sky left in a stamp, in units of its noise: meshes take wings, and miss gradients.
_SKY = 1.0

#: Where fits start, never at a prediction: a fit that starts at the answer may stay there.
START_INDEX, _START_ELLIPTICITY = 1.5, 0.3


class SersicFitter:
    """Fits stamps of one size, seen through one PSF."""

    def __init__(
        self,
        psf: galsim.GSObject,
        side: int,
        pixel_scale: float,
        zero_point: float,
        fine: int = 3,
        psf_side: int = 111,
    ) -> None:
        """Prepare.

        Args:
            psf: Effective PSF, pixel included [arcsec].
            side: Of the stamps [px].
            pixel_scale: Of the stamps [arcsec/px].
            zero_point: AB magnitude of 1 unit of the stamps.
            fine: Samples per pixel and axis; odd.
            psf_side: Side of the PSF's image [px]; its wings count: cut at 31 px they bias the
                F160W index by 0.1.
        """
        self._side, self._fine, self._zero_point = side, fine, zero_point
        long = psf_side * fine
        self._period = fft.next_fast_len(fine * (side + psf_side), real=True)
        image = psf.drawImage(
            nx=long, ny=long, scale=pixel_scale / fine, method="no_pixel", dtype=float
        ).array
        padded = np.zeros((self._period, self._period))
        padded[:long, :long] = image
        self._transform = fft.rfft2(np.roll(padded, (-(long // 2),) * 2, axis=(0, 1)))
        axis = (np.arange(side * fine) - fine // 2) / fine
        self._columns, self._rows = np.meshgrid(axis, axis)
        self._model = _model_class(self)

    def magnitude(self, flux: float) -> float:
        """AB magnitude of a flux in the unit of the stamps."""
        return float(magnitude_of(flux, self._zero_point))

    def image(self, values: tuple[float, ...]) -> np.ndarray:
        """Draw astropy's Sersic2D (its parameters, its order) as seen: (side, side)."""
        sharp = Sersic2D.evaluate(self._columns, self._rows, *values)
        self._refine(sharp, values)
        shape = (self._period, self._period)
        seen = fft.irfft2(fft.rfft2(sharp, shape) * self._transform, shape)
        middle = slice(self._fine // 2, self._side * self._fine, self._fine)
        drawn: np.ndarray = seen[middle, middle]
        return drawn

    def _refine(self, sharp: np.ndarray, values: tuple[float, ...]) -> None:
        fine = self._fine
        x, y = (round(values[k] * fine) + fine // 2 for k in (3, 4))
        low_x, low_y = max(x - _CORE, 0), max(y - _CORE, 0)
        box = np.s_[low_y : max(y + _CORE + 1, 0), low_x : max(x + _CORE + 1, 0)]
        columns, rows = self._columns[box], self._rows[box]
        if columns.size == 0:
            return
        step = ((np.arange(_CORE_FINE) + 0.5) / _CORE_FINE - 0.5) / fine
        inner = Sersic2D.evaluate(
            columns[..., None, None] + step, rows[..., None, None] + step[:, None], *values
        )
        sharp[box] = inner.mean(axis=(2, 3))

    def fit(
        self,
        stamp: np.ndarray,
        sigma: np.ndarray | float,
        guess: Mapping[str, float],
        mask: np.ndarray | None = None,
        most: int = 200,
        sky: float = 0.0,
    ) -> dict[str, float]:
        """Fit a stamp.

        Args:
            stamp: (side, side), background-subtracted.
            sigma: Noise of its pixels.
            guess: Start of effective_radius [px], sersic_index, ellipticity, position_angle [deg]
                and, if known, x_offset and y_offset [px] and magnitude.
            mask: Pixels that do not count.
            most: Evaluations of the model at most.
            sky: Largest level of the sky that may be left in the stamp, fitted too; 0: none is.

        Returns:
            magnitude, effective_radius, sersic_index, ellipticity, position_angle, x_offset,
            y_offset, sky, and chi2 (reduced).

        Raises:
            RunError: the fit does not converge, or ends at a bound.
        """
        rows, columns = np.indices(stamp.shape, dtype=float)
        centre = (self._side - 1) / 2
        index, radius = guess["sersic_index"], guess["effective_radius"]
        ratio = 1 - guess["ellipticity"]
        start = stamp.max() / 10
        if "magnitude" in guess:
            flux = flux_of(guess["magnitude"], self._zero_point)
            start = flux / (radius**2 * ratio * _light(index))
        model = self._model(
            amplitude=start,
            r_eff=radius,
            n=index,
            x_0=centre + guess.get("x_offset", 0.0),
            y_0=centre + guess.get("y_offset", 0.0),
            ellip=guess["ellipticity"],
            theta=np.radians(guess["position_angle"] + 90),
        )
        if sky > 0:
            model.sky.bounds = (-sky, sky)
        else:
            model.sky.fixed = True
        weights = 1 / np.broadcast_to(sigma, stamp.shape)
        if mask is not None:
            weights = np.where(mask, 0.0, weights)
        fitter = TRFLSQFitter()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                best = fitter(model, columns, rows, stamp, weights=weights, maxiter=most, acc=_STEP)
            except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
                raise RunError(f"the profile fit fails ({error}); leave this object out") from None
        if fitter.fit_info.status <= 0:
            raise RunError("the profile fit does not converge; leave this object out")
        n, radius, ellipticity = best.n.value, best.r_eff.value, best.ellip.value
        for name, (low, high) in _BOUNDS.items():
            if name != "ellip" and not low * 1.001 < getattr(best, name).value < high * 0.999:
                raise RunError(
                    f"the profile fit ends at the bound of {name}; leave this object out"
                )
        flux = best.amplitude.value * radius**2 * (1 - ellipticity) * _light(n)
        if not flux > 0:
            raise RunError("the profile fit finds no light; leave this object out")
        *values, level = (float(getattr(best, name).value) for name in best.param_names)
        scaled = (stamp - level - self.image(tuple(values))) * weights
        return {
            "magnitude": self.magnitude(flux),
            "effective_radius": float(radius),
            "sersic_index": float(n),
            "ellipticity": float(ellipticity),
            "position_angle": float((np.degrees(best.theta.value) - 90) % 180),
            "x_offset": float(best.x_0.value - centre),
            "y_offset": float(best.y_0.value - centre),
            "sky": level,
            "chi2": float((scaled**2).sum() / max(np.count_nonzero(weights) - 7, 1)),
        }


def _light(index: float) -> float:
    """Flux of a circular profile of radius and amplitude 1 (Graham & Driver 2005, eq. 4)."""
    b = gammaincinv(2 * index, 0.5)
    return float(2 * np.pi * index * np.exp(b) * b ** (-2 * index) * gamma(2 * index))


def _model_class(fitter: SersicFitter) -> Any:
    """Sersic2D seen through the PSF, and sky, as a model for astropy's fitters."""

    class SeenSersic(Fittable2DModel):
        amplitude = Parameter(default=1.0)
        r_eff = Parameter(default=4.0, bounds=_BOUNDS["r_eff"])
        n = Parameter(default=1.0, bounds=_BOUNDS["n"])
        x_0 = Parameter(default=0.0)
        y_0 = Parameter(default=0.0)
        ellip = Parameter(default=0.3, bounds=_BOUNDS["ellip"])
        theta = Parameter(default=0.0)
        sky = Parameter(default=0.0)

        @classmethod
        def evaluate(cls, x: np.ndarray, y: np.ndarray, *values: Any) -> np.ndarray:
            *profile, sky = (float(np.asarray(value).ravel()[0]) for value in values)
            return fitter.image(tuple(profile)) + sky

    return SeenSersic


def fit_stamp(
    fitter: SersicFitter,
    pixels: np.ndarray,
    rms: float,
    offset: tuple[float, float],
    extraction: Extraction,
    exposure_time: float | None = None,
    start_indices: Sequence[float] = (START_INDEX,),
) -> dict[str, Any]:
    """Fit the galaxy of a stamp and its sky, starting from moments; neighbours are masked.

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
            found.append(dict(fitter.fit(pixels, sigma, start, shape.neighbours, sky=_SKY * rms)))
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
