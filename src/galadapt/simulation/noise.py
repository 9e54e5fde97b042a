"""Noise of a drizzled mosaic.

Drizzling spreads each detector pixel, shrunk to a drop, over output pixels. Averaged over dither
positions, white detector noise becomes noise whose autocovariance is that of the drop's box
convolved with the output pixel's box (Casertano et al. 2000; Fruchter & Hook 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy.ndimage import correlate1d

from galadapt.config import Noise

# Sky rms per 0.06 arcsec pixel [e-/s] and exposure [s]. CANDELS wide spends 2 orbits on J + H, deep
# about 12 on Y + J + H (Grogin et al. 2011); 4/3 and 4 of them in F160W, at 2500 s each, are
# assumed. The rms of wide and deep are measured ones; ultradeep assumes 80 orbits on the ultra-deep
# field and the rms of deep scaled by the root of the exposure.
_DEPTHS = {"wide": (0.0051, 3300.0), "deep": (0.0024, 10000.0), "ultradeep": (0.00054, 200000.0)}

# Taps on each side of the kernel; what is beyond holds less than 1e-4 of its power.
_REACH = 8

# Up to this side [px] noise is filtered by matrix products.
_MATRIX_SIDE = 256


@dataclass(frozen=True)
class NoiseLevels:
    """Resolved noise: numbers only, no defaults left.

    Attributes:
        pixel_rms: Sky rms per pixel [e-/s]; 0 draws no noise at all.
        exposure_time: Exposure [s] that turns source flux into photon noise.
        drop: Side of the drizzled drop [output px]; 0 leaves the noise white.
        source_poisson: Whether sources add their own photon noise.
    """

    pixel_rms: float
    exposure_time: float
    drop: float
    source_poisson: bool


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
    """Correlation of drizzled noise along one axis.

    The autocovariance of box(drop) * box(1) is the convolution of the triangles of half-widths
    `drop` and 1; two-dimensional noise is the product over both axes.

    Args:
        drop: Side of the drop [output px], at least 0.
        lags: Distances [output px].

    Returns:
        Correlation at each lag, 1 at lag 0.
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
    """Symmetric taps that give white noise the correlation of `drop`, along one axis.

    They are the transform of the square root of the power spectrum: sampling box(drop) * box(1) at
    pixel centres instead would overstate the correlation (0.57 for 0.52).

    Args:
        drop: Side of the drop [output px].

    Returns:
        Odd number of taps whose squares add up to 1, so that filtering keeps the rms.
    """
    if drop == 0:
        return np.ones(1)
    size = 512
    lags = np.minimum(np.arange(size), size - np.arange(size))
    power = np.fft.fft(correlation(drop, lags)).real
    taps = np.fft.ifft(np.sqrt(np.clip(power, 0.0, None))).real
    reach = np.arange(-_REACH, _REACH + 1)
    return taps[reach] / np.sqrt((taps[reach] ** 2).sum())


def add_noise(
    image: np.ndarray,
    levels: NoiseLevels,
    rng: np.random.Generator,
    rms_map: np.ndarray | None = None,
) -> np.ndarray:
    """Add correlated sky noise and equally correlated source photon noise.

    White noise of the variance of each pixel is drawn on a padded grid and filtered, so the edges
    are as noisy as the middle. Works on a stamp and on a whole mosaic: two passes of 17 taps.

    Args:
        image: Noiseless image (H, W) [e-/s].
        levels: From `resolve`.
        rng: Random stream of this image.
        rms_map: Sky rms of each pixel (H, W) [e-/s] where it varies; replaces `levels.pixel_rms`.

    Returns:
        A new image (H, W) [e-/s].
    """
    if levels.pixel_rms == 0:
        return np.array(image, np.float64)
    sky = np.square(levels.pixel_rms if rms_map is None else rms_map)
    variance = np.broadcast_to(np.asarray(sky, np.float64), image.shape)
    if levels.source_poisson:
        variance = variance + np.clip(image, 0.0, None) / levels.exposure_time
    taps = kernel(levels.drop)
    reach = len(taps) // 2
    white = np.pad(np.sqrt(variance, dtype=np.float32), reach, mode="edge")
    white *= rng.standard_normal(white.shape, np.float32)
    if max(image.shape) <= _MATRIX_SIDE:
        rows, columns = (_band(levels.drop, side) for side in image.shape)
        return image + rows @ white @ columns.T
    for axis in (0, 1):
        white = correlate1d(white, taps, axis=axis, mode="constant")
    inside = slice(reach, -reach or None)
    return image + white[inside, inside]


@lru_cache(maxsize=16)
def _band(drop: float, side: int) -> np.ndarray:
    """Matrix of the filter (side, side + taps - 1): for a stamp twice as fast as filtering."""
    taps = kernel(drop).astype(np.float32)
    matrix = np.zeros((side, side + len(taps) - 1), np.float32)
    for i in range(side):
        matrix[i, i : i + len(taps)] = taps
    return matrix
