"""How the noise of neighbouring pixels is correlated, measured in an image's empty pixels."""

from __future__ import annotations

import math

import numpy as np
from astropy.stats import mad_std
from scipy.ndimage import binary_dilation, gaussian_filter, median_filter

#: Lags that are measured [px]: drizzled noise ends there.
LAGS = 4

#: Pixels whose smoothed surroundings exceed the background by so many times their scatter are a
#: source's; smoothing and growth of their segments [px].
_THRESHOLD, _SMOOTHING, _GROWTH = 1.5, 1.5, 4

#: Side of the meshes of the background [px], and pairs of pixels needed.
_MESH, _PAIRS = 32, 2000

#: Lags that noise does not reach [px]: light that was not masked, wings of large galaxies above
#: all, is correlated there. A line through them gives what it adds to the shorter ones.
_BEYOND = np.arange(LAGS, LAGS + 5)

#: A correlation below this is the measurement's own error.
_LEAST = 0.02


def correlation_of(data: np.ndarray, good: np.ndarray) -> np.ndarray | None:
    """Autocorrelation of the noise at lags 0 to 3 [px], the mean of both axes.

    Args:
        data: An image or a piece of it (H, W); sources in it are masked.
        good: Its usable pixels (H, W) bool.

    Returns:
        (4,), 1 at first; None where too few pixels are empty. White noise gives 1, 0, 0, 0.
    """
    good = good & np.isfinite(data)
    if good.sum() < _PAIRS:
        return None
    data = np.where(good, data, np.median(data[good]))
    height, width = (max(1, side // _MESH) * _MESH for side in data.shape)
    if min(data.shape) >= 2 * _MESH:
        cells = data[:height, :width].reshape(height // _MESH, _MESH, width // _MESH, _MESH)
        mesh = median_filter(np.median(cells, axis=(1, 3)), 3, mode="nearest")
        sky = np.kron(mesh, np.ones((_MESH, _MESH)))
        data = data - np.pad(
            sky, [(0, a - b) for a, b in zip(data.shape, sky.shape, strict=True)], mode="edge"
        )
    smooth = gaussian_filter(data, _SMOOTHING)
    level, scatter = np.median(smooth[good]), mad_std(smooth[good])
    if not scatter > 0:
        return None
    bright = smooth - level > _THRESHOLD * 2 * scatter
    empty = good & ~binary_dilation(bright, iterations=_GROWTH)
    if empty.sum() < _PAIRS:
        return None
    rest = np.where(empty, data - np.median(data[empty]), 0.0)
    # What is left of outliers, such as cosmic rays.
    limit = 5 * mad_std(rest[empty])
    empty &= np.abs(rest) < limit
    rest[~empty] = 0.0
    rest -= empty * rest[empty].mean()
    lags = np.arange(1, _BEYOND[-1] + 1)
    covariance = np.array(
        [(rest**2).sum() / empty.sum(), *(_covariance(rest, empty, lag) for lag in lags)]
    )
    if not np.isfinite(covariance).all():
        return None
    slope = min(float(np.polyfit(_BEYOND, covariance[_BEYOND], 1)[0]), 0.0)
    light = covariance[_BEYOND].mean() + slope * (np.arange(LAGS) - _BEYOND.mean())
    noise = covariance[:LAGS] - light
    if not noise[0] > 0:
        return None
    found = noise / noise[0]
    small = np.abs(found) < _LEAST
    if small.any():
        found[np.argmax(small) :] = 0.0
    return np.asarray(found)


def gain_of_sums(correlation: np.ndarray, factor: int) -> float:
    """Noise of sums of factor x factor pixels over that of uncorrelated ones.

    `correlation` is that of `correlation_of`, along either axis.
    """
    pairs = 2 * (factor - np.arange(1, factor))
    lags = np.pad(correlation, (0, factor))[1:factor]
    return float(max(1 + (pairs * lags).sum() / factor, 1 / factor))


def _covariance(rest: np.ndarray, used: np.ndarray, lag: int) -> float:
    """Mean product of pixels a lag apart along either axis; NaN of too few pairs."""
    sums, pairs = 0.0, 0
    for values, good in ((rest, used), (rest.T, used.T)):
        sums += float((values[lag:] * values[:-lag]).sum())
        pairs += int((good[lag:] & good[:-lag]).sum())
    return sums / pairs if pairs >= _PAIRS else math.nan
