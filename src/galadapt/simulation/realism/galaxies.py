"""Composite galaxies and their neighbours, as lists of Sersic components.

Every component is a Sersic profile, so any renderer can draw it; only spiral arms are a modulation
of the drawn disc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaincinv

from galadapt.config.base import SERSIC_INDEX_LIMITS
from galadapt.config.image import Image
from galadapt.config.realism import BulgeDisc, Clumps, Neighbours, Spiral
from galadapt.core.photometry import draw_magnitude, fainter, flux_of, magnitude_of
from galadapt.simulation.noise import NoiseLevels
from galadapt.simulation.priors import to_step
from galadapt.simulation.profiles import fit_single_sersic, half_light_radius
from galadapt.simulation.streams import stream

#: Below this index a galaxy without a bulge counts as a disc, which has knots and arms.
DISC_INDEX = 2.5

# Indices of added components are rounded, because GalSim caches one transform per index.
_INDEX_STEP = 0.05

_DIGITS = 6  #: labels are rounded: the fit's last bits may depend on the machine's linear algebra

# Knots lie inside this share of the disc's light; beyond, they would be galaxies of their own.
_KNOT_LIGHT = 0.9

_MARGIN = 16  #: neighbours may sit this far outside the stamp [px]; their wings reach in

# Sizes and shapes of the 3,101 flag-0 galaxies of 19-26 mag in 6,000 rows of the F160W catalogue of
# van der Wel et al. (2014): log10 of the median effective radius [arcsec] at 23 mag, its slope
# per mag, its scatter; median and ln-scatter of the index; mean and scatter of b/a.
_SIZE, _SIZE_SLOPE, _SIZE_SCATTER = -0.47, -0.05, 0.30
_INDEX, _INDEX_SCATTER = 1.35, 0.7
_RATIO, _RATIO_SCATTER = 0.53, 0.20
_SIZE_LIMITS = (0.05, 1.5)

Row = Mapping[str, Any]


def compose(
    parameters: pd.DataFrame,
    settings: BulgeDisc,
    image: Image,
    levels: NoiseLevels,
    psf_sigma: float,
    seed: int,
    start: int,
) -> pd.DataFrame:
    """Turn some of galaxies start, start + 1, ... into a bulge and an exponential disc.

    The composite keeps the drawn magnitude and half-light radius. Its labels (magnitude,
    effective_radius, sersic_index) become those of the single Sersic profile that fits its light
    best at the survey's depth, as a fit by GALFIT would give; bulge and disc share one ellipse, so
    the ellipticity stays. Where that fit leaves the range of indices a renderer can draw, the
    galaxy stays a single profile. The noise of `levels` and `psf_sigma` [px] weigh its pixels.

    Returns:
        A copy with relabelled parameters and the columns total_magnitude [mag], bulge_fraction
        (0: single profile), bulge_radius, disc_radius [px] and bulge_index.
    """
    table = parameters.copy()
    drawn = [_draw_bulge(settings, seed, start + row) for row in range(len(table))]
    composite, fraction, index, ratio = (np.array(column) for column in zip(*drawn, strict=True))
    fractions = np.stack([fraction, 1 - fraction], axis=1)
    radii = np.stack([ratio, np.ones(len(table))], axis=1)
    indices = np.stack([index, np.ones(len(table))], axis=1)
    scale = table["effective_radius"].to_numpy() / half_light_radius(fractions, radii, indices)
    radii *= scale[:, None]
    flux = flux_of(table["magnitude"].to_numpy(), image.zero_point)
    fitted, radius, best = fit_single_sersic(
        *(flux, 1 - table["ellipticity"].to_numpy(), fractions, radii, indices),
        *(levels.pixel_rms, levels.exposure_time, psf_sigma),
    )
    low, high = SERSIC_INDEX_LIMITS
    with np.errstate(invalid="ignore", divide="ignore"):
        magnitude = magnitude_of(fitted, image.zero_point)
    used = composite & (best >= low) & (best <= high) & np.isfinite(magnitude) & (radius > 0)
    table["total_magnitude"] = table["magnitude"]
    table["bulge_fraction"] = np.where(used, fraction, 0.0)
    table["bulge_index"] = np.where(used, index, 0.0)
    table["bulge_radius"] = np.where(used, radii[:, 0], 0.0)
    table["disc_radius"] = np.where(used, radii[:, 1], 0.0)
    labels = {"magnitude": magnitude, "effective_radius": radius, "sersic_index": best}
    for name, values in labels.items():
        table[name] = np.where(used, np.round(values, _DIGITS), table[name])
    return table


def _draw_bulge(settings: BulgeDisc, seed: int, index: int) -> tuple[bool, float, float, float]:
    rng = stream(seed, index, "bulge_disc")
    return (
        bool(rng.random() < settings.probability),
        settings.bulge_fraction.at(rng.random()),
        to_step(settings.bulge_index.at(rng.random()), _INDEX_STEP, *SERSIC_INDEX_LIMITS),
        settings.bulge_radius.at(rng.random()),
    )


def smooth_components(row: Row) -> tuple[list[dict[str, Any]], bool]:
    """List a galaxy's smooth components, and whether the first of them is a disc."""
    fraction, total = row.get("bulge_fraction", 0.0), row.get("total_magnitude", row["magnitude"])
    if not fraction:
        return [{**row, "magnitude": total}], row["sersic_index"] <= DISC_INDEX
    names = ("magnitude", "effective_radius", "sersic_index")
    disc = (fainter(total, 1 - fraction), row["disc_radius"], 1.0)
    bulge = (fainter(total, fraction), row["bulge_radius"], row["bulge_index"])
    return [{**row, **dict(zip(names, part, strict=True))} for part in (disc, bulge)], True


