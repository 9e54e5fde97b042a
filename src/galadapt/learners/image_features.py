"""Features of stamps that need no learning: simple ones of a galaxy, and oriented gradients.

photutils and statmorph measure most of the simple ones too, one galaxy at a time and 10 and 200
times slower; a test compares with photutils.

Of the simple features, every plane is measured: each channel and, where there are several, their
mean (grey). Lengths are in units of the stamp's side and brightnesses relative to the galaxy's own,
so that none depends on how a stamp is turned or mirrored, and only those named `brightness` and
`noise` on its unit.

Concentration, asymmetry, Gini and M20 follow Conselice (2003) and Lotz et al. (2004), with circular
apertures around the centre of the stamp.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

#: Circular annuli of the profiles, and moments of the angle whose amplitudes are measured in each
#: of `RINGS` of them.
ANNULI, RINGS, ORDERS = 10, 3, (1, 2, 3, 4)

#: Stamps measured at once.
_CHUNK = 256

_TINY = 1e-9


def image_features(images: np.ndarray) -> np.ndarray:
    """Measure stamps (n, side, side, channels); n may be 0.

    Returns:
        Finite features (n, f) float32, named by `feature_names`.
    """
    if len(images) == 0:
        return np.empty((0, len(feature_names(images.shape[-1]))), np.float32)
    found = []
    for k in range(0, len(images), _CHUNK):
        measured = _measured(images[k : k + _CHUNK])
        found.append(np.concatenate(list(measured.values()), axis=1).astype(np.float32))
    return np.concatenate(found)


#: Oriented gradients: cells on a side of a stamp, cells on a side of a block, directions.
_CELLS, _BLOCK, _DIRECTIONS = 6, 2, 8


def oriented_gradients(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (Dalal & Triggs 2005) of stamps (n, side, side, channels).

    Of the mean of the channels, in 6 x 6 cells and 8 directions, normalised over blocks of 2 x 2
    cells: how light is arranged, whatever its brightness.

    Returns:
        (n, f) float32; n may be 0.
    """
    from skimage.feature import hog

    side = images.shape[1]
    options: Any = {
        "orientations": _DIRECTIONS,
        "pixels_per_cell": (max(side // _CELLS, 1),) * 2,
        "cells_per_block": (_BLOCK, _BLOCK),
    }
    # One more than there are, so that no stamp at all has features too.
    planes = [*images.mean(axis=-1, dtype=np.float64), np.zeros((side, side))]
    return np.stack([hog(plane, **options) for plane in planes])[:-1].astype(np.float32)


def feature_names(channels: int) -> list[str]:
    """Name the features of stamps with so many channels."""
    measured = _measured(np.zeros((1, 16, 16, channels)))
    return [
        name if values.shape[1] == 1 else f"{name}_{k}"
        for name, values in measured.items()
        for k in range(values.shape[1])
    ]


def _measured(images: np.ndarray) -> dict[str, np.ndarray]:
    """Measure all planes; every value is (n, some)."""
    side, channels = images.shape[2:]
    planes = images.astype(np.float64)
    if channels > 1:
        planes = np.concatenate([planes.mean(axis=-1, keepdims=True), planes], axis=-1)
    planes = np.moveaxis(planes, -1, 1)
    noise = _subtract_background(planes)
    found = {"noise": np.arcsinh(noise), "brightness": np.arcsinh(planes.sum(axis=(2, 3)))}
    # From here on in units of the brightest pixel; a flat stamp stays flat.
    unit = np.abs(planes[:, 0]).max(axis=(1, 2))
    unit[unit == 0] = 1.0
    planes /= unit[:, None, None, None]
    grid = _Grid(side)
    whole = planes[:, 0]
    segment = _segments(whole, noise[:, 0] / unit)
    profiles = np.stack([grid.profile(planes[:, k]) for k in range(planes.shape[1])], axis=1)
    for k in range(1, planes.shape[1] - 1):
        # Colours, as differences over sums: a flux may be 0.
        found[f"colour{k}"] = _contrast(profiles[:, k], profiles[:, k + 1])
    own = {
        **_sizes(grid, whole, segment),
        "peak": _ratio(whole.max(axis=(1, 2)), whole.sum(axis=(1, 2)))[:, None],
        "profile": _ratio(profiles[:, 0], profiles[:, 0].max(axis=1, keepdims=True)),
        "angular": grid.amplitudes(whole),
        **_gini_m20(grid, whole, segment),
        **_roughness(whole, segment),
    }
    for k in range(planes.shape[1]):
        name = f"asymmetry{k}"
        own[name] = np.stack([_asymmetry(planes[:, k], segment, t) for t in (2, 1)], axis=1)
    return found | own


def _subtract_background(planes: np.ndarray) -> np.ndarray:
    """Subtract the median of the border in place; return its standard deviation, (n, planes).

    The deviation is robust: from the median of absolute deviations.
    """
    width = max(1, planes.shape[-1] // 16)
    inside = np.zeros(planes.shape[-2:], bool)
    inside[width:-width, width:-width] = True
    border = planes[..., ~inside]
    level = np.median(border, axis=-1)
    planes -= level[..., None, None]
    return 1.4826 * np.median(np.abs(border - level[..., None]), axis=-1)


def _segments(images: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Mark the pixels of the object at the centre, (n, side, side) bool: never none.

    These are the smoothed pixels above three deviations of the border, and above a twentieth of the
    brightest near the centre, that are connected with that one.
    """
    side = images.shape[-1]
    smooth = ndimage.uniform_filter(images, (0, 3, 3))
    near = slice(side // 2 - max(1, side // 16), (side + 1) // 2 + max(1, side // 16))
    masks = np.zeros(images.shape, bool)
    for mask, image, sigma in zip(masks, smooth, noise, strict=True):
        core = image[near, near]
        bright = image > max(3 * sigma, 0.05 * core.max())
        y, x = np.unravel_index(core.argmax(), core.shape)
        labels, _ = ndimage.label(bright, np.ones((3, 3)))
        label = labels[near.start + y, near.start + x]
        mask[:] = labels == label if label else False
        mask[near, near] |= not label
    return masks


class _Grid:
    """Distances and angles from the centre of square stamps."""

    def __init__(self, side: int) -> None:
        self.y, self.x = (np.indices((side, side)) - (side - 1) / 2) / side
        self.radius = np.hypot(self.y, self.x)
        # Annuli of equal width out to the border; the corners belong to none.
        number = np.minimum((self.radius * 2 * ANNULI).astype(int), ANNULI)
        counts = np.maximum(np.bincount(number.ravel(), minlength=ANNULI + 1), 1)
        one = number.reshape(-1, 1) == np.arange(ANNULI)
        self._annuli = one / counts[:ANNULI]
        ring = np.minimum((self.radius * 2 * (RINGS + 1)).astype(int), RINGS).reshape(-1, 1)
        angle = np.arctan2(self.y, self.x).reshape(-1, 1)
        self._rings = [ring == k for k in range(RINGS)]
        self._waves = [np.exp(1j * m * angle) for m in ORDERS]
        self.order = np.argsort(self.radius.ravel(), kind="stable")

    def profile(self, images: np.ndarray) -> np.ndarray:
        """Mean brightness in the annuli, (n, annuli)."""
        return images.reshape(len(images), -1) @ self._annuli

    def amplitudes(self, images: np.ndarray) -> np.ndarray:
        """Amplitudes of the angular moments in the rings over their flux, (n, rings x orders)."""
        flat = images.reshape(len(images), -1)
        found = []
        for ring in self._rings:
            flux = np.abs(flat @ ring[:, 0])
            found += [_ratio(np.abs(flat @ (ring * wave)[:, 0]), flux) for wave in self._waves]
        return np.minimum(np.stack(found, axis=1), 1.0)


def _sizes(grid: _Grid, images: np.ndarray, segment: np.ndarray) -> dict[str, np.ndarray]:
    """Area, shape from second moments, and radii of the growth of the flux in the segment."""
    light = np.where(segment, np.maximum(images, 0), 0)
    flux = light.sum(axis=(1, 2))
    y, x = (_ratio((light * axis).sum(axis=(1, 2)), flux) for axis in (grid.y, grid.x))
    dy, dx = grid.y - y[:, None, None], grid.x - x[:, None, None]
    yy, xx, xy = (
        _ratio((light * one).sum(axis=(1, 2)), flux) for one in (dy * dy, dx * dx, dy * dx)
    )
    mean, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    growth = np.cumsum(light.reshape(len(light), -1)[:, grid.order], axis=1)
    radii = grid.radius.ravel()[grid.order]
    # Half a pixel more: of a point all light is in the first one.
    part = [
        radii[np.argmax(growth >= share * growth[:, -1:], axis=1)] + 0.5 / images.shape[-1]
        for share in (0.2, 0.5, 0.8)
    ]
    return {
        "area": np.sqrt(segment.mean(axis=(1, 2)))[:, None],
        "size": np.sqrt(mean)[:, None],
        "axis_ratio": np.sqrt(_ratio(np.maximum(mean - half, 0), mean + half))[:, None],
        "offset": np.hypot(y, x)[:, None],
        "half_light_radius": part[1][:, None],
        "concentration": np.log10(part[2] / part[0])[:, None],
    }


def _gini_m20(grid: _Grid, images: np.ndarray, segment: np.ndarray) -> dict[str, np.ndarray]:
    gini, m20 = np.zeros((2, len(images), 1))
    for k, (image, mask) in enumerate(zip(images, segment, strict=True)):
        values, y, x = np.maximum(image[mask], 0), grid.y[mask], grid.x[mask]
        total = max(values.sum(), _TINY)
        ordered = np.sort(values)
        count = len(values)
        ranks = 2 * np.arange(1, count + 1) - count - 1
        gini[k] = (ranks * ordered).sum() / (total * max(count - 1, 1))
        y0, x0 = (values * y).sum() / total, (values * x).sum() / total
        moments = values * ((y - y0) ** 2 + (x - x0) ** 2)
        # Of equally bright pixels the inner ones first, however the stamp is turned.
        order = np.lexsort((moments, -values))
        brightest = np.cumsum(values[order]) <= 0.2 * total
        brightest[0] = True
        m20[k] = np.log10((moments[order][brightest].sum() + _TINY) / (moments.sum() + _TINY))
    return {"gini": gini, "m20": m20}


def _roughness(images: np.ndarray, segment: np.ndarray) -> dict[str, np.ndarray]:
    """Light that smoothing over three and seven pixels removes, over the light in the segment."""
    light = np.where(segment, np.abs(images), 0).sum(axis=(1, 2))
    smooth = [ndimage.uniform_filter(images, (0, size, size)) for size in (1, 3, 7)]
    parts = [
        _ratio(np.where(segment, np.abs(a - b), 0).sum(axis=(1, 2)), light)
        for a, b in itertools.pairwise(smooth)
    ]
    return {"roughness": np.stack(parts, axis=1)}


def _asymmetry(images: np.ndarray, segment: np.ndarray, turns: int) -> np.ndarray:
    """Absolute difference from the stamp turned by quarter turns, over the light, in the segment.

    The segment is made symmetric, so that no light counts on one side alone.
    """
    masks = segment.copy()
    for k in (1, 2, 3):
        masks |= np.rot90(segment, k, axes=(1, 2))
    difference = np.abs(images - np.rot90(images, turns, axes=(1, 2)))
    light = np.where(masks, np.abs(images), 0).sum(axis=(1, 2))
    return _ratio(np.where(masks, difference, 0).sum(axis=(1, 2)) / 2, light)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; what has no light gives 0, and noise no more than a hundred."""
    safe = np.where(np.abs(below) > _TINY, below, 1.0)
    return np.clip(np.where(np.abs(below) > _TINY, above / safe, 0.0), -100.0, 100.0)


def _contrast(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return _ratio(second - first, np.abs(second) + np.abs(first))


#: What an estimator reads instead of pixels, by name.
INPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "simple": image_features,
    "hog": oriented_gradients,
}
