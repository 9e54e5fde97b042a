"""Cuts on the catalogue, and the number of objects each removes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.config.image import Image
from galadapt.config.survey import Selection
from galadapt.core.errors import DataError
from galadapt.core.files import write_csv, write_parquet
from galadapt.core.quantity import PARAMETERS
from galadapt.sky.catalogues import FLAG_NO_FIT
from galadapt.surveys.field import read_catalogue

#: A known one must have a value.
_NEEDED = ["ra", "dec", *PARAMETERS, "position_angle"]


def select(
    catalogue: Path, selection: Selection, image: Image, selected: Path, cuts: Path
) -> pd.DataFrame:
    """Cut a field's catalogue down to the objects to measure.

    Args:
        catalogue: Of a field (`galadapt.surveys.field.CATALOGUE`).
        selection: The cuts.
        image: Gives the pixel scale that turns arcsec into pixels.
        selected: Parquet, one row per kept object: id, ra, dec [deg], `PARAMETERS` (magnitude,
            effective_radius [px, semi-major], sersic_index, ellipticity), `<parameter>_error`,
            position_angle [deg, north through east], flag, sn. A label that no object with a fit
            has, as in catalogues without labels, is not cut by, and stays NaN.
        cuts: CSV of the cuts in their order: cut, condition, removed, remaining.

    Returns:
        The selected table.

    Raises:
        DataError: the catalogue is unreadable, an id stands twice, or nothing is left.
    """
    objects = read_catalogue(catalogue).drop(columns="position_angle_error")
    for name in ("effective_radius", "effective_radius_error"):
        objects[name] /= image.pixel_scale
    # A user's catalogue may have no labels, or only some: a label that none has is no cut.
    has_fit = objects["flag"] < FLAG_NO_FIT
    known = objects.columns[objects[has_fit].notna().any()]
    finite = np.isfinite(objects[known.intersection(_NEEDED)].to_numpy(float)).all(axis=1)
    positive = ~(objects["sersic_index"] <= 0) & ~(objects["effective_radius"] <= 0)
    conditions: list[tuple[str, str, pd.Series]] = [
        ("fit", "GALFIT gave finite, positive values", has_fit & finite & positive),
        ("flag", f"flag <= {selection.max_flag}", objects["flag"] <= selection.max_flag),
    ]
    for name in (name for name in PARAMETERS if name in known):
        interval = getattr(selection, name)
        conditions.append(
            (
                name,
                f"{interval.low:g} <= {name} <= {interval.high:g}",
                objects[name].between(interval.low, interval.high),
            )
        )
    limit = selection.min_signal_to_noise
    if "sn" in known:
        conditions.append(("signal_to_noise", f"sn >= {limit:g}", objects["sn"].fillna(0) >= limit))
    kept = pd.Series(True, index=objects.index)
    rows = [{"cut": "catalog", "condition": "all rows", "removed": 0, "remaining": len(objects)}]
    for cut, condition, passes in conditions:
        removed = int((kept & ~passes).sum())
        kept &= passes
        rows.append(
            {
                "cut": cut,
                "condition": condition,
                "removed": removed,
                "remaining": int(kept.sum()),
            }
        )
    if not kept.any():
        # The cut that takes most is the one to widen, not the one that takes the last.
        emptied = max(rows, key=lambda row: int(str(row["removed"])))
        keys = {"flag": "max_flag", "signal_to_noise": "min_signal_to_noise"}
        remedy = (
            "give a catalogue with fitted objects"
            if emptied["cut"] == "fit"
            else f"widen selection.{keys.get(str(emptied['cut']), emptied['cut'])}"
        )
        raise DataError(
            f"{catalogue}: no object is left; the cut '{emptied['condition']}' removes "
            f"{emptied['removed']} of {len(objects)}; {remedy}"
        )
    result = objects[kept].reset_index(drop=True)
    write_parquet(selected, result)
    write_csv(cuts, pd.DataFrame(rows))
    return result
