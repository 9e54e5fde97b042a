"""Which catalogue objects are measured: a sequence of cuts and what each removed (R1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from galadapt.config.image import Image
from galadapt.config.survey import Selection
from galadapt.core.errors import DataError
from galadapt.core.files import write_csv, write_parquet
from galadapt.core.quantity import PARAMETERS
from galadapt.surveys.field import FLAG_NO_FIT, read_catalog


def select(
    catalog: Path, selection: Selection, image: Image, selected: Path, cuts: Path
) -> pd.DataFrame:
    """Cut a GALFIT catalogue down to the objects to measure.

    Args:
        catalog: GALFIT catalogue (van der Wel et al.).
        selection: The cuts.
        image: Gives the pixel scale that turns arcsec into pixels.
        selected: Parquet, one row per kept object: id, ra, dec [deg], `PARAMETERS` (magnitude,
            effective_radius [px, semi-major], sersic_index, ellipticity), `<parameter>_error`,
            position_angle [deg, north through east], flag, sn. A column that no object with a
            fit has a value of, as in catalogues without labels, is not cut by, and stays NaN.
        cuts: CSV of the cuts in their order: cut, condition, removed, remaining.

    Returns:
        The selected table.

    Raises:
        DataError: the catalogue is unreadable, a NUMBER stands twice, or nothing is left.
    """
    table = read_catalog(catalog)
    if table["NUMBER"].duplicated().any():
        twice = table.loc[table["NUMBER"].duplicated(), "NUMBER"].iloc[0]
        raise DataError(f"{catalog}: NUMBER {twice} stands twice; give every object its own")
    objects = _in_pixels(table, image.pixel_scale)
    # A user's catalogue may have no labels, or only some: no object is judged by what none has.
    known = objects.columns[objects[objects["flag"] < FLAG_NO_FIT].notna().any()]
    finite = np.isfinite(objects[known].to_numpy(dtype=float)).all(axis=1)
    fitted = (objects["flag"] < FLAG_NO_FIT) & ~(table["n"] <= 0) & ~(table["re"] <= 0)
    conditions: list[tuple[str, str, pd.Series]] = [
        ("fit", "GALFIT gave finite, positive values", fitted & finite),
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
        conditions.append(("signal_to_noise", f"sn >= {limit:g}", objects["sn"] >= limit))
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
            f"{catalog}: no object is left; the cut '{emptied['condition']}' removes "
            f"{emptied['removed']} of {len(objects)}; {remedy}"
        )
    result = objects[kept].reset_index(drop=True)
    write_parquet(selected, result)
    write_csv(cuts, pd.DataFrame(rows))
    return result


def _in_pixels(table: pd.DataFrame, pixel_scale: float) -> pd.DataFrame:
    """GALFIT's columns under galadapt's names and units."""
    return pd.DataFrame(
        {
            "id": table["NUMBER"],
            "ra": table["RA"],
            "dec": table["DEC"],
            "magnitude": table["mag"],
            "effective_radius": table["re"] / pixel_scale,
            "sersic_index": table["n"],
            "ellipticity": 1 - table["q"],
            "position_angle": table["pa"],
            "magnitude_error": table["dmag"],
            "effective_radius_error": table["dre"] / pixel_scale,
            "sersic_index_error": table["dn"],
            "ellipticity_error": table["dq"],
            "flag": table["f"],
            "sn": table["sn"],
        }
    )
