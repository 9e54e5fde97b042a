"""Refinement of a network's measurement by the pixels: maximum a posteriori, many at a time.

A few damped Gauss-Newton steps (Levenberg 1944; Marquardt 1963) on the Gaussian likelihood of a
stamp's pixels, with a network's answer and its covariance as the start and the prior. The model and
its derivatives come from `galadapt.fitting.profiles`, the level of the sky is one parameter more.

Noise: a level, the galaxy's own photons, and a correlation that is the same everywhere (drizzled
images). The latter is diagonal in Fourier space, so that data, model and derivatives are whitened
there, for nothing. Photons that are not known, and light that no Sersic profile describes, show in
the residuals: variance in proportion to the light is added until it accounts for them, so that
errors stay honest and a misfit does not drag the rest along.

Pixels that are not valid have no weight, nor have those of neighbours, sources that the model
lacks. Only a window is fitted, of the stamp's pixels for small galaxies, of 2 x 2 or 4 x 4 of them
for large ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import galsim
import numpy as np
from scipy import fft
from scipy.ndimage import binary_dilation, gaussian_filter, uniform_filter

from galadapt.core.errors import DataError
from galadapt.fitting.profiles import (
    LARGEST_ETA,
    LOG_INDEX,
    PARAMETERS,
    TAPS,
    Window,
    inner_of,
    outer_of,
    period_of,
)
from galadapt.simulation.psf import fwhm

#: Largest side of a window [working px], and how far it must reach [r_e].
_SIDE, _REACH = 64, 6.0

#: Galaxies that are drawn at once: more would leave the processor's cache.
_BATCH = 8

_EVALUATIONS = 15  #: of the model at most

#: A galaxy has converged when a step promises to gain less than this in chi2.
_GAIN = 0.01

#: Longest step in each parameter inside; centres in working pixels.
_LONGEST = np.array([0.7, 0.7, 0.6, 0.5, 0.5, 1.5, 1.5])

#: Damping at first, over the diagonal, and that at which no step lowers the cost.
_DAMPING, _STUCK = 1e-3, 1e8

#: Noise has at least this share of its largest power in each mode: archives' high modes hold less
#: noise than what their PSFs are known to.
_LEAST_POWER = 0.08

#: Pixels lost at the border of a window whose noise is whitened or that is decimated.
_MARGIN = 2

#: Error of the sky's level in units of a pixel's noise where none is given: free in effect.
_SKY_ERROR = 0.3

#: Share of the galaxy's light in the window that must fall on valid pixels.
_LEAST_SEEN = 0.3

_LEAST_VALUE = 1e-6  #: of the eigenvalues of information whose diagonal is 1

#: A source in the way: mean residual of 3 x 3 pixels over its noise. It is looked for after so many
#: evaluations of the model.
_INTRUDER, _SEARCHES = 5.0, 4

#: Its own light reaches so far at least: in semi-major half-light radii, and in working pixels.
_CORE, _LEAST_CORE = 0.7, 3.5


class Refined(NamedTuple):
    """Refined parameters of n galaxies; where `converged` is false they are the start's."""

    theta: np.ndarray  #: Maximum a posteriori (n, 7), in the order of `profiles.NAMES`.
    covariance: np.ndarray  #: Of its posterior (n, 7, 7).
    share: np.ndarray  #: Variance over light that was reckoned with, both in units of noise (n,).
    sky: np.ndarray  #: Level of the sky left in the stamp (n,) [unit of the stamp].
    #: Of the pixels, per degree of freedom (n,), for the noise of the sky and of known photons.
    chi2: np.ndarray
    misfit: np.ndarray  #: The mean of its terms, weighted by the galaxy's light (n,).
    #: How alike residuals of neighbouring pixels are, in units of what noise makes of it (n,):
    #: photons that are not known scatter each pixel by itself, light that the model lacks does not.
    coherence: np.ndarray
    tension: np.ndarray  #: Distance of pixels and network, as a chi2 per parameter (n,).
    seen: np.ndarray  #: Share of the galaxy's light in the window on valid pixels (n,).
    evaluations: np.ndarray  #: Of the model (n,).
    converged: np.ndarray  #: (n,) bool.


