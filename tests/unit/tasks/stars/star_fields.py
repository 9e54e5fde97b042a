"""Frames that tests can predict."""

from __future__ import annotations

import numpy as np

#: [arcsec/px].
SCALE = 0.58


def field(
    places: list[tuple[float, float]],
    side: int = 200,
    fwhm: float = 4.0,
    flux: float = 20_000.0,
    seed: int = 1,
) -> np.ndarray:
    """Gaussian stars (x, y) on a noisy sky of 500 ADU with sigma 5."""
    pixels = np.random.default_rng(seed).normal(500, 5, (side, side))
    rows, columns = np.mgrid[:side, :side]
    sigma = fwhm / 2.3548
    for x, y in places:
        square = (columns - x) ** 2 + (rows - y) ** 2
        pixels += flux / (2 * np.pi * sigma**2) * np.exp(-square / (2 * sigma**2))
    return pixels.astype(np.float32)


def ring(x: float, y: float, side: int, radius: float, flux: float) -> np.ndarray:
    """A donut: light between 0.4 radius and radius."""
    rows, columns = np.mgrid[:side, :side]
    distance = np.hypot(columns - x, rows - y)
    inside = (distance < radius) & (distance > 0.4 * radius)
    return np.asarray(flux * inside / inside.sum(), np.float32)
