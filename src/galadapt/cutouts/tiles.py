"""The mosaic in pieces: each read once, its background fitted and its sources segmented.

The grid of tiles is fixed, and a tile and its margin are whole meshes of the background: what is
measured of an object depends only on the mosaic and the settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from photutils.background import Background2D
from scipy.ndimage import gaussian_filter, label, maximum_filter, median_filter, zoom

from galadapt.config.survey import Extraction

_TILE = 2304  #: side of a tile without its margin, at most [px]

#: Smoothing before detection [px]: a little less than the PSF's sigma keeps close pairs apart.
_SMOOTHING = 1.2

#: Growth of the source mask for the background [px]: wings below the detection threshold.
_GROWTH = 6


class Pixels(Protocol):
    """The part of a mosaic (`galadapt.sky.Mosaic`) that is used here."""

    shape: tuple[int, int]  #: rows and columns
    pixel_scale: float  #: [arcsec/px]; NaN when unknown

    def read(self, y0: int, y1: int, x0: int, x1: int) -> tuple[np.ndarray, np.ndarray]:
        """Read data and weight of a box."""


@dataclass(frozen=True)
class Tile:
    """A piece of the mosaic whose first pixel is (x, y); all arrays have its shape."""

    x: int
    y: int
    raw: np.ndarray  #: pixels as they are [image unit]; 0 where `bad`
    data: np.ndarray  #: the same without the background; 0 where `bad`
    smooth: np.ndarray  #: `data`, smoothed as for detection
    rms: np.ndarray  #: noise per pixel, from the weight; 0 where `bad`
    bad: np.ndarray  #: no data or no weight
    segments: np.ndarray  #: label of the source a pixel belongs to, or 0
    sources: np.ndarray  #: within `_GROWTH` pixels of a source


def side(extraction: Extraction) -> int:
    """Side of a tile [px]: a whole number of background meshes."""
    return extraction.background_box * max(_TILE // extraction.background_box, 1)


def margin(size: int, extraction: Extraction) -> int:
    """Pixels read around a tile: half a stamp and its surroundings, in whole meshes."""
    box = extraction.background_box
    return box * -(-(size // 2 + 1 + max(box, size // 8 + 8)) // box)


def read_tile(mosaic: Pixels, line: int, column: int, size: int, extraction: Extraction) -> Tile:
    """Read one tile with its margin, fit its background and segment its sources.

    `line` and `column` are its place among the tiles, `size` is the side of a stamp [px].
    """
    ny, nx = mosaic.shape
    length, edge = side(extraction), margin(size, extraction)
    x0, y0 = max(column * length - edge, 0), max(line * length - edge, 0)
    y1, x1 = min((line + 1) * length + edge, ny), min((column + 1) * length + edge, nx)
    return segmented(*mosaic.read(y0, y1, x0, x1), x0, y0, extraction)


def segmented(
    raw: np.ndarray, weight: np.ndarray, x0: int, y0: int, extraction: Extraction
) -> Tile:
    """Fit the background of a piece of an image and segment its sources.

    `raw` and `weight` (ny, nx) are what `Pixels.read` gives, (x0, y0) is the first pixel's place.
    """
    bad = ~(weight > 0) | ~np.isfinite(weight) | ~np.isfinite(raw)
    if bad.any():
        raw, weight = np.where(bad, np.float32(0), raw), np.where(bad, np.float32(1), weight)
    if bad.all():
        segments = np.zeros(raw.shape, np.int32)
        return Tile(x0, y0, raw, raw, raw, raw, bad, segments, bad)
    rms = 1 / np.sqrt(weight)
    rms[bad] = 0
    # Sources bias the background and the background biases the sources: two rounds settle both.
    sources = np.zeros(raw.shape, bool)
    for draft in (True, False):
        data = raw - background(raw, sources, bad, extraction.background_box, draft)
        data[bad] = 0
        smooth = gaussian_filter(data, _SMOOTHING)
        segments = _segments(smooth > extraction.detection_threshold * rms, bad, extraction)
        sources = maximum_filter(segments > 0, 2 * _GROWTH + 1)
    return Tile(x0, y0, raw, data, smooth, rms, bad, segments, sources)


def background(
    data: np.ndarray, sources: np.ndarray, bad: np.ndarray, box: int, draft: bool = False
) -> np.ndarray:
    """Fit a smooth background, float32 (ny, nx): photutils' meshes, spread by cubic splines.

    Pixels with light of `sources` and `bad` ones, without data, are left out. `box` is the side of
    a mesh [px]. A draft uses every other row and column only, where meshes can be halved.
    """
    box = min(box, *data.shape)
    step = 2 if draft and box % 2 == 0 else 1
    seen = np.s_[::step, ::step]
    light, no_data = sources[seen], bad[seen]
    # A mesh of mostly masked pixels is filled in from its neighbours, or if there are none...
    for allowed in (80.0, 100.0):
        try:
            meshes = Background2D(
                data[seen],
                box // step,
                mask=light if light.any() else None,
                coverage_mask=no_data if no_data.any() else None,
                exclude_percentile=allowed,
                filter_size=1,
            ).background_mesh
        except ValueError:
            continue
        # Photutils' own 3 x 3 filter takes as long as the rest together.
        return _spread(median_filter(np.atleast_2d(meshes), 3, mode="nearest"), box, data.shape)
    # ...as in a tile nearly all sources or nearly all empty, one number has to do.
    empty = ~bad & ~sources
    return np.full(data.shape, np.median(data[empty] if empty.any() else data[~bad]), np.float32)


def _spread(meshes: np.ndarray, box: int, shape: tuple[int, ...]) -> np.ndarray:
    """Photutils' zoom of the meshes as two matrix products: a tenth of its time."""
    rows, columns = (
        _spline(count, box)[:length] for count, length in zip(meshes.shape, shape, strict=True)
    )
    return (rows @ meshes @ columns.T).astype(np.float32)


@lru_cache(maxsize=16)
def _spline(count: int, box: int) -> np.ndarray:
    """Cubic spline weights (count * box, count) of each mesh at each pixel of an axis."""
    if count == 1:
        return np.ones((box, 1))
    return np.stack(
        [zoom(unit, box, order=3, mode="reflect", grid_mode=True) for unit in np.eye(count)], axis=1
    )


def _segments(above: np.ndarray, bad: np.ndarray, extraction: Extraction) -> np.ndarray:
    """Connected pixels (8 neighbours), labelled, without groups below the detection area."""
    labels, _ = label(above & ~bad, np.ones((3, 3), bool), output=np.int32)
    labels[np.bincount(labels.ravel())[labels] < extraction.detection_area] = 0
    return labels


def tiles_of(
    x: np.ndarray, y: np.ndarray, rows: np.ndarray, extraction: Extraction
) -> Iterable[tuple[int, int, np.ndarray]]:
    """Group some rows of positions [px], inside the mosaic, by the tile they fall in.

    Yields:
        Line and column of a tile, and the rows whose centres lie in it, in their order.
    """
    length = side(extraction)
    places = np.stack([np.maximum(y[rows], 0), np.maximum(x[rows], 0)], axis=1).astype(int)
    found, group = np.unique(places // length, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    edges = np.searchsorted(group.ravel()[order], np.arange(len(found) + 1))
    for (line, column), start, stop in zip(found.tolist(), edges[:-1], edges[1:], strict=True):
        yield line, column, rows[order[start:stop]]