def knots(disc: Row, settings: Clumps, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Gather a share of a disc's light into knots: the disc that is left, then the knots.

    Knots are round exponential profiles placed at random where the disc's own light is, so on
    average the light profile, hence the label, stays as it is. The fluxes add up to that of `disc`.
    """
    share = settings.fraction.at(rng.random())
    if share <= 0:
        return [dict(disc)]
    count = int(rng.integers(1, settings.count + 1))
    index, radius = disc["sersic_index"], disc["effective_radius"]
    light = _KNOT_LIGHT * rng.random(count)
    r = radius * (gammaincinv(2 * index, light) / gammaincinv(2 * index, 0.5)) ** index
    azimuth = rng.uniform(0, 2 * np.pi, count)
    along, across = r * np.cos(azimuth), r * np.sin(azimuth) * (1 - disc["ellipticity"])
    angle = np.radians(disc["position_angle"])
    x = disc["x_offset"] - along * np.sin(angle) + across * np.cos(angle)
    y = disc["y_offset"] + along * np.cos(angle) + across * np.sin(angle)
    weights = rng.standard_exponential(count)
    weights *= share / weights.sum()
    rest = {**disc, "magnitude": fainter(disc["magnitude"], 1 - share)}
    return [rest] + [
        {
            "magnitude": fainter(disc["magnitude"], max(float(weights[k]), 1e-9)),
            "effective_radius": radius * settings.radius.at(rng.random()),
            **{"sersic_index": 1.0, "ellipticity": 0.0, "position_angle": 0.0},
            **{"x_offset": float(x[k]), "y_offset": float(y[k])},
        }
        for k in range(count)
    ]


def spiral_arms(
    disc: Row,
    settings: Spiral,
    side: int,
    damping: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Factor (side, side) that turns a drawn disc into one with logarithmic spiral arms.

    The pattern is 1 + A cos(m (theta - ln r / tan(pitch)) + phase) in the disc's plane. Locally it
    is a plane wave, which the PSF damps by its transfer function at the gradient of the phase: so
    the drawn, already convolved disc can be multiplied. Against convolving the modulated disc the
    pattern's amplitude is right to 3 % and its shape correlates by 0.98 from 3 PSF sigmas outwards
    (see the tests). The wave averages out around each ellipse. `damping` is the PSF's transfer
    function of the wavenumber [rad/px].
    """
    amplitude = settings.amplitude.at(rng.random())
    arms = int(rng.integers(2, settings.max_arms + 1))
    tangent = np.tan(np.radians(settings.pitch.at(rng.random()))) * (1 - 2 * rng.integers(2))
    phase = rng.uniform(0, 2 * np.pi)
    axis = np.arange(side) - (side - 1) / 2
    x, y = axis[None, :] - disc["x_offset"], axis[:, None] - disc["y_offset"]
    angle, q = np.radians(disc["position_angle"]), 1 - disc["ellipticity"]
    along = -x * np.sin(angle) + y * np.cos(angle)
    across = (x * np.cos(angle) + y * np.sin(angle)) / q
    # The phase has no value in the very centre, where any PSF damps it to nothing.
    r = np.maximum(np.hypot(along, across), 1e-3)
    theta = np.arctan2(across, along)
    around, outwards = arms / r, -arms / (r * tangent)
    k_along = outwards * np.cos(theta) - around * np.sin(theta)
    k_across = (outwards * np.sin(theta) + around * np.cos(theta)) / q
    left = damping(np.hypot(k_along, k_across))
    wave = np.cos(arms * (theta - np.log(r / disc["effective_radius"]) / tangent) + phase)
    return 1 + amplitude * left * wave


def neighbours(
    row: Row, settings: Neighbours, image: Image, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Draw the other galaxies in and around a stamp: single Sersic profiles.

    Their number is Poisson around the density, their positions are uniform, magnitudes follow
    power-law counts, sizes and shapes those of F160W galaxies of that magnitude. None is nearer
    than `min_separation` to the galaxy `row`.
    """
    half = image.stamp_size / 2 + _MARGIN
    area = (2 * half * image.pixel_scale / 60) ** 2
    count = int(rng.poisson(settings.density.at(rng.random()) * area))
    limits = settings.bright_limit, settings.faint_limit
    found = []
    for _ in range(count):
        x, y = rng.uniform(-half, half, 2)
        magnitude = float(draw_magnitude(rng, *limits, settings.magnitude_slope))
        size = 10 ** (_SIZE + _SIZE_SLOPE * (magnitude - 23) + rng.normal(0, _SIZE_SCATTER))
        index = _INDEX * np.exp(rng.normal(0, _INDEX_SCATTER))
        ratio = rng.normal(_RATIO, _RATIO_SCATTER)
        angle = rng.uniform(0, 180)
        separation = np.hypot(x - row["x_offset"], y - row["y_offset"]) * image.pixel_scale
        if separation < settings.min_separation:
            continue
        found.append(
            {
                "magnitude": magnitude,
                "effective_radius": float(np.clip(size, *_SIZE_LIMITS)) / image.pixel_scale,
                "sersic_index": to_step(index, _INDEX_STEP, *SERSIC_INDEX_LIMITS),
                "ellipticity": 1 - float(np.clip(ratio, 0.15, 1.0)),
                "position_angle": angle,
                "x_offset": float(x),
                "y_offset": float(y),
            }
        )
    return found
