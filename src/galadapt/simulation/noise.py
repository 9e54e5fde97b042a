"""Noise of a drizzled mosaic.

Drizzling spreads each detector pixel, shrunk to a drop, over output pixels. Averaged over dither
positions, white detector noise becomes noise whose autocovariance is that of the drop's box
convolved with the output pixel's box (Casertano et al. 2000; Fruchter & Hook 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.signal import minimum_phase

from galadapt.config.simulation import Noise

# Sky rms per 0.06 arcsec pixel [e-/s] and exposure [s]. CANDELS wide spends 2 orbits on J + H, deep
# about 12 on Y + J + H (Grogin et al. 2011; its archive page). That 4/3 and 4 of them go to F160W
# is assumed, and 2500 s for each: HUDF09 exposed for 2770 s of an orbit (146,711 s of F160W in 53,
# its archive page), which a change of filter shortens. The rms of wide and deep are measured ones.
# Ultradeep is HUDF09 and the half as much that UDF12 added (Koekemoer et al. 2013), with the rms of
# deep scaled by the root of the exposure.
_DEPTHS = {"wide": (0.0051, 3300.0), "deep": (0.0024, 10000.0), "ultradeep": (0.00051, 220000.0)}

# Length of the transforms that factorise the noise's spectrum; it leaves 3e-6 of its power.
_FACTOR_LENGTH = 2**14


@dataclass(frozen=True)
class NoiseLevels:
    """Resolved noise: numbers only, no defaults left."""

    pixel_rms: float  #: sky rms per pixel [e-/s]; 0 draws no noise at all
    exposure_time: float  #: exposure [s] that turns source flux into photon noise
    drop: float  #: side of the drizzled drop [output px]; 0 leaves the noise white
    source_poisson: bool  #: whether sources add their own photon noise


def resolve(noise: Noise) -> NoiseLevels:
    """Replace what the configuration leaves open by the depth's numbers."""
    if noise.depth == "none":
        return NoiseLevels(0.0, _DEPTHS["wide"][1], 0.0, False)
    pixel_rms, exposure_time = _DEPTHS[noise.depth]
    return NoiseLevels(
        pixel_rms=pixel_rms if noise.pixel_rms is None else noise.pixel_rms,
        exposure_time=exposure_time if noise.exposure_time is None else noise.exposure_time,
        drop=noise.pixfrac * noise.detector_pixel,
        source_poisson=noise.source_poisson,
    )


def correlation(drop: float, lags: np.ndarray) -> np.ndarray:
    """Correlation of drizzled noise along one axis at `lags` [output px], 1 at lag 0.

    The autocovariance of box(drop) * box(1) is the convolution of the triangles of half-widths
    `drop` and 1; two-dimensional noise is the product over both axes.
    """
    if drop == 0:
        return np.where(np.asarray(lags) == 0, 1.0, 0.0)

    def cubes(x: np.ndarray) -> np.ndarray:
        # Second difference of |x|^3 / 6 over `drop`: the fourth integral of the deltas that make
        # up both triangles.
        return (abs(x - drop) ** 3 - 2 * abs(x) ** 3 + abs(x + drop) ** 3) / 6

    def covariance(x: np.ndarray) -> np.ndarray:
        return (cubes(x - 1) - 2 * cubes(x) + cubes(x + 1)) / 2

    lags = np.asarray(lags, float)
    return covariance(lags) / covariance(np.zeros(1))


@cache
def kernel(drop: float) -> np.ndarray:
    """Taps that give white noise the correlation of `drop` along one axis, exactly.

    The autocovariance ends at lag drop + 1, so a filter of as many taps realises it: its spectral
    factor of minimum phase (Fejer and Riesz). The taps are not symmetric, which noise cannot show.
    Sampling box(drop) * box(1) at pixel centres would overstate the correlation (0.57 for 0.52).

    Returns:
        At most drop + 2 taps whose squares add up to 1, so that filtering keeps the rms; float32.
    """
    if drop == 0:
        return np.ones(1, np.float32)
    last = math.ceil(drop + 1) - 1
    covariance = correlation(drop, np.arange(-last, last + 1))
    taps = minimum_phase(covariance, n_fft=_FACTOR_LENGTH)
    # Rounded, so that no machine's last digit of a logarithm reaches the noise.
    return np.round(taps / np.sqrt((taps**2).sum()), 6).astype(np.float32)


def add_noise(
    image: np.ndarray,
    levels: NoiseLevels,
    rng: np.random.Generator,
    rms_map: np.ndarray | None = None,
) -> np.ndarray:
    """Add correlated sky noise and equally correlated source photon noise.

    White noise on a padded grid is filtered, so the edges are as noisy as the middle, and scaled to
    the rms of each pixel. Works on a noiseless stamp or whole mosaic (H, W) [e-/s]. `rms_map` is
    the sky rms of each pixel (H, W) [e-/s] where it varies; it replaces `levels.pixel_rms`.

    Returns:
        A new image (H, W) [e-/s], float32 if the image is, otherwise float64.
    """
    if image.dtype != np.float32:
        image = np.asarray(image, np.float64)
    if levels.pixel_rms == 0:
        return image.copy()
    taps = kernel(levels.drop)
    height, width = image.shape
    noise = rng.standard_normal((height + len(taps) - 1, width + len(taps) - 1), np.float32)
    noise = _filtered(noise, taps, height)
    noise = _filtered(noise.T, taps, width).T
    sky: float | np.ndarray = levels.pixel_rms if rms_map is None else rms_map.astype(np.float32)
    if levels.source_poisson:
        variance = np.maximum(image, 0).astype(np.float32, copy=False)
        variance /= levels.exposure_time
        variance += np.square(sky)
        sky = np.sqrt(variance, out=variance)
    noise *= sky
    return image + noise


def _filtered(white: np.ndarray, taps: np.ndarray, length: int) -> np.ndarray:
    """Filter along the first axis and cut to `length` rows.

    Sums in one order and no matrix product: the same bytes on every machine.
    """
    total = taps[0] * white[:length]
    for k in range(1, len(taps)):
        total += taps[k] * white[k : k + length]
    return total
