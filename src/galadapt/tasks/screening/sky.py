"""Sources in a field: point sources and diffuse emission."""

from __future__ import annotations

import numpy as np

from galadapt.tasks.screening.instrument import DRAWN_RADIUS
from galadapt.tasks.screening.settings import SourceCounts

_POINTING = 0.5  #: scatter of a target's position around the optical axis [arcmin]
_BETA_EXPONENT = -1.5  #: exponent of a beta model's surface brightness with beta = 2/3


def draw_sources(
    counts: SourceCounts, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the serendipitous point sources of a field.

    Counts follow N(>S) = density (S / break)^-slope, with the faint slope below the break and the
    bright one above.

    Returns:
        Positions x and y from the optical axis [arcmin], and rates in pn on its axis [counts/s].
    """
    area = np.pi * (DRAWN_RADIUS / 60) ** 2
    at_break = counts.density * area
    ends = [
        at_break * (counts.faint_flux / counts.break_flux) ** -counts.faint_slope,
        at_break * (counts.bright_flux / counts.break_flux) ** -counts.bright_slope,
    ]
    number = rng.poisson(ends[0] - ends[1])
    rank = ends[1] + (ends[0] - ends[1]) * rng.random(number)
    slope = np.where(rank < at_break, counts.bright_slope, counts.faint_slope)
    flux = counts.break_flux * (rank / at_break) ** (-1 / slope)
    radius = DRAWN_RADIUS * np.sqrt(rng.random(number))
    angle = 2 * np.pi * rng.random(number)
    return radius * np.cos(angle), radius * np.sin(angle), flux * counts.counts_per_flux


def draw_pointing(rng: np.random.Generator) -> tuple[float, float]:
    """Draw where a target lies [arcmin from the optical axis]."""
    x, y = rng.normal(0.0, _POINTING, 2)
    return float(x), float(y)


def beta_model(distance: np.ndarray, core_radius: float) -> np.ndarray:
    """Surface brightness of a beta model with beta = 2/3, 1 in the middle.

    Source: Cavaliere & Fusco-Femiano 1976 (A&A 49, 137).
    """
    return np.asarray((1 + (distance / core_radius) ** 2) ** _BETA_EXPONENT)
