"""Stamps of detected stars: cut, or left out with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from galadapt.tasks.stars.detection import PROPERTIES, Found
from galadapt.tasks.stars.frames import Frame
from galadapt.tasks.stars.fwhm import fit_fwhm
from galadapt.tasks.stars.settings import StarDetection

#: Why a star has no stamp, in the order of the checks; and the meaning of the value beside it.
REASONS = {
    "border": "pixels by which the box reaches beyond the border",
    "bad_pixels": "pixels without a value in the box",
    "saturated": "saturated pixels in the core",
    "overlap": "stars whose boxes overlap with this one's",
    "fit_failed": "always 1",
}


@dataclass(frozen=True)
class Cut:
    """Stars of one frame that have a stamp, and those that have none."""

    #: `PROPERTIES` (photutils' units, ADU), sky [ADU], noise [ADU], saturated, fit_failed, fwhm
    #: [px] and fwhm_arcsec, the brightest first.
    stars: pd.DataFrame
    stamps: np.ndarray  #: (N, size, size) float32 [ADU]; pixel (size / 2, size / 2): the centroid
    rejected: pd.DataFrame  #: x_centroid, y_centroid, reason, value


def cut(frame: Frame, found: Found, detection: StarDetection) -> Cut:
    """Cut the stamps of one frame.

    Stars are left out in the order of `REASONS`; boxes of those left out overlap with none.
    """
    size = detection.stamp_size
    stars = found.stars.copy()
    ny, nx = frame.pixels.shape
    left, bottom = (
        np.floor(stars[f"{axis}_centroid"].to_numpy(float) + 0.5).astype(int) - size // 2
        for axis in "xy"
    )
    boxes = [_box(*corner, size) for corner in zip(bottom, left, strict=True)]
    marks_only = {"saturated", "fit_failed"} - set(detection.reject)
    rejecting = [name for name in REASONS if name not in marks_only]
    value = {name: np.zeros(len(stars)) for name in REASONS}

    def failing() -> np.ndarray:
        """Which checks (of `rejecting`) each star fails so far (checks, N)."""
        return np.array([value[name] > 0 for name in rejecting])

    def kept() -> np.ndarray:
        return np.flatnonzero(~failing().any(axis=0))

    beyond = np.max([-left, left + size - nx, -bottom, bottom + size - ny], axis=0)
    value["border"] = np.maximum(beyond + detection.border, 0).astype(float)
    third = size // 3
    for star in kept():
        value["bad_pixels"][star] = frame.bad[boxes[star]].sum()
        # The central third: a saturated neighbour does not make a star saturated.
        core = _box(bottom[star] + third, left[star] + third, size - 2 * third)
        value["saturated"][star] = frame.saturated[core].sum()
    here = kept()
    value["overlap"][here] = _overlaps(left[here], bottom[here], size, detection.overlap)
    here = kept()
    # A defocused star fills its box; a larger box around a star with one peak adds neighbours.
    guess = size / 5 if found.detector == "segmentation" else found.fwhm
    width = np.full(len(stars), np.nan)
    width[here] = fit_fwhm(frame, stars.iloc[here], guess, size)
    value["fit_failed"][here] = np.isnan(width[here])
    stars["noise"] = frame.noise
    stars["saturated"], stars["fit_failed"] = value["saturated"] > 0, value["fit_failed"] > 0
    stars["fwhm"], stars["fwhm_arcsec"] = width, width * frame.pixel_scale
    here = kept()
    stamps = np.array([frame.pixels[boxes[star]] for star in here], np.float32)
    chosen = stars.iloc[here].reset_index(drop=True)
    chosen["sky"] = [float(np.median(frame.sky[boxes[star]])) for star in here]
    measured = ["sky", "noise", "saturated", "fit_failed", "fwhm", "fwhm_arcsec"]
    fails = failing()
    out = np.flatnonzero(fails.any(axis=0))
    reasons = [rejecting[first] for first in fails[:, out].argmax(axis=0)]
    rejected = stars.iloc[out][["x_centroid", "y_centroid"]].assign(
        reason=reasons,
        value=[value[name][star] for name, star in zip(reasons, out, strict=True)],
    )
    return Cut(chosen[[*PROPERTIES, *measured]], stamps.reshape(-1, size, size), rejected)


def _box(row: int, column: int, size: int) -> tuple[slice, slice]:
    return slice(row, row + size), slice(column, column + size)


def _overlaps(left: np.ndarray, bottom: np.ndarray, size: int, rule: str) -> np.ndarray:
    """Number of overlapping boxes for which each one is left out, by a rule of `overlap`.

    `left` and `bottom` are the first column and row of each box (N,), the brightest star first.
    """
    counts = np.zeros(len(left))
    if rule == "keep" or len(left) < 2:
        return counts
    # Boxes overlap when neither coordinate differs by the side or more.
    places = np.stack([left, bottom], axis=1)
    pairs = cKDTree(places).query_pairs(size - 0.5, p=np.inf, output_type="ndarray")
    if rule == "drop_all":
        return np.bincount(pairs.ravel(), minlength=len(left)).astype(float)
    pairs.sort(axis=1)
    gone = np.zeros(len(left), bool)
    for brighter, fainter in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if not gone[brighter]:
            gone[fainter] = True
            counts[fainter] += 1
    return counts
