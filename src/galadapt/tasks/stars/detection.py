"""Finding the stars of a frame, one detection each, in focus or not."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from astropy.stats import gaussian_fwhm_to_sigma, sigma_clipped_stats
from photutils.detection import DAOStarFinder
from photutils.segmentation import SourceCatalog, detect_sources
from photutils.utils.exceptions import NoDetectionsWarning
from scipy.ndimage import gaussian_filter

from galadapt.core.photometry import magnitude_of
from galadapt.tasks.stars.frames import Frame
from galadapt.tasks.stars.settings import StarDetection

#: What is measured of a star, by photutils' names; NaN where its detector does not measure it.
PROPERTIES = (
    *("x_centroid", "y_centroid", "sharpness", "roundness1", "roundness2"),
    *("n_pixels", "peak", "flux", "mag"),
)

_NONE = pd.DataFrame(columns=list(PROPERTIES), dtype=float)  #: a frame without a star
_NARROWEST = 1.5  #: DAOStarFinder needs a kernel that pixels can sample [px]
_MEAN_OF = 25  #: as many of the brightest stars make the mean star


@dataclass(frozen=True)
class Found:
    """Stars of a frame and how they were found."""

    stars: pd.DataFrame  #: `PROPERTIES`, the brightest first
    detector: str  #: "daofind" or "segmentation"
    threshold: float  #: of the last try [sigma]
    fwhm: float  #: of the last try [px]
    tries: int
    hollowness: float = math.nan  #: centre of the mean star over its brightest ring, if measured


def find_stars(frame: Frame, detection: StarDetection) -> Found:
    """Find stars; with fewer than `min_stars` lower the threshold and try again.

    With detector auto the stars are first found as connected pixels of the smoothed frame. Where
    the median of (centre / brightest ring) of the brightest shows hollow images, these are kept as
    found; elsewhere DAOStarFinder looks again. Of its peaks those count that show in the smoothed
    frame too, at threshold_floor: others are noise or bad pixels. Where fewer than min_stars are
    left, what was found first is kept.
    """
    if detection.detector == "daofind":
        return _retried(frame, detection, "daofind", None)
    smooth = _smoothed(frame, detection)
    segments = _retried(frame, detection, "segmentation", smooth)
    if detection.detector == "segmentation":
        return segments
    ratio = hollowness(frame, segments.stars, detection.stamp_size // 2)
    if ratio < detection.hollow:
        return replace(segments, hollowness=ratio)
    peaks = _retried(frame, detection, "daofind", smooth)
    few = len(peaks.stars) < min(detection.min_stars, len(segments.stars))
    return replace(segments if few else peaks, hollowness=ratio)


def _retried(
    frame: Frame,
    detection: StarDetection,
    detector: str,
    smooth: tuple[np.ndarray, float] | None,
) -> Found:
    threshold, fwhm, tries = detection.threshold, detection.fwhm, 1
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoDetectionsWarning)
            if detector == "segmentation":
                assert smooth is not None
                stars = _segments(frame, *smooth, threshold, detection)
            else:
                stars = _daofind(frame, threshold, fwhm)
        if detector == "daofind" and smooth is not None:
            stars = stars[_shows(stars, *smooth, detection.threshold_floor)]
        if len(stars) >= detection.min_stars or threshold <= detection.threshold_floor:
            break
        threshold = max(threshold * detection.threshold_step, detection.threshold_floor)
        fwhm = max(fwhm * detection.fwhm_step, min(_NARROWEST, fwhm))
        tries += 1
    stars = stars.sort_values(
        ["flux", "x_centroid", "y_centroid"], ascending=[False, True, True], ignore_index=True
    )
    width = detection.smoothing if detector == "segmentation" else fwhm
    return Found(stars, detector, threshold, width, tries)


def _daofind(frame: Frame, threshold: float, fwhm: float) -> pd.DataFrame:
    finder = DAOStarFinder(threshold=threshold * frame.noise, fwhm=fwhm)
    found = finder(frame.pixels, mask=frame.bad)
    return _NONE if found is None else found.to_pandas()[list(PROPERTIES)].astype(float)


def _shows(stars: pd.DataFrame, smooth: np.ndarray, noise: float, threshold: float) -> np.ndarray:
    places = np.rint(stars[["y_centroid", "x_centroid"]].to_numpy(float)).astype(int)
    row, column = np.clip(places, 0, np.array(smooth.shape) - 1).T
    return np.asarray(smooth[row, column] > threshold * noise)


def _smoothed(frame: Frame, detection: StarDetection) -> tuple[np.ndarray, float]:
    """Smoothed frame and its noise."""
    smooth = gaussian_filter(frame.pixels, detection.smoothing * gaussian_fwhm_to_sigma)
    noise = sigma_clipped_stats(smooth, mask=frame.bad, sigma=3.0, maxiters=10)[2]
    return smooth, float(noise)


def _segments(
    frame: Frame, smooth: np.ndarray, noise: float, threshold: float, detection: StarDetection
) -> pd.DataFrame:
    # Less than the kernel covers is a peak of the noise.
    least = max(math.ceil(math.pi / 4 * detection.smoothing**2 / 2), 1)
    segments = detect_sources(smooth, threshold * noise, n_pixels=least, mask=frame.bad)
    if segments is None:
        return _NONE
    catalog = SourceCatalog(frame.pixels, segments, convolved_data=smooth, mask=frame.bad)
    measured = ["x_centroid", "y_centroid", "segment_area", "max_value", "segment_flux"]
    stars = catalog.to_table(columns=measured).to_pandas()
    stars.columns = ["x_centroid", "y_centroid", "n_pixels", "peak", "flux"]
    stars["n_pixels"] = stars["n_pixels"].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        stars["mag"] = magnitude_of(stars["flux"], 0.0).where(stars["flux"] > 0)
    stars = stars.reindex(columns=list(PROPERTIES))
    return stars.dropna(subset=["x_centroid", "y_centroid"])


def hollowness(frame: Frame, stars: pd.DataFrame, radius: int) -> float:
    """Centre of the typical bright star over the brightest ring around it.
    Stars have x_centroid and y_centroid [px], the brightest first; `radius` is that of the largest
    ring [px].

    Returns:
        Median over up to 25 bright stars without saturated or missing pixels; near 1 for stars in
        focus, near 0 for open rings, NaN without such a star.
    """
    ny, nx = frame.pixels.shape
    ratios: list[float] = []
    for x, y in zip(stars["x_centroid"], stars["y_centroid"], strict=True):
        column, row = round(x), round(y)
        if not (radius <= column < nx - radius and radius <= row < ny - radius):
            continue
        box = slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1)
        if frame.bad[box].any() or frame.saturated[box].any():
            continue
        rows, columns = np.ogrid[box]
        ring = np.round(np.hypot(columns - x, rows - y)).astype(int).ravel()
        inside = ring <= radius
        light = np.bincount(ring[inside], frame.pixels[box].ravel()[inside])
        pixels = np.bincount(ring[inside])
        # One pixel is no centre: the innermost ones together, as in the rings around.
        centre = light[:2].sum() / pixels[:2].sum()
        profile = light / pixels.clip(min=1)
        brightest = max(centre, profile[2:].max())
        if brightest > 0:
            ratios.append(float(centre / brightest))
        if len(ratios) == _MEAN_OF:
            break
    return float(np.median(ratios)) if ratios else math.nan
