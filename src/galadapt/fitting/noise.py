"""How the noise of neighbouring pixels is correlated, measured in an image's empty pixels."""

from __future__ import annotations

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
    # What is left of outliers, cosmic rays say.
    limit = 5 * mad_std(rest[empty])
    empty &= np.abs(rest) < limit
    rest[~empty] = 0.0
    rest -= empty * rest[empty].mean()
    variance = (rest**2).sum() / empty.sum()
    if not variance > 0:
        return None
    found = np.zeros(LAGS)
    found[0] = 1.0
    for lag in range(1, LAGS):
        sums, pairs = 0.0, 0
        for turned, used in ((rest, empty), (rest.T, empty.T)):
            sums += float((turned[lag:] * turned[:-lag]).sum())
            pairs += int((used[lag:] & used[:-lag]).sum())
        if pairs < _PAIRS:
            return None
        value = sums / pairs / variance
        if abs(value) < _LEAST:
            break
        found[lag] = value
    return found
