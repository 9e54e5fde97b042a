"""Images of profiles by GalSim, for renderers and for surveys of real galaxies."""

from __future__ import annotations

import warnings

import galsim
import numpy as np


def drawn(
    profile: galsim.GSObject,
    side: int,
    pixel_scale: float,
    offset: tuple[float, float],
    dtype: type = np.float32,
) -> np.ndarray:
    """Draw a convolved profile, (side, side), `offset` (x, y) from the middle [px].

    Raises:
        galsim.GalSimFFTSizeWarning: it is too large for the memory, of which GalSim only warns.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", galsim.GalSimFFTSizeWarning)
        return profile.drawImage(
            nx=side, ny=side, scale=pixel_scale, offset=offset, method="no_pixel", dtype=dtype
        ).array
