"""R3's three statistics of an image."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

#: Columns, in order.
MOMENTS = ("std", "skewness", "kurtosis")


def moments(images: np.ndarray) -> pd.DataFrame:
    """Standard deviation, skewness and kurtosis (Fisher's: 0 for a Gaussian) of all pixels.

    Args:
        images: (n, H, W), any unit.

    Returns:
        One row per image with columns `MOMENTS`: the first in the unit of the images. Skewness and
        kurtosis of a constant image are 0.
    """
    pixels = np.array(images, float).reshape(len(images), -1)
    spread = pixels.std(axis=1)
    constant = np.ptp(pixels, axis=1) == 0
    # A constant image would be divided by zero.
    pixels[constant] = 0.0
    with np.errstate(invalid="ignore"):
        skewness, kurtosis = stats.skew(pixels, axis=1), stats.kurtosis(pixels, axis=1)
    values = (spread, np.where(constant, 0, skewness), np.where(constant, 0, kurtosis))
    return pd.DataFrame(dict(zip(MOMENTS, values, strict=True)))


def moments_of(image: np.ndarray) -> dict[str, float]:
    """`moments` of one image (H, W), by name."""
    return {str(name): float(values.iloc[0]) for name, values in moments(image[None]).items()}
