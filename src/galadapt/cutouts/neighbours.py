"""Deblend a stamp and mask neighbours.

Arrays are stamps (S, S), background-subtracted: `smooth` is smoothed, `own` the pixels of the
central segment; `centre` is the position (x, y) of the object [px], `rms` the noise of a pixel.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning
from photutils.segmentation import SegmentationImage, deblend_sources, detect_sources
from photutils.utils.exceptions import NoDetectionsWarning
from scipy.ndimage import binary_dilation, gaussian_filter, label, maximum_filter

from galadapt.config.survey import Extraction
from galadapt.core.random import generator

CENTRE_RADIUS = 3.0  #: a source may sit this far from its catalogue position [px]
_GROWTH = 3  #: growth of a masked neighbour [px]: its wings below the detection threshold
_EMPTY_GROWTH = 6  #: distance of empty pixels from a source [px]
_SMOOTHING = 1.2  #: smoothing before a lone stamp is segmented [px]
_CONTRAST = 0.005  #: share of a segment's flux a part of it needs to count as a source of its own
_FILL = 1  #: random stream purpose


def distance(shape: tuple[int, ...], centre: tuple[float, float]) -> np.ndarray:
    """Distance of each pixel from `centre` (x, y) [px]."""
    return np.hypot(np.arange(shape[1]) - centre[0], (np.arange(shape[0]) - centre[1])[:, None])


def central_label(segments: np.ndarray, smooth: np.ndarray, centre: tuple[float, float]) -> int:
    """Label under the centre, else that of the brightest detected pixel close to it, else 0."""
    found = int(segments[round(centre[1]), round(centre[0])])
    if found:
        return found
    near = (distance(segments.shape, centre) <= CENTRE_RADIUS) & (segments > 0)
    if not near.any():
        return 0
    return int(segments[near][np.argmax(smooth[near])])


def blended_pixels(
    smooth: np.ndarray, own: np.ndarray, centre: tuple[float, float], rms: float
) -> np.ndarray:
    """Pixels of the central segment with the light of another source.

    These have no counterpart on the other side of the centre: the image there is more than
    twice, and three sigma above, itself turned by 180 degrees (the symmetry the SDSS deblender
    uses; Lupton et al. 2001).
    """
    excess = smooth - np.clip(turned(smooth, centre, np.float32(np.inf)), 0, None)
    return own & (excess > 3 * rms) & (excess > smooth / 2)


def turned(image: np.ndarray, centre: tuple[float, float], beyond: Any) -> np.ndarray:
    """Turn a stamp by 180 degrees about `centre` (x, y), rounded to half a pixel.

    Pixels whose counterpart lies outside the stamp become `beyond`.
    """
    result = np.full_like(image, beyond)
    # Turning about half-integer points keeps pixels whole.
    (to_y, from_y), (to_x, from_x) = (
        _overlap(round(2 * middle), length)
        for middle, length in zip(centre[::-1], image.shape, strict=True)
    )
    result[to_y, to_x] = image[from_y, from_x][::-1, ::-1]
    return result


def _overlap(total: int, length: int) -> tuple[slice, slice]:
    """Pixels k of an axis with total - k on it too, and the slice of those opposite."""
    low, high = max(total - length + 1, 0), min(total, length - 1)
    return slice(low, high + 1), slice(total - high, total - low + 1)


def deblended(
    smooth: np.ndarray, own: np.ndarray, centre: tuple[float, float], area: int
) -> np.ndarray:
    """Cut a blended central segment in parts of at least `area` px; the one under the centre."""
    # The stamp may cut a segment in pieces that only touch outside of it.
    pieces, _ = label(own, np.ones((3, 3), bool))
    piece = pieces == central_label(pieces, smooth, centre)
    with warnings.catch_warnings():
        # Of thresholds spaced otherwise because a pixel is negative.
        warnings.simplefilter("ignore", AstropyUserWarning)
        parts = deblend_sources(
            smooth,
            SegmentationImage(piece.astype(np.int32)),
            area,
            contrast=_CONTRAST,
            progress_bar=False,
        ).data
    return parts == central_label(parts, smooth, centre)


def without_neighbours(
    pixels: np.ndarray,
    own: np.ndarray,
    others: np.ndarray,
    empty: np.ndarray,
    centre: tuple[float, float],
    rms: float,
    key: tuple[int, int],
) -> np.ndarray:
    """Replace neighbours by the pixels on the other side of the object.

    Those contain the object's own wings, if it extends so far, and real noise. (Sky alone would cut
    pieces out of large galaxies.) Where the other side is masked too, or outside the stamp, it
    is noise with the scatter and, to the nearest pixel along each axis, the correlation of empty
    pixels. White noise is convolved with (a, 1, a), whose lag-1 correlation is 2 a / (1 + 2 a^2).

    The object's `own` pixels are never replaced, the surroundings of `others` are; `empty` pixels
    have no source. `key` is the stamp's position on the mosaic (row, column), the key of its noise.
    """
    masked = maximum_filter(others, 2 * _GROWTH + 1) & ~own
    if not masked.any():
        return pixels
    mirrored = ~turned(masked, centre, True)
    rng = generator(key[0], _FILL, key[1])
    noise = rng.standard_normal([length + 2 for length in pixels.shape])
    for axis in (0, 1):
        wing = _wing(np.moveaxis(pixels, axis, 0), np.moveaxis(empty, axis, 0))
        noise = np.moveaxis(noise, axis, 0)
        noise = wing * (noise[:-2] + noise[2:]) + noise[1:-1]
        noise = np.moveaxis(noise / np.sqrt(1 + 2 * wing**2), 0, axis)
    filling = np.where(mirrored, turned(pixels, centre, 0), rms * noise)
    return np.where(masked, filling, pixels).astype(np.float32)


def _wing(pixels: np.ndarray, empty: np.ndarray) -> float:
    """Wing of the kernel (a, 1, a) that gives the correlation of neighbouring rows."""
    pairs = empty[:-1] & empty[1:]
    if pairs.sum() < 50:
        return 0.0
    first, second = pixels[:-1][pairs].astype(float), pixels[1:][pairs].astype(float)
    scatter = first.std() * second.std()
    if not scatter > 0:
        return 0.0
    lag = ((first - first.mean()) * (second - second.mean())).mean() / scatter
    lag = float(np.clip(lag, 0.0, 0.7))
    return (1 - np.sqrt(1 - 2 * lag**2)) / (2 * lag) if lag > 0.01 else 0.0


class Shape(NamedTuple):
    """Moments of a stamp's central source, to start a fit from."""

    position_angle: float  #: [deg] from +y, counter-clockwise
    neighbours: np.ndarray  #: pixels that belong to other sources (S, S)
    own: np.ndarray  #: pixels of the central source (S, S)
    empty: np.ndarray  #: pixels apart from all sources (S, S)


