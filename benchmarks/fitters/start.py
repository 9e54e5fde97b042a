"""What every fitter is given for one galaxy: weights, masked neighbours and where to start.

All of it comes from SEP (Barbary 2016), SExtractor's algorithms in a library, as a catalogue run
before the fits would have it. Imports nothing of galadapt: it is used in the fitters' environment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep
from scipy.ndimage import binary_dilation

#: Detection threshold [sigma of a pixel] and smallest segment [px].
THRESHOLD, AREA = 1.5, 8

#: Growth of the neighbours' mask [px]: their wings below the threshold.
GROWTH = 3

#: A source further than this from the stamp's centre is not the one to be fitted [px].
CENTRE_RADIUS = 5.0

#: Where a fit starts that no detection helps: radius [px], axis ratio.
UNDETECTED = (5.0, 0.7)

START_INDEX = 2.0


@dataclass(frozen=True)
class Task:
    """One galaxy to be fitted.

    Attributes:
        image: The stamp (S, S) float64.
        sigma: Noise of each pixel, same unit.
        masked: Pixels that belong to a neighbour.
        segment: Pixels of the galaxy's own segment.
        x: Centre to start from [px, 0-based], y likewise.
        y: See x.
        flux: Total flux to start from.
        radius: Semi-major half-light radius to start from [px].
        ellipticity: 1 - b/a to start from.
        angle: Of the major axis from +x, counter-clockwise [rad].
        free_sky: The sky left in the stamp is unknown.
        effective_psf: PSF with the pixel, for codes that evaluate profiles at pixel centres.
        bare_psf: PSF without it, for codes that integrate profiles over pixels.
    """

    image: np.ndarray
    sigma: np.ndarray
    masked: np.ndarray
    segment: np.ndarray
    x: float
    y: float
    flux: float
    radius: float
    ellipticity: float
    angle: float
    free_sky: bool
    effective_psf: np.ndarray
    bare_psf: np.ndarray


def prepare(
    image: np.ndarray,
    pixel_rms: float,
    exposure_time: float,
    crowded: bool,
    effective_psf: np.ndarray,
    bare_psf: np.ndarray,
) -> Task:
    """Detect the sources of a stamp and prepare the fit of the central one.

    Args:
        image: Stamp (S, S) [e-/s].
        pixel_rms: Sky noise of a pixel [e-/s].
        exposure_time: Turns light into photon noise [s].
        crowded: Mask neighbours and leave the sky to the fit.
        effective_psf: See `Task`.
        bare_psf: See `Task`.
    """
    image = np.ascontiguousarray(image, np.float64)
    sigma = np.sqrt(pixel_rms**2 + np.clip(image, 0, None) / exposure_time)
    found, segments = sep.extract(
        image, THRESHOLD, err=pixel_rms, minarea=AREA, segmentation_map=True
    )
    middle = (len(image) - 1) / 2
    label = _central(found, segments, middle)
    segment = segments == label if label else np.zeros(image.shape, bool)
    masked = np.zeros(image.shape, bool)
    if crowded:
        masked = binary_dilation((segments > 0) & ~segment, iterations=GROWTH) & ~segment
    x, y, flux, radius, ellipticity, angle = _guess(image, masked, found, label, middle)
    return Task(
        image=image,
        sigma=sigma,
        masked=masked,
        segment=segment,
        x=x,
        y=y,
        flux=max(flux, 5 * pixel_rms),
        radius=radius,
        ellipticity=ellipticity,
        angle=angle,
        free_sky=crowded,
        effective_psf=effective_psf,
        bare_psf=bare_psf,
    )


def _central(found: np.ndarray, segments: np.ndarray, middle: float) -> int:
    """Label of the source at the middle, 0 if there is none."""
    label = int(segments[round(middle), round(middle)])
    if label or len(found) == 0:
        return label
    distance = np.hypot(found["x"] - middle, found["y"] - middle)
    nearest = int(np.argmin(distance))
    return nearest + 1 if distance[nearest] <= CENTRE_RADIUS else 0


def _guess(
    image: np.ndarray, masked: np.ndarray, found: np.ndarray, label: int, middle: float
) -> tuple[float, float, float, float, float, float]:
    if label == 0:
        radius, ratio = UNDETECTED
        rows, columns = np.indices(image.shape)
        near = (np.hypot(columns - middle, rows - middle) < 2 * radius) & ~masked
        return middle, middle, float(image[near].sum()), radius, 1 - ratio, 0.0
    row = found[label - 1]
    x, y, a, b = (float(row[name]) for name in ("x", "y", "a", "b"))
    ratio = min(max(b / a, 0.1), 1.0)
    reach = np.array([min(6 * a, len(image) / 2)])
    at = np.array([x]), np.array([y])
    angle = np.array([float(row["theta"])])
    total, _, _ = sep.sum_ellipse(image, *at, reach, reach * ratio, angle, 1.0, mask=masked)
    flux = np.maximum(total, float(row["flux"]))
    half, _ = sep.flux_radius(image, *at, reach, 0.5, normflux=flux, mask=masked)
    radius = float(half[0]) if np.isfinite(half[0]) and half[0] > 0 else a
    # Half-light radii of circles see the geometric mean of the axes.
    radius = float(radius) if np.isfinite(radius) and radius > 0 else a
    return x, y, float(flux[0]), max(radius / np.sqrt(ratio), 0.5), 1 - ratio, float(angle[0])
