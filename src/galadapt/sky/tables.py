"""Columns of a table as numbers in one unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.coordinates import Angle

from galadapt.core.errors import ConfigError, DataError
from galadapt.core.tables import unit_called

#: What stands for a missing number in text, beside nothing.
_MISSING_WORDS = ("", "nan", "null", "--", "na", "n/a", "none", "<na>")

#: Degrees or hours, minutes and seconds, apart by colons, blanks or letters.
_SEXAGESIMAL = (
    r"^\s*(?P<sign>[-+\u2212]?)\s*(?P<whole>\d+(?:\.\d*)?)\s*(?P<mark>[:hHdD\u00b0\s])\s*"
    r"(?:(?P<minutes>\d+(?:\.\d*)?)\s*(?:[:mM'\u2032\s]\s*"
    r"(?:(?P<seconds>\d+(?:\.\d*)?)\s*(?:[sS\"\u2033]|'')?)?)?)?\s*$"
)


def given_unit(text: str, name: str) -> u.UnitBase:
    """Unit that a user gives for `name`; a ConfigError if astropy has none of this name."""
    unit = unit_called(text)
    if unit is None:
        raise ConfigError(f"units.{name}: '{text}' is no unit; give deg, arcsec, pix...")
    return unit


def missing(values: pd.Series) -> np.ndarray:
    """Tell which values of a column are missing."""
    words = values.astype(str).str.strip().str.lower()
    return (values.isna() | words.isin(_MISSING_WORDS)).to_numpy()


def _parsed(values: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers.to_numpy(dtype=float, na_value=np.nan, copy=True)


def numbers(values: pd.Series, name: str, path: Path) -> np.ndarray:
    """Values of a column as float64, missing ones NaN; a DataError names `path` and text in it."""
    found = _parsed(values)
    lost = values[np.isnan(found)]
    text = lost[~missing(lost)]
    if len(text):
        raise DataError(
            f"{path}: column '{values.name}' holds text ('{text.iloc[0]}'), not numbers; name "
            f"another column for {name}"
        )
    return found


def sky_angles(values: pd.Series, name: str, given: u.UnitBase | None, path: Path) -> np.ndarray:
    """Right ascension or declination [deg] from text: degrees, or with colons, letters or blanks.

    The `name` is ra or dec; without a `given` unit ra is in hours unless all are plain numbers.

    Raises:
        DataError: a row is no angle.
    """
    found = _parsed(values)
    written = ~missing(values)
    if np.isfinite(found[written]).all():
        return found * (given or u.deg).to(u.deg)
    unit = given or (u.hourangle if name == "ra" else u.deg)
    plain = np.isfinite(found) & written
    texts = written & ~plain
    found[texts] = _sexagesimal(values[texts].astype(str), unit)
    for row in np.flatnonzero(texts & ~np.isfinite(found)).tolist():
        try:
            found[row] = Angle(values.iloc[row], unit=unit).deg
        except (ValueError, TypeError, u.UnitsError):
            raise DataError(
                f"{path}: row {row + 1} of column '{values.name}' is '{values.iloc[row]}', no "
                "angle; write degrees with a decimal point, or hours as 10:20:30.4"
            ) from None
    if plain.any():
        row = int(np.argmax(plain))
        raise DataError(
            f"{path}: row {row + 1} of column '{values.name}' is '{values.iloc[row]}', a plain "
            "number among hours or degrees with minutes; write all rows alike"
        )
    return found


def _sexagesimal(values: pd.Series, unit: u.UnitBase) -> np.ndarray:
    """Angles [deg] of usual texts, all at once; NaN for others."""
    parts = values.str.extract(_SEXAGESIMAL)
    whole, minutes, seconds = (
        pd.to_numeric(parts[name].where(parts[name].notna(), "0")).to_numpy(float)
        for name in ("whole", "minutes", "seconds")
    )
    mark = parts["mark"].str.lower().fillna("")
    usual = np.full(len(values), float(unit.to(u.deg)))
    scale = np.where(mark == "h", 15.0, np.where(mark.isin(["d", "\u00b0"]), 1.0, usual))
    size = (whole + minutes / 60 + seconds / 3600) * scale
    size[parts["whole"].isna() | (minutes >= 60) | (seconds >= 60)] = np.nan
    return np.where(parts["sign"].isin(["-", "\u2212"]), -size, size)