def shape_of(
    pixels: np.ndarray, rms: float, offset: tuple[float, float], extraction: Extraction
) -> Shape:
    """Segment a background-subtracted stamp (S, S) and take the moments of its central source.

    `rms` is the noise of a pixel, `offset` the galaxy's position (x, y) from the stamp's centre
    [px].
    """
    smooth = gaussian_filter(pixels, _SMOOTHING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        found = detect_sources(
            smooth, extraction.detection_threshold * rms, extraction.detection_area
        )
    if found is None:
        nothing = np.zeros(pixels.shape, bool)
        return Shape(0.0, nothing, nothing, ~nothing)
    segments = found.data
    middle = (len(pixels) - 1) / 2
    centre = middle + offset[0], middle + offset[1]
    central = central_label(segments, smooth, centre)
    own = segments == central if central else np.zeros(segments.shape, bool)
    others = binary_dilation((segments > 0) & ~own, iterations=_GROWTH) & ~own
    empty = ~binary_dilation(segments > 0, iterations=_EMPTY_GROWTH)
    if not own.any():
        return Shape(0.0, others, own, empty)
    y, x = np.nonzero(own)
    light = np.clip(smooth[own], 0, None)
    dx, dy = x - centre[0], y - centre[1]
    xx, yy, xy = ((light * product).sum() for product in (dx * dx, dy * dy, dx * dy))
    # Orientation of the major axis from +x, then from +y.
    angle = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) - 90
    return Shape(float((angle + 90) % 180 - 90), others, own, empty)
