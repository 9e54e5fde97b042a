"""Effects of archives: cut wings, masked neighbours, wings subtracted as sky, missing edges.

On real COSMOS galaxies this mattered more than any detail of the galaxies: without it a network
interprets the missing wings as a low Sersic index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.special import erf, gamma, gammaincinv

from galadapt.config.image import Image
from galadapt.config.realism import Box, Edges, Masks, OverSubtraction
from galadapt.core.photometry import magnitude_of

_FRAME = 2  #: width of the frame inside the box where a background would be estimated [px]


def box_half_sides(
    row: Mapping[str, Any], box: Box, image: Image, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw the half-sides of an archive's box around a galaxy, along x and y [px].

    `row` holds the galaxy's single Sersic parameters (its labels); see
    `galadapt.config.realism.IsophoteBox` for the measurement that the boxes follow.
    """
    common = box.scatter * rng.standard_normal()
    own = box.axis_scatter * rng.standard_normal(2)
    if box.kind == "isophote":
        size = _isophote(row, box.surface_brightness, image)
    else:
        size = box.median * row["effective_radius"]
    angle, q = np.radians(row["position_angle"]), 1 - row["ellipticity"]
    along_x = size * np.hypot(np.sin(angle), q * np.cos(angle)) * np.exp(common + own[0])
    along_y = size * np.hypot(np.cos(angle), q * np.sin(angle)) * np.exp(common + own[1])
    least = box.min_half_size / image.pixel_scale
    return max(float(along_x), least), max(float(along_y), least)


def _isophote(row: Mapping[str, Any], surface_brightness: float, image: Image) -> float:
    """Semi-major axis of an isophote [px]; 0 if the galaxy is fainter everywhere."""
    n, radius = row["sersic_index"], row["effective_radius"]
    b = gammaincinv(2 * n, 0.5)
    area = 2 * np.pi * n * (1 - row["ellipticity"]) * (radius * image.pixel_scale) ** 2
    # Graham & Driver (2005), eq. 4: the total luminosity gives the central intensity.
    central = row["magnitude"] - magnitude_of(area * gamma(2 * n) / b ** (2 * n), 0.0)
    drop = 0.4 * np.log(10) * (surface_brightness - central)
    return float(radius * (max(drop, 0.0) / b) ** n)


def box_window(
    row: Mapping[str, Any], half_sides: tuple[float, float], side: int, softness: float
) -> np.ndarray:
    """Share of the light (side, side) that a box around the galaxy leaves.

    Archives cut before the survey's PSF is applied, so the box's edges are as soft as that PSF,
    whose Gaussian sigma is `softness` [px].
    """
    axis = np.arange(side) - (side - 1) / 2
    scale = np.sqrt(2) * softness
    x, y = (
        (erf((axis - centre + half) / scale) - erf((axis - centre - half) / scale)) / 2
        for centre, half in zip((row["x_offset"], row["y_offset"]), half_sides, strict=True)
    )
    return y[:, None] * x[None, :]


def neighbour_mask(
    own: np.ndarray, others: np.ndarray, settings: Masks, pixel_rms: float, rng: np.random.Generator
) -> np.ndarray:
    """Where neighbours are cut out (S, S): where they outshine the noise and the galaxy."""
    if rng.random() >= settings.probability:
        return np.zeros(own.shape, bool)
    mask = (others > settings.threshold * pixel_rms) & (others > own)
    if settings.growth and mask.any():
        mask = binary_dilation(mask, iterations=settings.growth)
    return mask


def over_subtraction(
    light: np.ndarray,
    row: Mapping[str, Any],
    half_sides: tuple[float, float] | None,
    settings: OverSubtraction,
    rng: np.random.Generator,
) -> float:
    """Draw the constant [e-/s] of wings subtracted as background.

    It is a share of the median of a two-pixel frame inside the edge of the box, or of the stamp
    where the box is larger or None. `light` is the noiseless stamp before the box is cut (S, S).
    """
    share = settings.fraction.at(rng.random())
    side = len(light)
    inner, outer = np.ones((2, side, side), bool)
    axis = np.arange(side)
    offsets = (row["x_offset"], row["y_offset"])
    for centre, half, shape in zip(
        offsets, half_sides or (side, side), ((1, side), (side, 1)), strict=True
    ):
        middle = (side - 1) / 2 + centre
        first = max(int(np.ceil(middle - half)), 0)
        last = min(int(np.floor(middle + half)), side - 1)
        outer &= ((axis >= first) & (axis <= last)).reshape(shape)
        inner &= ((axis >= first + _FRAME) & (axis <= last - _FRAME)).reshape(shape)
    frame = outer & ~inner
    # A box smaller than a pixel has no frame, and nothing to take for background.
    return share * float(np.median(light[frame])) if frame.any() else 0.0


def missing_strip(side: int, settings: Edges, rng: np.random.Generator) -> np.ndarray | None:
    """Draw the strip without data (side, side), at one of the four sides; None if it has none."""
    if rng.random() >= settings.probability:
        return None
    width = round(settings.width.at(rng.random()) * side)
    strip = np.zeros((side, side), bool)
    strip[:width] = True
    return np.rot90(strip, int(rng.integers(4)))
