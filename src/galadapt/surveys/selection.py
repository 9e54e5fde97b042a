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

_NEEDED = ["ra", "dec", *PARAMETERS, "position_angle"]  #: must have values if any object has


def select(
    catalogue: Path, selection: Selection, image: Image, selected: Path, cuts: Path
) -> pd.DataFrame:
    """Cut a field's catalogue down to the objects to measure, and return them.

    Args:
        selected: Parquet, one row per kept object: id, ra, dec [deg], `PARAMETERS` (magnitude,
            effective_radius [px, semi-major], sersic_index, ellipticity), `<parameter>_error`,
            position_angle [deg, north through east], flag, sn. A label that no object with a fit
            has, as in catalogues without labels, is not cut by, and stays NaN.
        cuts: CSV of the cuts in their order: cut, condition, removed, remaining.

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
        ("fit", "the fit has finite, positive values", has_fit & finite & positive),
        ("flag", f"flag <= {selection.max_flag}", objects["flag"] <= selection.max_flag),
    ]
    for name in (name for name in PARAMETERS if name in known):
        limits = getattr(selection, name)
        condition = f"{limits.low:g} <= {name} <= {limits.high:g}"
        conditions.append((name, condition, objects[name].between(limits.low, limits.high)))
    limit = selection.min_signal_to_noise
    if "sn" in known:
        conditions.append(("signal_to_noise", f"sn >= {limit:g}", objects["sn"].fillna(0) >= limit))
    kept = pd.Series(True, index=objects.index)
    rows = [("catalog", "all rows", 0, len(objects))]
    for cut, condition, passes in conditions:
        removed = int((kept & ~passes).sum())
        kept &= passes
        rows.append((cut, condition, removed, int(kept.sum())))
    if not kept.any():
        # The cut that takes most is the one to widen, not the one that takes the last.
        cut, condition, removed, _ = max(rows, key=lambda row: row[2])
        keys = {"flag": "max_flag", "signal_to_noise": "min_signal_to_noise"}
        remedy = f"widen selection.{keys.get(cut, cut)}"
        if cut == "fit":
            remedy = "give a catalogue with fitted objects"
        raise DataError(
            f"{catalogue}: no object is left; the cut '{condition}' removes {removed} of "
            f"{len(objects)}; {remedy}"
        )
    result = objects[kept].reset_index(drop=True)
    write_parquet(selected, result)
    write_csv(cuts, pd.DataFrame(rows, columns=["cut", "condition", "removed", "remaining"]))
    return result
