"""Rendering a user's own list of galaxies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy import units as u

from galadapt.config.base import SERSIC_INDEX_LIMITS
from galadapt.config.image import FitsPsf, Image, OpticalPsf
from galadapt.config.simulation import Noise
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.core.tables import read_columns
from galadapt.simulation.engine import Simulator
from galadapt.simulation.priors import GEOMETRY
from galadapt.simulation.streams import INDEX_BITS

#: Columns of a list: magnitude, effective_radius [px, semi-major], sersic_index, ellipticity,
#: position_angle [deg, GALFIT: from +y counter-clockwise], x_offset and y_offset [px].
COLUMNS = ("id", *PARAMETERS, *GEOMETRY)

#: Units that a list is turned into where it gives others.
_UNITS = {
    "effective_radius": u.pix,
    "position_angle": u.deg,
    "x_offset": u.pix,
    "y_offset": u.pix,
    "magnitude": u.mag,
}

#: A list without these means galaxies centred in their stamps.
DEFAULTS = {"x_offset": 0.0, "y_offset": 0.0}

#: Which values are good, and the same in words.
Rule = tuple[Callable[[np.ndarray], np.ndarray], str]


def simulate_list(
    parameters: Path,
    output: Path,
    image: Image,
    psf: OpticalPsf | FitsPsf,
    noise: Noise,
    renderer: str,
    seed: int,
    provenance: dict[str, Any],
    radius_convention: str = "semimajor",
    table: int | str | None = None,
) -> int:
    """Render every galaxy of a list into a stamp set, in the split ``test``; returns their number.

    The list is a table with `COLUMNS`: CSV, ECSV, FITS, VOTable or Parquet; units that it gives are
    converted; `table` names it where its file holds several. The noise of a galaxy depends on the
    seed and its id only: adding rows changes no other stamp. The radius is stored as ``semimajor``
    or ``circularised`` (times sqrt(q)).

    Raises:
        DataError: the table or a row is wrong (the message names row and column), or the PSF is
            broken; nothing is written.
        ConfigError: the renderer is not available.
    """
    if output.suffix != ".h5":
        raise ConfigError(f"{output}: a stamp set is an HDF5 file; give it the suffix .h5")
    rows = read_columns(
        parameters, COLUMNS, DEFAULTS, units=_UNITS, pixel_scale=image.pixel_scale, which=table
    )
    _check(rows, parameters, image)
    rows["id"] = rows["id"].astype(np.int64)
    rows.insert(1, "split", "test")
    simulator = Simulator(image, psf, noise, renderer, seed)
    simulator.write(output, rows, provenance, radius_convention)
    return len(rows)


def _check(rows: pd.DataFrame, path: Path, image: Image) -> None:
    # A galaxy centred outside its stamp is a mistake of units.
    inside = _within(-image.stamp_size / 2, image.stamp_size / 2)
    rules: dict[str, Rule] = {
        "id": (
            lambda v: (v == np.round(v)) & (v >= 0) & (v < 2**INDEX_BITS),
            "must be a whole number in [0, 2^48)",
        ),
        "magnitude": _within(-30.0, 60.0),
        "effective_radius": (lambda v: v > 0, "must be positive"),
        "sersic_index": _within(*SERSIC_INDEX_LIMITS),
        "ellipticity": (lambda v: (v >= 0) & (v < 1), "must lie in [0, 1)"),
        "position_angle": _within(-360.0, 360.0),
        **{"x_offset": inside, "y_offset": inside},
    }
    for name in COLUMNS:
        for test, must in ((np.isfinite, "must be a finite number"), rules[name]):
            good = test(rows[name].to_numpy(float))
            if not good.all():
                row = int(np.argmin(good))
                raise DataError(
                    f"{path}: row {row + 1}: {name} is {rows[name][row]:g} but {must}; correct it"
                )
    twice = rows["id"].duplicated()
    if twice.any():
        row = int(np.argmax(twice))
        raise DataError(
            f"{path}: row {row + 1}: id {rows['id'][row]:g} is given twice; make ids unique"
        )


def _within(low: float, high: float) -> Rule:
    return lambda v: (v >= low) & (v <= high), f"must lie in [{low:g}, {high:g}]"
