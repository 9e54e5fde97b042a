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
    beyond = np.max([-left, left + size - nx, -bottom, bottom + size - ny], axis=0)
    boxes = list(zip(bottom, left, strict=True))
    value: dict[str, np.ndarray] = {name: np.zeros(len(stars)) for name in REASONS}
    value["border"] = np.maximum(beyond + detection.border, 0).astype(float)
    inside = np.flatnonzero(value["border"] == 0)
    for star in inside:
        box = _box(boxes[star], size)
        value["bad_pixels"][star] = frame.bad[box].sum()
        value["saturated"][star] = frame.saturated[_core(boxes[star], size)].sum()
    stars["saturated"] = value["saturated"] > 0
    leaves = (value["border"] > 0) | (value["bad_pixels"] > 0)
    if "saturated" in detection.reject:
        leaves |= value["saturated"] > 0
    left_here = np.flatnonzero(~leaves)
    value["overlap"][left_here] = _overlaps(
        left[left_here], bottom[left_here], size, detection.overlap
    )
    leaves |= value["overlap"] > 0
    width = np.full(len(stars), np.nan)
    kept = np.flatnonzero(~leaves)
    # A defocused star fills its box; a larger box around a star with one peak adds neighbours.
    guess = size / 5 if found.detector == "segmentation" else found.fwhm
    width[kept] = fit_fwhm(frame, stars.iloc[kept], guess, size)
    value["fit_failed"][kept] = np.isnan(width[kept])
    stars["fit_failed"] = value["fit_failed"] > 0
    if "fit_failed" in detection.reject:
        leaves |= value["fit_failed"] > 0
    stars["fwhm"], stars["fwhm_arcsec"] = width, width * frame.pixel_scale
    stars["noise"] = frame.noise
    kept = np.flatnonzero(~leaves)
    stamps = np.array([frame.pixels[_box(boxes[star], size)] for star in kept], np.float32)
    chosen = stars.iloc[kept].reset_index(drop=True)
    chosen["sky"] = [float(np.median(frame.sky[_box(boxes[star], size)])) for star in kept]
    measured = ["sky", "noise", "saturated", "fit_failed", "fwhm", "fwhm_arcsec"]
    return Cut(
        chosen[[*PROPERTIES, *measured]],
        stamps.reshape(-1, size, size),
        _rejected(stars, leaves, value, detection),
    )


def _box(corner: tuple[int, int], size: int) -> tuple[slice, slice]:
    row, column = corner
    return slice(row, row + size), slice(column, column + size)


def _core(corner: tuple[int, int], size: int) -> tuple[slice, slice]:
    """Central third of a box: a saturated neighbour does not make a star saturated."""
    return _box((corner[0] + size // 3, corner[1] + size // 3), size - 2 * (size // 3))


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


def _rejected(
    stars: pd.DataFrame,
    leaves: np.ndarray,
    value: dict[str, np.ndarray],
    detection: StarDetection,
) -> pd.DataFrame:
    marks_only = {"saturated", "fit_failed"} - set(detection.reject)
    rows = []
    for star in np.flatnonzero(leaves):
        reason = next(name for name in REASONS if name not in marks_only and value[name][star] > 0)
        place = stars[["x_centroid", "y_centroid"]].iloc[star]
        rows.append({**place, "reason": reason, "value": value[reason][star]})
    return pd.DataFrame(rows, columns=["x_centroid", "y_centroid", "reason", "value"])