class Refiner:
    """Refines galaxies in stamps of one size, seen through one PSF."""

    def __init__(
        self,
        psf: galsim.GSObject,
        side: int,
        correlation: np.ndarray | None = None,
        excess: float = 0.4,
    ) -> None:
        """Prepare.

        Args:
            psf: Effective PSF, pixel included, in pixels of the stamp.
            side: Of the stamps [px].
            correlation: Autocorrelation of the noise along each axis at lags 0, 1, ... [px], 1 at
                first; None: white.
            excess: What is left of a source in the way, over the model's light, is more than this.

        Raises:
            DataError: the correlation makes no sense.
        """
        self.side, self._excess = side, excess
        self._psf = psf
        #: FWHM of the PSF [px].
        self.width = fwhm(self._psf, 1.0)
        self._correlation = np.ones(1) if correlation is None else np.asarray(correlation, float)
        values = self._correlation
        if values.ndim != 1 or not np.isfinite(values).all() or abs(values[0] - 1) > 1e-6:
            raise DataError(
                "the correlation of the noise must be a list of finite numbers that begins with 1; "
                "leave it out for white noise"
            )
        self._windows: dict[int, tuple[Window, np.ndarray | None, float]] = {}

    def __call__(
        self,
        stamps: np.ndarray,
        noise: np.ndarray,
        start: np.ndarray,
        covariance: np.ndarray,
        valid: np.ndarray | None = None,
        exposure_time: float | np.ndarray | None = None,
        sky_error: float | None = None,
    ) -> Refined:
        """Refine galaxies.

        Args:
            stamps: (n, S, S), background-subtracted.
            noise: Sky noise of a pixel (n,) [unit of the stamp].
            start: Parameters (n, 7) to start from, and the prior's means; see `profiles.NAMES`.
            covariance: The prior's covariance (n, 7, 7).
            valid: Pixels that count, (n, S, S) bool; None: all.
            exposure_time: Turns the light into photon noise: variance = light / exposure_time;
                one, or (n,). None: no photon noise.
            sky_error: Standard deviation of what is left of the sky, in units of the noise; 0: the
                sky is known. None: it is not known at all.

        Raises:
            DataError: shapes differ, or a noise is not positive.
        """
        count = len(stamps)
        noise = np.asarray(noise, float)
        if stamps.shape[1:] != (self.side, self.side) or start.shape != (count, PARAMETERS):
            raise DataError(
                f"stamps of shape {stamps.shape} and starts of shape {start.shape}; give "
                f"(n, {self.side}, {self.side}) and (n, {PARAMETERS})"
            )
        if noise.shape != (count,):
            raise DataError(f"noise of shape {noise.shape}; give one value per stamp")
        good = np.ones(stamps.shape, bool) if valid is None else np.array(valid, bool)
        good &= np.isfinite(stamps)
        exposure = np.broadcast_to(
            np.inf if exposure_time is None else np.asarray(exposure_time, float), (count,)
        )
        usable = np.isfinite(noise) & (noise > 0) & np.isfinite(start).all(axis=1)
        usable &= (exposure > 0) & _positive(covariance)
        found = _empty(start, covariance)
        radius = np.exp(np.where(usable, start[:, 1], 0.0))
        # Pixels of the stamp along the side of a working pixel.
        halvings = (self.side // (_SIDE + 1)).bit_length()
        factor = 2 ** np.searchsorted(_SIDE * 2 ** np.arange(halvings), 2 * _REACH * radius)
        sky = _SKY_ERROR if sky_error is None else sky_error
        given = stamps, noise, good, start, covariance, exposure
        for one in np.unique(factor[usable]):
            rows = np.flatnonzero(usable & (factor == one))
            # Galaxies of similar size need the same part of the table.
            rows = rows[np.argsort(start[rows, 1] + start[rows, 2], kind="stable")]
            for begin in range(0, len(rows), _BATCH):
                some = rows[begin : begin + _BATCH]
                part = self._refine(int(one), sky, *(array[some] for array in given))
                for array, values in zip(found, part, strict=True):
                    array[some] = values
        # What rounding left without a positive covariance is no answer.
        lost = ~(_positive(found.covariance) & np.isfinite(found.theta).all(axis=1))
        found.theta[lost], found.covariance[lost] = start[lost], covariance[lost]
        found.converged[lost] = False
        return found

    def _window(self, factor: int) -> tuple[Window, np.ndarray | None, float]:
        """A factor's window, what whitens its noise along an axis, and the variance it leaves."""
        if factor not in self._windows:
            side = min(_SIDE, self.side // factor)
            power = _power(self._correlation, factor, period_of(side))
            used = np.maximum(power, _LEAST_POWER * power.max())
            whiten = None if np.ptp(used) < 1e-9 else used**-0.5
            left = float((power / used)[:-1].mean() ** 2)
            self._windows[factor] = Window(self._psf, side, factor, whiten), whiten, left
        return self._windows[factor]

    def _refine(
        self,
        factor: int,
        sky_error: float,
        stamps: np.ndarray,
        noise: np.ndarray,
        good: np.ndarray,
        start: np.ndarray,
        covariance: np.ndarray,
        exposure: np.ndarray,
    ) -> Refined:
        window, whiten, left = self._window(factor)
        data, good = _prepared(stamps / noise[:, None, None], good, window, whiten)
        limits = sky_error, self._excess
        fit = _Fit(window, self.side, start, covariance, noise, exposure, *limits)
        fit.run(data, good)
        found = fit.found
        done = found.converged & (found.seen > _LEAST_SEEN)
        theta, slopes = fit.outer(fit.state)
        done &= np.isfinite(theta).all(axis=1) & np.isfinite(fit.information).all(axis=(1, 2))
        inverse = np.linalg.inv(slopes[done])
        known = _mended(np.swapaxes(inverse, 1, 2) @ fit.information[done] @ inverse)
        prior = _inverse(covariance[done])
        theta[:, 0] += np.log(noise)
        found.theta[done] = theta[done]
        found.covariance[done] = _inverse(known + prior)
        found.sky[done] = fit.state[done, PARAMETERS] * noise[done]
        found.tension[done] = _tension(theta[done] - start[done], prior, known)
        for terms in (found.chi2, found.misfit, found.coherence):
            terms /= left
        return found._replace(converged=done)


class _Fit:
    """A batch of galaxies on its way to the maximum of the posterior, in units of the noise."""

    def __init__(
        self,
        window: Window,
        side: int,
        start: np.ndarray,
        covariance: np.ndarray,
        noise: np.ndarray,
        exposure: np.ndarray,
        sky_error: float,
        excess: float,
    ) -> None:
        self._window, factor = window, window.factor
        self._intruder = np.float32(excess * float(window.smooth))
        # Where the window's first working pixel lies from the stamp's middle [px].
        first = (side // factor - window.side) // 2
        self._origin = first * factor + (factor - 1) / 2 - (side - 1) / 2
        self._means = np.array(start, float)
        self._means[:, 0] -= np.log(noise)
        self._prior = _inverse(covariance)
        inner = inner_of(self._means)
        inner[:, 1] -= math.log(factor)
        inner[:, 5:7] = (inner[:, 5:7] - self._origin) / factor
        count = len(start)
        #: Parameters inside, and the sky.
        self.state = np.concatenate([self._inside(inner), np.zeros((count, 1))], axis=1)
        # Light in units of the noise to variance in units of the sky's.
        self._photons = 1 / (exposure * noise)
        self.found = _empty(start, covariance)
        self.found.share[:] = self._photons
        self._sky_weight = 1e12 if sky_error <= 0 else 1 / sky_error**2
        #: What the pixels alone know: inverse covariances of the parameters inside.
        self.information = np.zeros((count, PARAMETERS, PARAMETERS))

    def outer(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters (B, 7) in the stamp, and their derivatives (B, 7, 7) by those inside."""
        factor = self._window.factor
        native = state[:, :PARAMETERS].copy()
        native[:, 1] += math.log(factor)
        native[:, 5:7] = native[:, 5:7] * factor + self._origin
        theta, slopes = outer_of(native)
        slopes[:, :, 5:7] *= factor
        return theta, slopes

    def _inside(self, inner: np.ndarray) -> np.ndarray:
        """Bring parameters into the limits of the table and of the window."""
        side, factor = self._window.side, self._window.factor
        inner[:, 0] = np.clip(inner[:, 0], -10, 30)
        inner[:, 1] = np.clip(inner[:, 1], math.log(0.1 / factor), math.log(4 * side))
        inner[:, 2] = np.clip(inner[:, 2], *LOG_INDEX)
        eta = np.hypot(inner[:, 3], inner[:, 4])
        inner[:, 3:5] *= np.minimum(1, LARGEST_ETA / np.maximum(eta, 1e-9))[:, None]
        inner[:, 5:7] = np.clip(inner[:, 5:7], 0, side - 1)
        return inner

    def run(self, data: np.ndarray, good: np.ndarray) -> None:
        """Step until every galaxy has converged, or has had its evaluations."""
        count = len(data)
        active = np.arange(count)
        damping = np.full(count, _DAMPING)
        cost = np.full(count, np.inf)
        move = np.zeros((count, PARAMETERS + 1))
        normal = np.zeros((count, PARAMETERS + 1, PARAMETERS + 1))
        gradient = np.zeros((count, PARAMETERS + 1))
        weights = np.empty(data.shape, np.float32)
        self._good, good = good > 0, good.copy()
        last = PARAMETERS + 1
        for number in range(_EVALUATIONS):
            trial = self.state[active] + move[active]
            trial[:, :PARAMETERS] = self._inside(trial[:, :PARAMETERS])
            rows = self._rows(trial, data[active])
            self.found.evaluations[active] += 1
            if number == 0:
                weights[active] = self._weigh(number, active, rows, good)
            penalty, slope, curvature = self._prior_terms(trial, active)
            squares = np.square(rows[:, last])
            squares *= weights[active]
            change = squares.sum(axis=(1, 2)) + penalty - cost[active]
            # The sums are of float32.
            better = change <= _GAIN + 1e-5 * np.where(number, cost[active], 0)
            fresh = active[better]
            self.state[fresh] = trial[better]
            # Weights follow the model; the cost that the next step must lower is the new one.
            weights[fresh] = self._weigh(number, fresh, rows[better], good)
            self.found.seen[fresh] = _mean(good[fresh], np.abs(rows[better, 0]))
            rows *= np.sqrt(weights[active])[:, None]
            flat = rows[better].reshape(len(fresh), PARAMETERS + 2, data[0].size)
            gram = (flat @ np.swapaxes(flat, 1, 2)).astype(float)
            cost[fresh] = gram[:, last, last] + penalty[better]
            self.information[fresh] = _without_sky(gram[:, :last, :last], self._sky_weight)
            normal[fresh] = gram[:, :last, :last] + curvature[better]
            gradient[fresh] = gram[:, :last, last] + slope[better]
            damping[fresh] /= 10
            damping[active[~better]] = np.maximum(damping[active[~better]] * 10, 1e-2)
            step, gain = _step(
                normal[active], gradient[active], damping[active], self.state[active]
            )
            longest = np.abs(step[:, :PARAMETERS] / _LONGEST).max(axis=1)
            move[active] = step / np.maximum(longest, 1)[:, None]
            there = better & (gain < _GAIN)
            finished = active[there]
            self.state[finished] += move[finished]
            self.state[finished, :PARAMETERS] = self._inside(self.state[finished, :PARAMETERS])
            self.found.converged[finished] = True
            active = active[~there & (damping[active] < _STUCK)]
            if len(active) == 0:
                break

    def _rows(self, state: np.ndarray, data: np.ndarray) -> np.ndarray:
        """Derivatives, the sky's and the residuals, (B, 9, n, n) float32, without weights."""
        side = self._window.side
        rows = np.empty((len(state), PARAMETERS + 2, side, side), np.float32)
        rows[:, :PARAMETERS] = self._window.draw(state[:, :PARAMETERS])
        rows[:, PARAMETERS] = self._window.smooth
        sky = np.asarray(state[:, PARAMETERS] * self._window.smooth, np.float32)
        rows[:, PARAMETERS + 1] = data - rows[:, 0] - sky[:, None, None]
        return rows

    def _weigh(
        self, number: int, which: np.ndarray, rows: np.ndarray, good: np.ndarray
    ) -> np.ndarray:
        """Inverse variance of the whitened pixels: of the sky, of photons, of what does not fit.

        At the first evaluations of the model, `good` loses the pixels of sources in the way.
        """
        light = np.maximum(rows[:, 0], 0) * np.float32(1 / self._window.smooth)
        rest = rows[:, PARAMETERS + 1]
        if number < _SEARCHES:
            good[which] = self._good[which]
            good[which] *= ~_intruders(rest, light, self._core(which), self._intruder)
        photons = _column(self._photons[which])
        known = 1 + photons * light
        if 0 < number <= _SEARCHES:
            found, error = _excess(np.square(rest), light, good[which], known)
            apart = found > self._photons[which] + 2 * error
            self.found.share[which] = np.where(apart, found, self._photons[which])
        square = np.square(rest) / known
        self.found.misfit[which] = _mean(square, light * good[which])
        count = good[which].sum(axis=(1, 2))
        freedom = np.maximum(count - PARAMETERS - 1, 1)
        self.found.chi2[which] = (square * good[which]).sum(axis=(1, 2)) / freedom
        weights = good[which] / (1 + _column(self.found.share[which]) * light)
        self.found.coherence[which] = _coherence(rest * np.sqrt(weights), light * weights)
        return np.asarray(weights)

    def _core(self, which: np.ndarray) -> np.ndarray:
        """Pixels (B, n, n) so near the galaxy's centre that all light there is its own."""
        axis = np.arange(self._window.side)
        state = self.state[which]
        x, y = (axis - state[:, k, None] for k in (5, 6))
        radius = np.exp(state[:, 1] + np.hypot(state[:, 3], state[:, 4]) / 2)
        near = np.maximum(_CORE * radius, _LEAST_CORE)[:, None, None]
        return np.asarray(x[:, None, :] ** 2 + y[:, :, None] ** 2 < near**2)

    def _prior_terms(
        self, state: np.ndarray, which: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Penalty (B,), gradient (B, 8) and curvature (B, 8, 8) of the prior."""
        theta, slopes = self.outer(state)
        away = self._means[which] - theta
        pull = np.einsum("nij,nj->ni", self._prior[which], away)
        last, count = PARAMETERS, len(state)
        gradient = np.zeros((count, PARAMETERS + 1))
        gradient[:, :last] = np.einsum("nji,nj->ni", slopes, pull)
        gradient[:, last] = -self._sky_weight * state[:, last]
        curvature = np.zeros((count, PARAMETERS + 1, PARAMETERS + 1))
        curvature[:, :last, :last] = np.swapaxes(slopes, 1, 2) @ self._prior[which] @ slopes
        curvature[:, last, last] = self._sky_weight
        penalty = np.einsum("ni,ni->n", away, pull) + self._sky_weight * state[:, last] ** 2
        return penalty, gradient, curvature


def _power(correlation: np.ndarray, factor: int, period: int) -> np.ndarray:
    """Power of the noise of working pixels along an axis, at the modes 0 to P/2."""
    reach = len(correlation) - 1
    covariance = np.concatenate([correlation[:0:-1], correlation])
    for _ in range(int(math.log2(factor))):
        covariance = np.convolve(covariance, np.convolve(TAPS, TAPS[::-1]))
        middle = len(covariance) // 2
        reach = middle // 2
        covariance = covariance[middle - 2 * reach : middle + 2 * reach + 1 : 2]
    lags = np.arange(-reach, reach + 1)
    waves = 2 * math.pi / period * np.arange(period // 2 + 1)
    power = np.cos(np.multiply.outer(waves, lags)) @ covariance
    return np.asarray(np.maximum(power, 0))


def _prepared(
    data: np.ndarray, good: np.ndarray, window: Window, whiten: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Data of a window, whitened, and its valid pixels, (B, n, n) float32."""
    data = _filled(np.asarray(data, float), good)
    bad = ~good
    for _ in range(int(math.log2(window.factor))):
        data, bad = _halved(data), _halved(bad.astype(float)) > 0.05
    first = (data.shape[1] - window.side) // 2
    # The stamp's middle is the window's, but for half a pixel of an odd side.
    box = np.s_[:, first : first + window.side, first : first + window.side]
    data, bad = data[box], bad[box].copy()
    if whiten is not None:
        period, side = window.period, window.side
        spectrum = fft.rfft2(data, (period, period))
        full = whiten[np.minimum(np.arange(period), period - np.arange(period))]
        spectrum *= full[:, None] * whiten
        data = fft.irfft2(spectrum, (period, period))[:, :side, :side]
        # What is not known reaches the next pixel.
        if bad.any():
            bad = binary_dilation(bad, np.ones((1, 3, 3), bool))
        for edge in (np.s_[:, :_MARGIN], np.s_[:, -_MARGIN:]):
            bad[edge] = True
            bad.swapaxes(1, 2)[edge] = True
    return np.asarray(data, np.float32), np.asarray(~bad, np.float32)


def _halved(images: np.ndarray) -> np.ndarray:
    """Filter by `TAPS` and take every second pixel, along both axes; (n, S, S)."""
    for axis in (1, 2):
        half = images.shape[axis] // 2
        # Of four pixels, the two in the middle are those of the working pixel.
        padded = np.pad(images, [(int(axis == one),) * 2 for one in range(3)], mode="edge")
        images = sum(
            tap * padded.take(range(k, k + 2 * half, 2), axis) for k, tap in enumerate(TAPS)
        )
    return images


def _filled(data: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Fill pixels that are not valid by their surroundings: filters must not smear them."""
    if good.all():
        return data
    data = np.where(good, data, 0.0)
    light = gaussian_filter(data, (0, 3, 3))
    share = gaussian_filter(good.astype(float), (0, 3, 3))
    return np.where(good, data, light / np.maximum(share, 1e-3))


def _intruders(
    rest: np.ndarray, light: np.ndarray, core: np.ndarray, excess: np.float32
) -> np.ndarray:
    """Pixels (B, n, n) of sources that the model lacks: bright, and not just a misfit of it."""
    mean = uniform_filter(rest, (0, 3, 3), mode="nearest")
    found = (3 * mean > _INTRUDER) & (mean > excess * light) & ~core
    if not found.any():
        return np.asarray(found)
    return np.asarray(binary_dilation(found, np.ones((1, 5, 5), bool)) & ~core)


def _excess(
    square: np.ndarray, light: np.ndarray, good: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the light in the variance of squared residuals (B, n, n), and its error; (B,) each.

    By least squares of what is left of them without the sky's noise; errors are for the variance
    that is `known`.
    """
    weights = good / np.square(known)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = (weights * np.square(light)).sum(axis=(1, 2))
        found = (weights * light * (square - 1)).sum(axis=(1, 2)) / whole
        return found, np.sqrt(2 / whole)


def _coherence(rest: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Sum (B,) of products of neighbouring residuals (B, n, n), weighted by the light.

    In units of its scatter: of noise alone, of variance 1, it is 0 +- 1.
    """
    total, square = np.zeros((2, len(rest)))
    for axis in (1, 2):
        here, there = (
            np.s_[(slice(None),) * axis + (cut,)] for cut in (slice(1, None), slice(None, -1))
        )
        weights = np.minimum(light[here], light[there])
        total += (weights * rest[here] * rest[there]).sum(axis=(1, 2))
        square += np.square(weights).sum(axis=(1, 2))
    return np.asarray(total / np.sqrt(np.maximum(square, 1e-30)))


def _column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None, None]


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means of images (B, n, n); NaN where all weights are 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((values * weights).sum(axis=(1, 2)) / weights.sum(axis=(1, 2)))


def _step(
    normal: np.ndarray, gradient: np.ndarray, damping: np.ndarray, state: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Damped steps (B, 8) and what they promise to gain in chi2 (B,)."""
    matrix, gradient = normal.copy(), gradient.copy()
    # An index at the table's limit stays there while the pixels pull it out.
    low, high = LOG_INDEX
    held = (state[:, 2] <= low) & (gradient[:, 2] < 0) | (state[:, 2] >= high) & (
        gradient[:, 2] > 0
    )
    matrix[held, 2, :] = 0
    matrix[held, :, 2] = 0
    matrix[held, 2, 2] = 1
    gradient[held, 2] = 0
    # A galaxy without a finite model takes no step, and ends without having converged.
    broken = ~np.isfinite(matrix).all(axis=(1, 2)) | ~np.isfinite(gradient).all(axis=1)
    broken |= (np.einsum("nii->ni", matrix) <= 0).any(axis=1)
    matrix[broken], gradient[broken] = np.eye(matrix.shape[1]), 0.0
    diagonal = np.einsum("nii->ni", matrix)
    diagonal *= 1 + damping[:, None]
    step = np.linalg.solve(matrix, gradient[..., None])[..., 0]
    return step, np.einsum("ni,ni->n", step, gradient)


def _scaled(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric matrices (n, p, p) with a diagonal of 1, and their scales (n, p)."""
    scales = np.sqrt(np.maximum(np.einsum("nii->ni", matrices), 1e-300))
    return matrices / (scales[:, :, None] * scales[:, None, :]), scales


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Invert positive matrices (n, p, p) whose rows are in units of any size."""
    unit, scales = _scaled(matrices)
    inverse = np.linalg.inv(unit + 1e-10 * np.eye(unit.shape[1]))
    return np.asarray(inverse / (scales[:, :, None] * scales[:, None, :]))


def _mended(matrices: np.ndarray) -> np.ndarray:
    """Information (n, p, p) without the negative eigenvalues that float32 leaves it."""
    unit, scales = _scaled(matrices)
    values, vectors = np.linalg.eigh(unit)
    values = np.maximum(values, _LEAST_VALUE)
    unit = (vectors * values[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    return np.asarray(unit * (scales[:, :, None] * scales[:, None, :]))


def _positive(matrices: np.ndarray) -> np.ndarray:
    """Which matrices (n, p, p) are those of a covariance."""
    found = np.isfinite(matrices).all(axis=(1, 2))
    found &= (np.einsum("nii->ni", matrices) > 0).all(axis=1)
    unit, _ = _scaled(matrices[found])
    found[found] = np.linalg.eigvalsh(unit).min(axis=1) > -1e-6
    return found


def _without_sky(normal: np.ndarray, sky_weight: float) -> np.ndarray:
    """Information on the galaxy alone (B, 7, 7), whatever the sky's level."""
    last = PARAMETERS
    cross = normal[:, :last, last]
    share = cross[:, :, None] * cross[:, None, :]
    return np.asarray(
        normal[:, :last, :last] - share / (normal[:, last, last] + sky_weight)[:, None, None]
    )


def _tension(away: np.ndarray, prior: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Distance (n,) of the pixels' answer from the prior, as a chi2 per parameter.

    At the maximum the prior's pull equals the pixels', so that both penalties follow from `away`,
    the maximum minus the prior's mean (n, 7).
    """
    pull = np.einsum("nij,nj->ni", prior, away)
    # Directions of which the pixels know next to nothing must not divide by it.
    _, scales = _scaled(known + prior)
    unit = known / (scales[:, :, None] * scales[:, None, :]) + 1e-6 * np.eye(PARAMETERS)
    back = np.linalg.solve(unit, (pull / scales)[..., None])[..., 0]
    total = np.einsum("ni,ni->n", away, pull) + np.einsum("ni,ni->n", back, pull / scales)
    return np.asarray(total / PARAMETERS)


def _empty(start: np.ndarray, covariance: np.ndarray) -> Refined:
    """What is known of galaxies before they are fitted."""
    count = len(start)
    share, sky, seen = np.zeros((3, count))
    chi2, misfit, coherence, tension = np.full((4, count), np.nan)
    return Refined(
        *(np.array(start, float), np.array(covariance, float), share, sky),
        *(chi2, misfit, coherence, tension, seen),
        *(np.zeros(count, int), np.zeros(count, bool)),
    )
