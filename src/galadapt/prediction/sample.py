"""The stamps of some objects, once more: for drawing and fitting them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from photutils.segmentation import detect_sources
from photutils.utils.exceptions import NoDetectionsWarning
from scipy.ndimage import binary_dilation, gaussian_filter

from galadapt.extraction.cutouts import Stamp
from galadapt.extraction.neighbours import central_label
from galadapt.prediction.task import Task

#: Smoothing before the segmentation and growth of the neighbours' mask [px].
_SMOOTHING, _GROWTH = 1.2, 3


@dataclass(frozen=True)
class Shape:
    """What moments say of a stamp's central source: where to start a fit.

    Attributes:
        position_angle: [deg] from +y, counter-clockwise.
        neighbours: Pixels that belong to other sources (S, S).
    """

    position_angle: float
    neighbours: np.ndarray


def stamps_of(task: Task, rows: np.ndarray) -> dict[int, Stamp]:
    """Cut out some objects of a task, each from the first field that gives a stamp."""
    found: dict[int, Stamp] = {}
    for field in task.fields:
        left = np.array([row for row in rows.tolist() if row not in found], int)
        for batch in field.stamps(task.objects, left):
            for row, one in zip(batch.rows.tolist(), batch.judged, strict=True):
                if isinstance(one, Stamp) and np.isfinite(one.pixels).all():
                    found[row] = one
    return found


def shape_of(stamp: Stamp, threshold: float, area: int) -> Shape:
    """Segment a stamp and take the second moments of its central source.

    Args:
        stamp: The stamp.
        threshold: Of the segmentation [sigma].
        area: Smallest segment [px].
    """
    side = len(stamp.pixels)
    smooth = gaussian_filter(stamp.pixels, _SMOOTHING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        found = detect_sources(smooth, threshold * stamp.local_rms, area)
    if found is None:
        return Shape(0.0, np.zeros(stamp.pixels.shape, bool))
    segments = found.data
    centre = ((side - 1) / 2 + stamp.x_offset, (side - 1) / 2 + stamp.y_offset)
    label = central_label(segments, smooth, centre)
    own = segments == label if label else np.zeros(segments.shape, bool)
    others = binary_dilation((segments > 0) & ~own, iterations=_GROWTH) & ~own
    if not own.any():
        return Shape(0.0, others)
    y, x = np.nonzero(own)
    light = np.clip(smooth[own], 0, None)
    dx, dy = x - centre[0], y - centre[1]
    xx, yy, xy = ((light * product).sum() for product in (dx * dx, dy * dy, dx * dy))
    # Orientation of the major axis from +x, then from +y.
    angle = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) - 90
    return Shape(float((angle + 90) % 180 - 90), others)
