"""Do the positions of a catalogue belong to the image? The centres that were measured answer that.

Each centre is measured from the pixels, so a catalogue that counts pixels from 1, or lies in
another frame, is off by the same everywhere.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from galadapt.core.interface import spelled
from galadapt.core.log import log

#: Shift of the centres from a catalogue's positions that is worth a sentence [px], fewest objects
#: that show it, and their median distance from it, over it.
_SHIFT, _FEWEST, _SCATTER = 0.5, 5, 0.5

#: How near a shift is to one pixel along both axes where pixels were counted from another one [px].
_ONE = 0.25


def displaced(table: pd.DataFrame, pixel_scale: np.ndarray | float, pixels: bool) -> dict[str, str]:
    """Find the images on which a catalogue's positions are all shifted, and log a sentence on each.

    Args:
        table: The catalogue (`galadapt.prediction.catalogue.assemble`).
        pixel_scale: Of each object's image [arcsec/px], (n,), or of all.
        pixels: Whether positions were given in pixels, not on the sky.

    Returns:
        The sentences, by the images' names; none where no centres were measured.
    """
    if "x_centre" not in table:
        return {}
    found = {}
    for name, rows in table.assign(scale=pixel_scale).groupby("image"):
        shifts = (rows[["x_centre", "y_centre"]].to_numpy() - rows[["x", "y"]].to_numpy()).astype(
            float
        )
        shifts = shifts[np.isfinite(shifts).all(axis=1)]
        if len(shifts) < _FEWEST:
            continue
        x, y = np.median(shifts, axis=0)
        shift = math.hypot(x, y)
        scatter = float(np.median(np.hypot(*(shifts - (x, y)).T)))
        arcsec = shift * float(rows["scale"].median())
        if shift > _SHIFT and scatter < _SCATTER * shift:
            found[str(name)] = spelled(
                f"{name}: the galaxies lie {x:+.1f} px in x and {y:+.1f} px in y "
                f"({arcsec:.2g} arcsec) from the catalogue's positions (median of "
                f"{len(shifts)}); {_remedy(x, y, pixels)}"
            )
            log.info(found[str(name)])
    return found


def _remedy(x: float, y: float, pixels: bool) -> str:
    """What to do about a shift [px]."""
    if not pixels:
        return "check the reference frame and the astrometry of the catalogue and of the image"
    if math.hypot(x + 1, y + 1) < _ONE:
        return "they seem to count pixels from 1: give --one-based"
    if math.hypot(x - 1, y - 1) < _ONE:
        return (
            "they seem to count pixels from 0, and were taken to count from 1: leave out "
            "--one-based, or name their columns x and y"
        )
    return "check that the catalogue was made on this image"
